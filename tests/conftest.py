"""Shared data: a small learnable multi-label problem, and a cache the tests own."""

import os
import signal

import numpy as np
import pytest
import torch

from fairpo.data import MultiLabelData

torch.set_num_threads(1)
# A shell starts what it puts in the background with Ctrl-C ignored, and children inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory, monkeypatch):
    """Never the user's cache folder; one for the whole session, so that scenes are made once."""
    monkeypatch.setenv("FAIRPO_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


def problem(rows=400, features=12, labels=6, seed=0):
    """Features, 0/1 targets with a long tail, learnable but not trivial."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(rows, features)).astype(np.float32)
    scores = X @ rng.normal(size=(features, labels)) / np.sqrt(features)
    scores += 0.7 * rng.normal(size=scores.shape)
    thresholds = np.linspace(1.5, 0.0, labels) * scores.std(0)
    return X, (scores > thresholds).astype(np.int8)


@pytest.fixture
def xy():
    return problem()


@pytest.fixture
def data():
    X, y = problem()
    split = {
        "train": np.arange(240),
        "validation": np.arange(240, 310),
        "test": np.arange(310, 400),
    }
    return MultiLabelData(X, y, tuple("abcdef"), split, name="small")


@pytest.fixture
def npz(tmp_path, data):
    path = tmp_path / "small.npz"
    np.savez(
        path,
        X=data.features,
        Y=data.targets,
        label_names=np.array(data.label_names),
        train_idx=data.split["train"],
        test_idx=data.split["test"],
    )
    return path


@pytest.fixture
def shared_data():
    """Folder of real data sets, where there is one."""
    folder = os.environ.get("FAIRPO_DATA")
    if not folder:
        pytest.skip("FAIRPO_DATA is not set: no real data sets here")
    return folder
