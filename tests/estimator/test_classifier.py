import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from fairpo import FairPOClassifier, fairpo_map_non_privileged, fairpo_map_privileged
from fairpo._checks import FairPOTypeError, FairPOValueError
from fairpo.decisions import DecisionRule, DecisionSettings
from fairpo.metrics import average_precision
from fairpo.objectives import FairPOObjective
from fairpo.training import load

FAST = {"epochs": 2, "hidden": (8,), "training_settings": {"reference_epochs": 4}}

WHY = "rows are held out and batches drawn, so a weight of 2 is not the same as a repeated row"


@parametrize_with_checks(
    [FairPOClassifier()],
    expected_failed_checks=lambda _: {
        "check_sample_weight_equivalence_on_dense_data": WHY,
        "check_sample_weight_equivalence_on_sparse_data": WHY,
    },
)
def test_scikit_learn_checks(estimator, check):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        check(estimator)


def test_shapes_and_consistency(xy):
    X, y = xy
    model = FairPOClassifier(**FAST).fit(X, y)
    logits = model.decision_function(X)
    assert logits.shape == model.predict_proba(X).shape == model.predict(X).shape == y.shape
    assert np.array_equal(model.predict(X), logits > 0)
    assert np.allclose(model.predict_proba(X), 1 / (1 + np.exp(-logits)))
    assert model.score(X, y) == accuracy_score(y, model.predict(X))
    assert model.n_features_in_ == X.shape[1]
    assert len(model.validation_rows_) == 80


def test_every_form_of_y_gives_the_same_model_and_its_form_back(xy):
    X, y = xy
    names = [[f"n{label}" for label in np.flatnonzero(row)] for row in y]
    expected = FairPOClassifier(**FAST).fit(X, y)
    by_names = FairPOClassifier(**FAST).fit(X, names)
    by_csr = FairPOClassifier(**FAST).fit(X, sparse.csr_matrix(y))
    frame = pd.DataFrame(y, columns=list("abcdef"))
    by_frame = FairPOClassifier(privileged="a,b", **FAST).fit(
        pd.DataFrame(X).rename(columns=str), frame
    )
    assert np.array_equal(by_csr.predict(X).toarray(), expected.predict(X))
    assert np.array_equal(by_names.decision_function(X), expected.decision_function(X))
    assert by_names.predict(X)[3] == [f"n{k}" for k in np.flatnonzero(expected.predict(X)[3])]
    assert by_names.score(X, names) == expected.score(X, y)
    assert by_frame.label_names_ == tuple("abcdef")
    assert by_frame.groups_.privileged.tolist() == [0, 1]
    with pytest.raises(FairPOValueError, match="label 'n9' is not among the 6 label names"):
        by_names.score(X, [["n9"]] * len(X))


def test_sparse_features(xy):
    X, y = xy
    dense, csr = (FairPOClassifier(**FAST).fit(each, y) for each in (X, sparse.csr_array(X)))
    assert np.allclose(dense.decision_function(X), csr.decision_function(sparse.csr_array(X)))


def test_binary_y():
    X = np.random.default_rng(0).normal(size=(300, 4))
    y = np.where(X[:, 0] > 0, "yes", "no")
    model = FairPOClassifier().fit(X, y)
    assert model.predict_proba(X).shape == (300, 2)
    assert set(model.predict(X)) <= {"yes", "no"}
    assert model.score(X, y) > 0.9


def test_clone_pipeline_grid_and_scorers(xy):
    X, y = xy
    pipeline = make_pipeline(StandardScaler(), FairPOClassifier(**FAST))
    score = cross_val_score(pipeline, X, y, scoring=fairpo_map_privileged, cv=2)
    assert ((score > 0) & (score <= 1)).all()
    grid = GridSearchCV(
        clone(FairPOClassifier(**FAST)),
        {"method": ["fairpo-dpo", "bce-reweighted"]},
        scoring={"P": fairpo_map_privileged, "N": fairpo_map_non_privileged},
        refit="P",
        cv=2,
    ).fit(X, y)
    model = grid.best_estimator_
    ap = average_precision(model.decision_function(X), y)
    assert fairpo_map_privileged(model, X, y) == pytest.approx(ap[model.groups_.privileged].mean())


@pytest.mark.parametrize(
    ("method", "options"),
    [
        ("asl", {"gamma_negative": 2}),
        ("focal", {"positive_share": None}),
        ("bce-class-balanced", {"effective_beta": 0.99}),
        ("bce-distribution-balanced", {"weight_centre": 0.3}),
    ],
)
def test_published_baselines_by_name(xy, method, options):
    X, y = xy
    model = FairPOClassifier(method=method, objective_settings=options, **FAST).fit(X, y)
    assert np.isfinite(model.decision_function(X)).all()
    assert model.history_
    wrong = FairPOClassifier(method=method, objective_settings={"beta": 1.0}, **FAST)
    with pytest.raises(FairPOValueError, match="option 'beta' is not among"):
        wrong.fit(X, y)


def test_missing_targets(xy):
    X, y = xy
    holes = np.random.default_rng(0).random(y.shape) < 0.2
    marked = np.where(holes, -1, y)
    floats = np.where(holes, np.nan, y.astype(float))
    first = FairPOClassifier(missing=-1, **FAST).fit(X, marked)
    second = FairPOClassifier(missing="nan", **FAST).fit(X, floats)
    assert np.array_equal(first.decision_function(X), second.decision_function(X))
    exact = ((first.predict(X) == marked) | holes).all(1).mean()
    assert first.score(X, marked) == pytest.approx(exact)
    with pytest.raises(ValueError, match="0 and 1|need missing=-1"):
        FairPOClassifier(**FAST).fit(X, marked)


def test_seeds(xy):
    X, y = xy
    runs = [
        FairPOClassifier(random_state=seed, **FAST).fit(X, y).decision_function(X)
        for seed in (0, 0, 1)
    ]
    assert np.array_equal(runs[0], runs[1])
    assert not np.array_equal(runs[0], runs[2])


def test_pickle_round_trip(xy):
    X, y = xy
    model = FairPOClassifier(**FAST).fit(X, y)
    again = pickle.loads(pickle.dumps(model))
    assert np.array_equal(model.decision_function(X), again.decision_function(X))


def test_decisions_are_fitted_on_the_held_out_rows(xy):
    X, y = xy
    plain = FairPOClassifier(recalibration="none", **FAST).fit(X, y)
    rows = plain.validation_rows_
    for options in ({}, {"threshold": "f1"}, {"recalibration": "isotonic", "threshold": 0.3}):
        model = FairPOClassifier(**options, **FAST).fit(X, y)
        rule = DecisionRule.fit(
            plain.decision_function(X[rows]), y[rows], DecisionSettings(**options)
        )
        raw = plain.decision_function(X)
        # Isotonic maps have steep stretches, where logits in float32 are not those in float64.
        assert np.allclose(model.predict_proba(X), rule.probabilities(raw), atol=1e-3)
        assert (model.predict(X) == rule.decide(raw)).mean() > 0.999
        assert np.array_equal(model.predict(X), model.decision_function(X) > 0)
        ranks = [average_precision(each.decision_function(X), y) for each in (model, plain)]
        assert np.array_equal(*ranks)
    with pytest.raises(ValueError, match="DecisionSettings.threshold must be a probability"):
        FairPOClassifier(threshold="f2").fit(X, y)


def test_reference_is_returned_where_nothing_gains(xy):
    X, y = xy
    model = FairPOClassifier(method="fairpo-dpo", learning_rate=1e-9, **FAST).fit(X, y)
    reference = FairPOClassifier(method="bce", **FAST).fit(X, y)
    assert model.fell_back_
    assert model.selected_epoch_ == 0
    assert np.array_equal(model.decision_function(X), reference.decision_function(X))
    assert any("no gain found" in note for note in model.notes_)


def test_the_reference_itself_did_not_fall_back(xy):
    for method in ("bce", "kernel-ridge"):
        model = FairPOClassifier(method=method, **FAST).fit(*xy)
        assert not model.fell_back_
        assert not any("no gain found" in note for note in model.notes_)
    assert model.selected_epoch_ == 0  # solved for


@pytest.mark.parametrize("kind", ["fairpo", "logistic", "forest"])
def test_bring_your_own_reference(xy, kind):
    X, y = xy
    X = X.astype(np.float64)
    own = {
        "fairpo": FairPOClassifier(method="bce", **FAST),
        "logistic": OneVsRestClassifier(LogisticRegression()),
        "forest": RandomForestClassifier(20, random_state=0),
    }[kind].fit(X, y)
    model = FairPOClassifier(
        method="fairpo-dpo",
        reference=own,
        learning_rate=1e-9,
        recalibration="platt" if kind == "fairpo" else "none",
        **FAST,
    ).fit(X, y)
    expected = own.predict_proba(X)
    if isinstance(expected, list):
        expected = np.column_stack([part[:, 1] for part in expected])
    assert np.allclose(model.predict_proba(X), expected, atol=1e-5)
    moved = FairPOClassifier(reference=own, method="bce-continued", **FAST).fit(X, y)
    assert moved.decision_function(X).shape == y.shape
    weighed = FairPOClassifier(reference=own, **FAST).fit(X, y)
    assert weighed.decision_function(X).shape == y.shape


def test_a_run_folder_as_reference(tmp_path, npz, data):
    from fairpo.cli import app

    options = ["--method", "bce", "--set", "epochs=2", "--set", "hidden=[8]"]
    app(["train", str(npz), "--out", str(tmp_path / "run"), *options], standalone_mode=False)
    run = load(tmp_path / "run")
    X, y = data.features, data.targets
    model = FairPOClassifier(
        method="fairpo-dpo",
        reference=str(tmp_path / "run"),
        learning_rate=1e-9,
        recalibration="none",
        **FAST,
    ).fit(X, y)
    assert np.allclose(model.decision_function(X), run.predict_logits(X))


def test_own_objective_as_method(xy):
    X, y = xy
    model = FairPOClassifier(
        method=lambda groups: FairPOObjective(groups, preference="simpo"), **FAST
    )
    assert model.fit(X, y).predict(X).shape == y.shape


def test_few_rows_choose_the_epoch_themselves():
    X, y = np.eye(6), np.eye(6, 3, dtype=int)
    model = FairPOClassifier(**FAST).fit(X, y)
    assert "6 rows are too few to hold any out" in model.notes_[0]
    told = "weights of the logits, even, as no rows are held out: network 0.50, kernel ridge 0.50."
    assert told in model.notes_


NAN_X = np.zeros((20, 2))
NAN_X[3, 1] = np.nan
X0, Y0 = np.random.default_rng(0).normal(size=(20, 2)), np.tile(np.eye(2, dtype=int), (10, 1))


@pytest.mark.parametrize(
    ("options", "X", "y", "message"),
    [
        ({}, X0, Y0[:19], "X and y must have the same number of rows, got 20 and 19"),
        ({}, NAN_X, Y0, "X must hold finite numbers only, no NaN or inf, got 1 such entries"),
        ({}, X0, Y0 * 3, "Unknown label type|Y must hold 0 and 1 only"),
        ({}, X0, None, "y must be given, got None"),
        ({}, X0, np.zeros(20), "y must hold two classes, got one class"),
        ({}, X0, np.arange(20) % 3, "Only binary classification is supported"),
        ({"method": "fairpo-dbo"}, X0, Y0, "method 'fairpo-dbo' is not among"),
        ({"privileged": "rarest:0%"}, X0, Y0, "privileged labels must be rarest:F"),
        ({"privileged": "cat"}, X0, Y0, "label 'cat' is not among the 2 label names"),
        (
            {"method": "fairpo-dpo", "objective_settings": {"beat": 1}},
            X0,
            Y0,
            "option 'beat' is not among .* Did you mean 'beta'",
        ),
        (
            {"epochs": 0},
            X0,
            Y0,
            "TrainingSettings.epochs must be greater than or equal to 1, got 0",
        ),
        ({"dropout": 2}, X0, Y0, "HeadSettings.dropout must be less than 1, got 2"),
        ({"validation_fraction": 1.0}, X0, Y0, r"validation fraction must be in \(0, 1\), got 1.0"),
        ({"preset": "paper"}, X0, Y0, "preset 'paper' is not among the 2 presets"),
    ],
)
def test_mistakes_explain_themselves(options, X, y, message):
    with pytest.raises(ValueError, match=message):
        FairPOClassifier(**options).fit(X, y)


@pytest.mark.parametrize(
    "options",
    [{"method": "x"}, {"preset": "x"}, {"privileged": "x"}, {"objective_settings": {"x": 1}}],
)
def test_mistakes_are_told_before_the_reference_is_trained(xy, options, monkeypatch):
    import fairpo.estimator

    def trained(*_, **__):
        raise AssertionError("the reference was trained first")

    monkeypatch.setattr(fairpo.estimator, "make_reference", trained)
    with pytest.raises(FairPOValueError):
        FairPOClassifier(**options).fit(*xy)


def test_a_reference_without_scores_is_refused(xy):
    with pytest.raises(FairPOTypeError, match="reference must be None, a run folder, or a fitted"):
        FairPOClassifier(reference=object(), **FAST).fit(*xy)


def test_a_reference_of_another_shape_is_refused(xy):
    X, y = xy
    other = FairPOClassifier(method="bce", **FAST).fit(X[:, :5], y)
    with pytest.raises(
        FairPOValueError, match="reference must have been fitted on 12 features and 6"
    ):
        FairPOClassifier(reference=other, **FAST).fit(X, y)
