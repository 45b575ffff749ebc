import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge

from fairpo._checks import FairPOError
from fairpo.experiments.rare_labels import conduct, run, suite, trials
from fairpo.experiments.rare_labels.bench import Bench, Unit, run_unit
from fairpo.experiments.rare_labels.figures import SetFigures, figures_of, over_sets
from fairpo.experiments.rare_labels.page import rare_labels_page
from fairpo.experiments.rare_labels.ridge import RidgeRegression
from fairpo.experiments.rare_labels.soap import surrogate
from fairpo.experiments.rare_labels.suite import read_set
from fairpo.experiments.rare_labels.trials import settings_of
from fairpo.metrics import average_precision

PUBLISHED = tuple(suite.SOURCES)
"""Sets whose figures are in docs/rare-labels, as docs/results.md has them."""


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A folder with one small set, and a suite of that alone."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(400, 6)).astype(np.float32)
    pulls = rng.normal(size=(6, 7))
    Y = (X @ pulls + rng.normal(size=(400, 7)) > [1, 1, 1, 2, 3, 4, 9]).astype(np.int8)
    order = rng.permutation(400)
    np.savez(tmp_path / "small.npz", X=X, Y=Y, idx_train=order[:300], idx_test=order[300:])
    for module in (suite, run):
        monkeypatch.setattr(module, "SOURCES", {"small": "small.npz"})
    return tmp_path


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(trials, "N_TRIALS", 2)
    monkeypatch.setattr(trials, "N_SCRATCH", 1)
    monkeypatch.setattr(conduct, "SEEDS", (0, 1))
    monkeypatch.setattr(conduct, "CONTINUED", ("bce-reweighted", "soap"))


def test_the_surrogate_has_the_gradient_of_average_precision():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(9, 3, generator=generator, dtype=torch.float64).requires_grad_()
    positive = torch.rand(9, 3, generator=generator) < 0.4
    positive[:, 2] = False  # a label without positives takes no part
    seen = torch.zeros(9, 3, dtype=torch.float64), torch.zeros(9, 3, dtype=torch.float64)
    surrogate(logits, positive, seen, torch.arange(9), 1.0).backward()
    z = logits.detach().clone().requires_grad_()
    total = 0.0
    for label in (0, 1):
        rows = [i for i in range(9) if positive[i, label]]
        for i in rows:
            costs = [(1 - z[i, label] + z[j, label]).clamp_min(0) ** 2 for j in range(9)]
            total = total - sum(costs[j] for j in rows) / sum(costs) / len(rows) / 2
    total.backward()
    # Means over the batch in numerator and denominator: the factor cancels but for one.
    torch.testing.assert_close(logits.grad, z.grad, rtol=1e-9, atol=1e-12)


def test_what_was_seen_is_remembered():
    logits = torch.tensor([[2.0], [0.0], [1.5]])
    positive = torch.tensor([[True], [False], [True]])
    seen, rows = (torch.zeros(5, 1), torch.zeros(5, 1)), torch.tensor([4, 1, 0])
    surrogate(logits, positive, seen, rows, 0.5)
    # Of row 4, the highest: 1 with itself, 1/4 with the other positive, 0 with the negative.
    assert seen[1].squeeze().tolist() == pytest.approx([3.25 / 3, 0, 0, 0, 1.25 / 3])
    surrogate(torch.tensor([[2.0], [3.0], [1.5]]), positive, seen, rows, 0.5)
    assert seen[1][4].item() == pytest.approx((1.25 / 3 + 5.25 / 3) / 2)
    assert seen[0][4].item() == pytest.approx(1.25 / 3)


def test_labels_that_cannot_be_judged_are_dropped(root):
    found = read_set("small", root, design=False)
    data = found.data
    train, test = (data.targets[data.rows(split)].sum(0) for split in ("train", "test"))
    assert train.min() >= 5 and test.min() >= 3
    assert data.n_labels < 7
    counts = train[found.groups.privileged]
    assert counts.max() <= train[found.groups.non_privileged].min()


def test_a_design_looks_at_no_test_row(root):
    real, design = (read_set("small", root, design=each).data for each in (False, True))
    seen = np.concatenate([design.rows(split) for split in ("train", "validation", "test")])
    assert not np.isin(seen, real.rows("test")).any()
    assert len(seen) == len(real.rows("train")) + len(real.rows("validation"))


def test_where_few_positives_choose_other_rows_choose_as_well(root, monkeypatch):
    monkeypatch.setattr(suite, "_LEAST_VALIDATION", 100)
    found = read_set("small", root, design=False)
    assert len(found.folds) == 3
    parts = [set(fold.rows("validation").tolist()) for fold in found.folds[1:]]
    assert not parts[0] & parts[1]
    for fold in found.folds:
        assert not np.isin(fold.rows("train"), fold.rows("validation")).any()
        assert np.array_equal(fold.rows("test"), found.data.rows("test"))


@pytest.mark.parametrize("method", ["ridge", "bce", "soap", "asl", "bce-class-balanced"])
def test_trials_begin_with_the_defaults_and_are_the_same_each_time(method):
    assert settings_of(method, 3) == settings_of(method, 3) != settings_of(method, 4)
    if method != "ridge":
        assert settings_of(method, 0) == {}


def test_trials_from_scratch_follow_those_that_continue():
    trials_of = trials.trials_of("asl")
    assert [settings_of("asl", trial).get("from_scratch", False) for trial in trials_of] == (
        [False] * 10 + [True] * 5
    )
    assert settings_of("asl", 10) == {"from_scratch": True}
    assert "learning_rate" not in settings_of("asl", 12)
    assert len(trials.trials_of("group-dro")) == 10


def test_ridge_is_scikit_learns_and_knows_what_it_would_say_of_a_row_left_out():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(40, 3)).astype(np.float32)
    Y = (X[:, :1] + rng.normal(size=(40, 2)) > 0.3).astype(np.int8)
    found = RidgeRegression(X, Y, 2.0)
    theirs = Ridge(alpha=2.0)
    for row in (0, 17):
        rest = np.arange(40) != row
        theirs.fit(X[rest].astype(float), Y[rest])
        assert found.left_out[row] == pytest.approx(theirs.predict(X[row : row + 1])[0])
    values = theirs.fit(X.astype(float), Y).predict(X)
    for label in range(2):
        slope = np.polyfit(values[:, label], found.logits(X)[:, label], 1)[0]
        assert slope > 0
        order = np.argsort(values[:, label])
        assert (np.diff(found.logits(X)[order, label]) >= 0).all()


def test_scores_of_different_models_are_not_ranked_together(root, monkeypatch, tmp_path):
    monkeypatch.setattr(suite, "_LEAST_VALIDATION", 100)
    subject = read_set("small", root, design=False)
    bench = Bench(subject, tmp_path, {})
    units = [Unit("ridge", fold=fold) for fold in range(3)]
    for unit in units:
        run_unit(bench, unit)
    apart = [bench.scores([unit]).privileged for unit in units]
    assert bench.scores(units).privileged == pytest.approx(np.mean(apart))
    twice = [*units, units[0]._replace(seed=1)]  # a second seed of one fold weighs no more
    run_unit(bench, twice[-1])
    assert bench.scores(twice).privileged == pytest.approx(np.mean(apart))


def test_the_suite_runs_goes_on_and_its_figures_are_those_of_the_scores(root, quick, tmp_path):
    folder = tmp_path / "out"
    page = run.run_suite(root, folder, ["small"])
    text = page.read_text()
    assert "fairpo-crossfit" in text and "Every method" in text
    written = {path: path.stat().st_mtime_ns for path in folder.glob("**/*.safetensors")}
    gone = next(path for path in written if path.name.startswith("soap") and "final" in path.name)
    gone.unlink()
    (folder / "small.json").unlink()
    run.run_suite(root, folder, ["small"])
    for path, time in written.items():
        assert (path.stat().st_mtime_ns == time) == (path != gone)
    figures = json.loads((folder / run.FIGURES).read_text())["sets"]["small"]
    assert set(figures["settings"]) >= {"ridge", "bce", "soap", "bce-reweighted"}
    assert "resampled" not in figures

    subject = read_set("small", root, design=False)
    bench = Bench(subject, folder / "small", {})
    truth = subject.data.targets_of(subject.data.rows("test"))
    ap = [
        average_precision(bench.read(Unit("fairpo-crossfit", seed=seed, final=True)).test, truth)
        for seed in (0, 1)
    ]
    expected = 100 * np.mean([np.nanmean(each[subject.groups.privileged]) for each in ap])
    assert figures["means"]["fairpo-crossfit"]["map/privileged"] == pytest.approx(expected)


def test_a_set_that_is_judged_needs_neither_its_data_nor_its_trainings(root, quick, tmp_path):
    folder = tmp_path / "out"
    text = run.run_suite(root, folder, ["small"]).read_text()
    shutil.rmtree(folder / "small")
    (root / "small.npz").unlink()
    assert run.run_suite(root, folder, ["small"]).read_text() == text
    (folder / "small.json").write_text('{"name": "small"}')
    with pytest.raises(FairPOError, match=r"small\.json.*does not hold the figures"):
        run.run_suite(root, folder, ["small"])


def test_the_tables_of_the_docs_are_printed_by_their_figures():
    docs = Path(__file__).parents[2] / "docs"
    sets = [SetFigures.read(docs / "rare-labels" / f"{name}.json") for name in PUBLISHED]
    text = (docs / "results.md").read_text()
    rows = [line for line in rare_labels_page(sets).splitlines() if line.startswith("|")]
    assert len(rows) > 60
    assert [row for row in rows if row not in text] == []


def test_overwriting_trains_the_named_sets_again(root, quick, tmp_path):
    folder = tmp_path / "out"
    run.run_suite(root, folder, ["small"])
    other = folder / "other" / "bce.safetensors"
    other.parent.mkdir()
    other.write_bytes(b"of another set")
    written = {path: path.stat().st_mtime_ns for path in (folder / "small").glob("*.safetensors")}
    run.run_suite(root, folder, ["small"], overwrite=True)
    assert all(path.stat().st_mtime_ns > time for path, time in written.items())
    assert other.is_file()


def test_the_parts_of_the_method_are_shown_without_tuning(root, quick, tmp_path):
    page = run.run_suite(root, tmp_path / "out", ["small"], design=True)
    assert "Part by part" in page.read_text()
    names = [path.name for path in (tmp_path / "out" / "small").glob("*.safetensors")]
    assert all("final" in name for name in names)
    assert sum(name.startswith("fairpo-crossfit") for name in names) == 2 * len(trials.VARIANTS)


def test_a_folder_of_another_question_is_refused(root, quick, tmp_path):
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / run.ABOUT).write_text(json.dumps({"version": "0", "design": False}))
    with pytest.raises(FairPOError, match="--overwrite"):
        run.run_suite(root, folder, ["small"])
    with pytest.raises(FairPOError, match="small"):
        run.run_suite(root, folder, ["unknown"])


def test_a_set_that_is_not_there_leaves_no_folder(quick, root, tmp_path):
    (root / "small.npz").unlink()
    with pytest.raises(FairPOError, match=r"small\.npz: does not exist"):
        run.run_suite(root, tmp_path / "out", ["small"])
    with pytest.raises(FairPOError, match=r"is not a folder. Give the one that holds small\.npz"):
        run.run_suite(tmp_path / "nowhere", tmp_path / "out", ["small"])
    assert not (tmp_path / "out").exists()


def test_overwriting_with_another_question_leaves_no_figures_of_the_first(root, quick, tmp_path):
    folder = tmp_path / "out"
    run.run_suite(root, folder, ["small"])
    first = (folder / "small.json").read_text()
    run.run_suite(root, folder, ["small"], design=True, overwrite=True)
    assert (folder / "small.json").read_text() != first
    assert not list((folder / "small").glob("soap*"))


def test_trainings_of_other_data_are_refused(root, quick, tmp_path):
    folder = tmp_path / "out"
    run.run_suite(root, folder, ["small"], design=True)
    (folder / "small.json").unlink()
    kept = dict(np.load(root / "small.npz"))
    np.savez(root / "small.npz", **{**kept, "X": kept["X"] + 1})
    with pytest.raises(FairPOError, match=r"data\.json.*another small"):
        run.run_suite(root, folder, ["small"], design=True)


def test_sets_and_rows_are_drawn_for_the_interval_over_sets(root, quick, tmp_path):
    subject = read_set("small", root, design=True)
    from fairpo.experiments.pool import Processes

    with Processes(1) as processes:
        found = figures_of(conduct.conduct_set(subject, tmp_path / "one", processes), 200)
    alone = over_sets([found])
    assert alone.value == pytest.approx(found.against["baseline"]["map/privileged"].value)
    assert alone.low <= alone.value <= alone.high
    from dataclasses import replace

    drawn = found.resampled["baseline"]
    far = replace(found, resampled={"baseline": tuple(value + 50 for value in drawn)})
    wide = over_sets([found, far])
    assert wide.high - wide.low > 40
