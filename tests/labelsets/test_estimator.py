"""The scikit-learn door to label sets, and its folders."""

import json

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.model_selection import cross_val_score
from sklearn.utils.estimator_checks import parametrize_with_checks

import fairpo
from fairpo import FairPOError
from fairpo.labelsets import FairPOLabelSetGenerator, load_set_run
from tests.conftest import problem

QUICK = {"reference_epochs": 3, "width": 16, "epochs": 2}


@parametrize_with_checks([FairPOLabelSetGenerator(reference_epochs=10, width=16)])
def test_scikit_learns_checks(estimator, check):
    check(estimator)


@pytest.fixture(scope="module")
def xy():
    return problem(rows=200, labels=5)


@pytest.fixture(scope="module")
def fitted(xy):
    return FairPOLabelSetGenerator(method="fairpo-dpo", **QUICK).fit(*xy)


def test_sets_and_their_probabilities(xy, fitted):
    X, y = xy
    found = fitted.predict_sets(X[:20], k=4)
    assert found.sets.shape == (20, 4, 5)
    assert (found.sets[:, 0] == fitted.predict(X[:20])).all()
    drawn = fitted.sample(X[:20], k=4)
    again = fitted.sample(X[:20], k=4, random_state=0)
    assert (drawn.sets == again.sets).all()
    assert (drawn.sets != fitted.sample(X[:20], k=4, random_state=1).sets).any()
    for sets in (found, drawn):
        for place in range(4):
            logs = fitted.log_proba(X[:20], sets.sets[:, place].astype(int))
            np.testing.assert_allclose(logs, sets.log_probs[:, place], rtol=1e-9)
    assert fitted.score(X, y) == pytest.approx(fitted.log_proba(X, y).mean())


def test_constraints_by_name_or_index(xy, fitted):
    X, _ = xy
    rules = {"must_have": ["label_1"], "must_not": [0], "exclusive": [[2, "label_3"]]}
    for sets in (
        fitted.predict_sets(X[:30], 8, constraints=rules),
        fitted.sample(X[:30], 8, constraints=rules),
    ):
        held = sets.sets[sets.present]
        assert held[:, 1].all()
        assert not held[:, 0].any()
        assert not (held[:, 2] & held[:, 3]).any()
        assert (sets.present.sum(axis=1) == 6).all()  # three of labels 2 and 3, two of label 4
        np.testing.assert_allclose(sets.probs.sum(axis=1), 1.0)
    assert fitted.predict(X[:30], constraints=rules)[:, 1].all()


def test_names_in_names_out(xy):
    X, y = xy
    rows = [[f"n{label}" for label in np.flatnonzero(row)] for row in y]
    model = FairPOLabelSetGenerator(privileged=["n0"], **QUICK).fit(X, rows)
    assert set().union(*model.predict(X)) <= set(model.label_names_)
    assert model.groups_.privileged.tolist() == [0]


def test_missing_labels(xy):
    X, y = xy
    gaps = y.copy()
    gaps[::4, 1] = -1
    with pytest.raises(FairPOError, match="must hold 0 and 1 only"):
        FairPOLabelSetGenerator(**QUICK).fit(X, gaps)
    model = FairPOLabelSetGenerator(missing=-1, **QUICK).fit(X, gaps)
    assert any("unknown labels and are left out" in note for note in model.notes_)
    with pytest.raises(FairPOError, match="50 rows with unknown labels"):
        model.score(X, gaps)


def test_cross_validation_and_cloning(xy, fitted):
    X, y = xy
    scores = cross_val_score(clone(fitted).set_params(method="likelihood"), X, y, cv=2)
    assert np.isfinite(scores).all()


def test_saved_and_loaded_it_says_the_same(xy, fitted, tmp_path):
    X, y = xy
    folder = tmp_path / "sets"
    fitted.save(folder)
    assert not [path for path in folder.iterdir() if path.suffix in (".pkl", ".pt", ".bin")]
    loaded = FairPOLabelSetGenerator.load(folder)
    assert (loaded.predict(X) == fitted.predict(X)).all()
    assert loaded.score(X, y) == fitted.score(X, y)
    assert (loaded.sample(X, 3).sets == fitted.sample(X, 3).sets).all()
    assert loaded.groups_ == fitted.groups_
    refitted = clone(loaded).fit(X, y)
    assert refitted.score(X, y) == fitted.score(X, y)
    with pytest.raises(FairPOError, match="already holds a run"):
        fitted.save(folder)
    fitted.save(folder, overwrite=True)
    for name, weights in fitted.reference_weights_.items():
        assert (load_set_run(folder).reference.state_dict()[name].numpy() == weights).all()
    history = [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]
    assert {record["of"] for record in history} == {"reference", "fairpo-dpo"}


def test_damaged_and_other_folders_are_refused(xy, fitted, tmp_path):
    with pytest.raises(FairPOError, match="does not hold a set generator"):
        load_set_run(tmp_path)
    folder = tmp_path / "sets"
    fitted.save(folder)
    with pytest.raises(FairPOError, match="Read it with FairPOLabelSetGenerator.load"):
        fairpo.load(folder)
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    with pytest.raises(FairPOError, match=r"model.safetensors: is truncated or was altered"):
        load_set_run(folder)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda model, X: model.predict_sets(X, 0), "k must be at least 1, got 0"),
        (lambda model, X: model.sample(X, temperature=0.0), "temperature must be a finite number"),
        (lambda model, X: model.predict_sets(X, constraints={"must_have": ["x"]}), "label 'x'"),
    ],
)
def test_mistakes_are_named(xy, fitted, call, words):
    with pytest.raises(FairPOError, match=words):
        call(fitted, xy[0])
