from __future__ import annotations

import os
import warnings
from pathlib import Path

import numpy as np
import pytest

from fairpo._checks import FairPOWarning
from fairpo.data.cache import cache_folder, cached_arrays, fingerprint, load_arrays, save_arrays

ARRAYS = {"a": np.arange(12, dtype=np.float32).reshape(3, 4), "b": np.array([1, -1], dtype=np.int8)}


class Builder:
    """Builds the arrays and counts how often it had to."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self) -> dict[str, np.ndarray]:
        self.calls += 1
        return {name: array.copy() for name, array in ARRAYS.items()}


def assert_right(arrays):
    assert set(arrays) == set(ARRAYS)
    for name, array in ARRAYS.items():
        assert arrays[name].dtype == array.dtype
        np.testing.assert_array_equal(arrays[name], array)


def test_second_call_reads_what_the_first_built(tmp_path):
    build = Builder()
    for _ in range(3):
        assert_right(cached_arrays("things", "k1", build, tmp_path / "new" / "folder"))
    assert build.calls == 1


def test_another_key_is_another_file(tmp_path):
    build = Builder()
    cached_arrays("things", "k1", build, tmp_path)
    cached_arrays("things", "k2", build, tmp_path)
    assert build.calls == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["things-k1.npz", "things-k2.npz"]


def test_a_file_renamed_to_another_key_is_not_trusted(tmp_path):
    save_arrays(tmp_path / "things-k1.npz", "k1", ARRAYS)
    os.replace(tmp_path / "things-k1.npz", tmp_path / "things-k2.npz")
    assert load_arrays(tmp_path / "things-k2.npz", "k2") is None


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _text(path: Path) -> None:
    path.write_text("not an archive")


def _plain_array(path: Path) -> None:
    with path.open("wb") as file:
        np.save(file, np.zeros(3))


def _no_digest(path: Path) -> None:
    with path.open("wb") as file:
        np.savez(file, **ARRAYS)


def _other_content(path: Path) -> None:
    with np.load(path) as file:
        arrays = dict(file)
    arrays["a"] = arrays["a"] + 1
    with path.open("wb") as file:
        np.savez(file, **arrays)


def _pickle(path: Path) -> None:
    with path.open("wb") as file:
        np.savez(file, a=np.array([object()], dtype=object), allow_pickle=True)


@pytest.mark.parametrize(
    "damage", [_truncate, _empty, _text, _plain_array, _no_digest, _other_content, _pickle]
)
def test_a_damaged_file_is_made_again(tmp_path, damage):
    build = Builder()
    cached_arrays("things", "k", build, tmp_path)
    damage(tmp_path / "things-k.npz")
    assert_right(cached_arrays("things", "k", build, tmp_path))
    assert build.calls == 2
    assert_right(cached_arrays("things", "k", build, tmp_path))
    assert build.calls == 2


def test_no_flipped_byte_is_believed(tmp_path):
    path = tmp_path / "things-k.npz"
    save_arrays(path, "k", ARRAYS)
    whole = path.read_bytes()
    for position in range(0, len(whole), 7):
        damaged = bytearray(whole)
        damaged[position] ^= 0xFF
        path.write_bytes(damaged)
        arrays = load_arrays(path, "k")
        if arrays is not None:  # a byte that carries nothing, such as a date
            assert_right(arrays)


def test_a_folder_that_cannot_be_written_costs_a_warning(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    build = Builder()
    with pytest.warns(FairPOWarning, match="cache cannot be written.*FAIRPO_CACHE") as caught:
        arrays = cached_arrays("things", "k", build, blocked)
    assert_right(arrays)
    assert len(caught) == 1
    assert str(blocked) in str(caught[0].message)


def test_a_write_that_fails_leaves_nothing_behind(tmp_path, monkeypatch):
    def fail(*args: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.warns(FairPOWarning, match="no space left"):
        assert_right(cached_arrays("things", "k", Builder(), tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_the_environment_names_the_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("FAIRPO_CACHE", str(tmp_path / "named"))
    assert cache_folder() == tmp_path / "named"
    assert cache_folder(tmp_path) == tmp_path
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cached_arrays("things", "k", Builder())
    assert (tmp_path / "named" / "things-k.npz").is_file()


@pytest.mark.parametrize(
    ("platform", "expected"),
    [("linux", ".cache/fairpo"), ("darwin", "Library/Caches/fairpo")],
)
def test_the_default_is_the_users_cache_folder(monkeypatch, tmp_path, platform, expected):
    for name in ("FAIRPO_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr("sys.platform", platform)
    assert cache_folder() == tmp_path / expected


def test_fingerprint_tells_contents_apart_but_not_order():
    assert fingerprint({"a": 1, "b": [2.5]}) == fingerprint({"b": [2.5], "a": 1})
    assert fingerprint({"a": 1, "b": [2.5]}) != fingerprint({"a": 1, "b": [2.6]})
