"""The loop through its doors: determinism, the reference, selection, bring your own model."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch

from fairpo._checks import FairPOError, FairPOValueError, build_settings
from fairpo.groups import LabelPartition, parse_privileged
from fairpo.metrics import average_precision
from fairpo.models import HeadSettings
from fairpo.objectives import FairPOObjective, LabelCounts, make_objective, method_names
from fairpo.training.fit import (
    choose_groups,
    make_reference,
    train_method,
    train_reference,
)
from fairpo.training.fitted import judged, start_policy
from fairpo.training.loop import Training
from fairpo.training.reference import as_logits, scores_reference
from fairpo.training.reference_scores import HeadScores
from fairpo.training.rows import predict_logits, training_rows
from fairpo.training.selection import Selector
from fairpo.training.settings import TrainingSettings, training_preset
from fairpo.training.validation import score_logits

HEAD = HeadSettings(hidden=(16,))
LARGE_TOLERANCE = TrainingSettings(reference_epochs=6, batch_size=64, tolerance_points=100.0)
SHORT = TrainingSettings(epochs=3, reference_epochs=6, batch_size=64)


def residual_logits(policy, data, given):
    return predict_logits(policy, training_rows(data, "train", given.logits))


@pytest.fixture
def reference(data):
    return train_reference(data, HEAD, SHORT)


@pytest.fixture
def groups(data):
    return LabelPartition.rarest(data.targets[data.rows("train")], 0.3)


def same(first, second):
    return all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("method", ["bce-reweighted", "fairpo-dpo", "fairpo-cpo"])
@pytest.mark.parametrize("preset", ["paper-v1", "paper-v2"])
def test_runs_are_bit_identical_by_seed(data, groups, method, preset):
    def run(seed):
        settings = SHORT.model_copy(update={"seed": seed})
        reference = train_reference(data, HEAD, settings)
        return train_method(data, reference, groups, method, settings, preset=preset).training

    torch.manual_seed(123)  # a caller's generator must not matter, and must not be touched
    first = run(0)
    expected = torch.rand(1)
    torch.manual_seed(123)
    assert torch.equal(torch.rand(1), expected)
    second, third = run(0), run(1)
    assert same(first.last_state, second.last_state)
    assert not same(first.last_state, third.last_state)
    assert first.epochs[-1]["group_weights"] == second.epochs[-1]["group_weights"]


@pytest.mark.parametrize("method", method_names())
def test_every_method_trains_and_is_recorded(data, reference, groups, method):
    fitted = train_method(data, reference, groups, method, SHORT)
    if method == "bce":
        assert fitted.training is reference.training
        return
    if method == "kernel-ridge":  # solved for: no epoch
        assert fitted.last_policy().base is not None
        return
    if method != "fairpo-crossfit":  # another network, from scratch
        assert not same(fitted.training.last_state, reference.policy.state_dict())
    record = fitted.training.epochs[-1]
    assert record["validation"]["map/privileged"] > 0
    assert set(record["group_losses"]) == {"privileged", "non_privileged"}
    assert fitted.training.trace


def test_every_method_starts_as_the_reference(data, reference):
    policy = start_policy(data, reference, HEAD, 0)
    assert np.array_equal(HeadScores(policy, data.features)[:], reference.logits)
    assert policy is not reference.policy


def test_fallback_returns_the_reference_and_says_so(data, reference, groups):
    settings = SHORT.model_copy(update={"learning_rate": 1e-7})
    fitted = train_method(data, reference, groups, "fairpo-dpo", settings)
    assert fitted.fell_back
    assert same(fitted.policy.state_dict(), reference.policy.state_dict())
    assert any("no gain found" in note for note in fitted.notes)
    assert not same(fitted.last_policy().state_dict(), reference.policy.state_dict())


@pytest.mark.parametrize("method", ["bce", "kernel-ridge"])
def test_the_method_of_the_reference_does_not_fall_back(data, groups, method):
    made = make_reference(method, data, HEAD, SHORT)
    fitted = train_method(data, made, groups, method, SHORT, head=HEAD)
    assert not fitted.fell_back
    assert same(fitted.policy.state_dict(), made.policy.state_dict())


@pytest.mark.parametrize(
    ("positives", "tolerance", "told"),
    [
        ("both groups", {}, "privileged labels is more than a standard error below"),
        ("both groups", {"reference_is_candidate": False}, "the other labels is below"),
        ("others", {}, "all labels is more than a standard error below"),
        ("none", {}, "no epoch within tolerance beat the reference's"),
    ],
)
def test_what_did_not_start_from_the_reference_falls_back_where_it_is_worse(
    data, reference, groups, positives, tolerance, told
):
    rows, targets = data.rows("validation"), data.targets.copy()
    if positives != "both groups":
        without = groups.privileged if positives == "others" else np.arange(data.n_labels)
        targets[np.ix_(rows, without)] = 0
    data = replace(data, targets=targets)
    settings = SHORT.model_copy(update=tolerance)
    worse = start_policy(data, reference, HEAD, 0)
    for values in worse.parameters():
        values.data.zero_()
    state = worse.state_dict()
    training, objective = Training(Selector(None), state, state), make_objective("bce", groups)
    solved = make_reference("kernel-ridge", data, HEAD, SHORT)
    fitted = judged(worse, "own", training, objective, data, solved, groups, settings, HEAD)
    assert fitted.fell_back
    (note,) = fitted.notes
    assert note.startswith("no gain found")
    assert told in note


def test_what_did_not_start_from_the_reference_is_kept_where_it_is_worse_by_chance(
    data, reference, groups
):
    rows, label = data.rows("validation"), groups.privileged[0]
    known = np.asarray(reference.logits[rows])
    order = np.argsort(known[:, label])
    truth = data.targets_of(rows)[order, label]
    above = max(i for i in range(1, len(order)) if truth[i] < truth[i - 1])
    raised = reference.logits.copy()  # a positive, one place higher
    pair = rows[order[[above - 1, above]]]
    raised[pair, label] = raised[pair[::-1], label]
    policy = start_policy(data, reference, HEAD, 0)
    state = policy.state_dict()
    training, objective = Training(Selector(None), state, state), make_objective("bce", groups)
    better = scores_reference(raised, data, "logits")
    before = score_logits(raised, data, groups).goal
    assert score_logits(reference.logits, data, groups).goal < before
    fitted = judged(policy, "own", training, objective, data, better, groups, SHORT, HEAD)
    assert fitted.policy is policy


def test_scores_only_make_a_residual_that_starts_at_zero(data, reference, groups):
    given = scores_reference(reference.logits, data, "logits")
    policy = start_policy(data, given, HEAD, 0)
    assert policy.residual
    assert np.array_equal(residual_logits(policy, data, given), given.logits[:240])
    fitted = train_method(data, given, groups, "bce-continued", SHORT, head=HEAD)
    moved = residual_logits(fitted.last_policy(), data, given)
    assert np.abs(moved - given.logits[:240]).max() > 0


def test_probabilities_become_logits():
    probs = np.array([[0.0, 0.5, 1.0]])
    logits = as_logits(probs, (1, 3), "probs")
    assert np.isfinite(logits).all()
    assert logits[0, 1] == 0
    assert logits[0, 0] == -logits[0, 2]


@pytest.mark.parametrize(
    ("scores", "kind", "message"),
    [
        (np.zeros((3, 6)), "logits", r"reference scores must have shape \(400, 6\).*got \(3, 6\)"),
        (np.full((400, 6), np.nan), "logits", "reference scores must be finite"),
        (np.full((400, 6), 3.0), "probs", r"must be in \[0, 1\], got 3 to 3. If these are logits"),
    ],
)
def test_bad_scores_are_refused(data, scores, kind, message):
    with pytest.raises(FairPOValueError, match=message):
        scores_reference(scores, data, kind)


def test_worst_labels_are_chosen_on_validation(data, reference):
    from fairpo.metrics import average_precision

    rows = data.rows("validation")
    ap = average_precision(reference.logits[rows], data.targets_of(rows))
    chosen = choose_groups(parse_privileged("worst:2"), data, reference).privileged
    assert set(chosen) == set(np.argsort(ap)[:2])


def test_labels_without_a_training_positive_are_told(data):
    targets = data.targets.copy()
    targets[data.rows("train"), 2] = 0
    poor = replace(data, targets=targets)
    reference = train_reference(poor, HEAD, SHORT)
    assert (
        "1 labels have no positive in the training rows and cannot be learnt: c." in reference.notes
    )
    assert 2 not in choose_groups(parse_privileged("rarest:20%"), poor, reference).privileged
    with pytest.raises(FairPOValueError, match="must have a positive in the .* got none for c. Ch"):
        choose_groups(parse_privileged("c"), poor, reference)
    groups = choose_groups(parse_privileged("a,c"), poor, reference)
    assert np.isfinite(
        train_method(poor, reference, groups, "fairpo-cpo", SHORT).training.epochs[-1]["loss"]
    )


@pytest.mark.parametrize("indices", [[], range(6)])
@pytest.mark.parametrize(
    "method", ["fairpo-dpo", "fairpo-cpo", "group-dro-excess", "bce-reweighted"]
)
def test_no_privileged_label_or_all_of_them(data, reference, indices, method):
    fitted = train_method(data, reference, LabelPartition.from_indices(indices, 6), method, SHORT)
    assert np.isfinite(fitted.training.epochs[-1]["loss"])


def test_missing_targets_train_on(data, groups):
    targets = data.targets.copy()
    targets[np.random.default_rng(0).random(targets.shape) < 0.3] = -1
    holed = replace(data, targets=targets)
    reference = train_reference(holed, HEAD, SHORT)
    for method in ("fairpo-dpo", "group-dro-excess"):
        fitted = train_method(holed, reference, groups, method, SHORT, preset="paper-v2")
        assert np.isfinite(fitted.training.epochs[-1]["loss"])


def test_sparse_targets_train_the_same(data, groups):
    from scipy import sparse

    csr = replace(data, targets=sparse.csr_array(data.targets))
    first, second = (train_reference(each, HEAD, SHORT) for each in (data, csr))
    assert np.array_equal(first.logits, second.logits)


def test_memory_mapped_features_train_the_same(tmp_path, data):
    np.save(tmp_path / "x.npy", data.features)
    mapped = replace(data, features=np.load(tmp_path / "x.npy", mmap_mode="r"))
    first, second = (train_reference(each, HEAD, SHORT) for each in (data, mapped))
    assert np.array_equal(first.logits, second.logits)


def test_one_label_drawn_per_example(data, reference, groups):
    one = SHORT.model_copy(update={"label_draw": "one"})
    drawn = train_method(data, reference, groups, "fairpo-dpo", one).training
    full = train_method(data, reference, groups, "fairpo-dpo", SHORT).training
    pairs = [t.epochs[0]["diagnostics"]["n_pairs"] for t in (drawn, full)]
    assert 0 < pairs[0] < pairs[1] / 2  # one of six labels at a time


def test_labels_are_counted_in_the_training_rows(data, reference, groups):
    other = data.targets.copy()
    other[data.rows("test")] = 1 - other[data.rows("test")]
    for method in ("bce-class-balanced", "bce-distribution-balanced"):
        first, second = (
            train_method(each, reference, groups, method, SHORT).training.last_state
            for each in (data, replace(data, targets=other))
        )
        assert same(first, second)
    counted = LabelCounts(data.targets[:240].sum(0), np.full(6, 240))
    own = partial(make_objective, "bce-class-balanced", label_counts=counted)
    by_hand = train_method(data, reference, groups, own, SHORT)
    by_name = train_method(data, reference, groups, "bce-class-balanced", SHORT)
    assert same(by_hand.training.last_state, by_name.training.last_state)


def test_own_objective(data, reference, groups):
    def mine(chosen_groups):
        return FairPOObjective(chosen_groups, preference="simpo", beta=2.0)

    fitted = train_method(data, reference, groups, mine, SHORT)
    assert fitted.method == "mine"


def test_a_loss_that_is_not_finite_stops_with_its_place(data, reference, groups):
    def broken(chosen_groups):
        return FairPOObjective(chosen_groups, constraint=lambda z, r, y: z * float("nan"))

    with pytest.raises(FairPOError, match=r"the loss is nan: group losses \{'priv"):
        train_method(data, reference, groups, broken, SHORT)


def test_sample_weight_zero_removes_a_row(data):
    weight = np.ones(400)
    weight[:120] = 0
    targets = data.targets.copy()
    targets[:120] = 1 - targets[:120]
    other = replace(data, targets=targets)
    whole = SHORT.model_copy(update={"batch_size": 240})
    first, second = (train_reference(d, HEAD, whole, sample_weight=weight) for d in (data, other))
    assert np.allclose(first.logits, second.logits, atol=1e-5)


def test_schedule_clip_and_patience(data, reference, groups):
    clipped = SHORT.model_copy(update={"gradient_clip": 1e-9, "schedule": "constant"})
    fitted = train_method(data, reference, groups, "bce-continued", clipped)
    assert fitted.training.epochs[-1]["learning_rate"] == clipped.learning_rate
    hasty = SHORT.model_copy(update={"patience": 1, "epochs": 50, "learning_rate": 1.0})
    assert len(train_method(data, reference, groups, "fairpo-dpo", hasty).training.epochs) < 50


def test_training_presets():
    first = build_settings(TrainingSettings, training_preset("paper-v1"))
    assert (first.learning_rate, first.batch_size, first.epochs) == (5e-4, 32, 10)
    second = build_settings(TrainingSettings, training_preset("paper-v2"))
    assert (second.learning_rate, second.epochs, second.gradient_clip) == (1e-4, 25, 1.0)
    with pytest.raises(FairPOValueError, match="training preset 'paper' is not among the 3"):
        training_preset("paper")


def test_a_reference_that_was_cut_short_says_so(data):
    for cap, told in ((2, True), (400, False)):
        settings = TrainingSettings(reference_epochs=cap, patience=5)
        notes = train_reference(data, HeadSettings(hidden=(8,)), settings).notes
        assert any("may not have learnt all it can" in note for note in notes) == told


def scored(policy, data, logits):
    return predict_logits(policy, training_rows(data, "validation", logits))


def test_a_closed_form_reference_is_the_start_of_cross_fitting(data, groups):
    reference = make_reference("kernel-ridge", data, HEAD, SHORT)
    assert reference.left_out.shape == (len(data.rows("train")), data.n_labels)
    first, second = (
        train_method(data, reference, groups, "fairpo-crossfit", SHORT, head=HEAD).last_policy()
        for _ in range(2)
    )
    assert torch.equal(first.base.coefficients, reference.policy.base.coefficients)
    assert same(first.state_dict(), second.state_dict())


def test_rows_without_weight_do_not_compete(data, groups):
    reference = make_reference("kernel-ridge", data, HEAD, SHORT)
    label = groups.privileged[0]
    weight = 1.0 - (data.targets[:, label] == 1)
    plain, weighted = (
        train_method(
            data, reference, groups, "fairpo-crossfit", SHORT, head=HEAD, sample_weight=each
        ).objective
        for each in (None, weight)
    )
    assert label in plain.labels.tolist()
    assert label not in weighted.labels.tolist()


def test_what_has_no_effect_on_a_network_from_scratch_is_told(data, groups):
    reference = make_reference("kernel-ridge", data, HEAD, SHORT)

    def trained(preset="paper-v1", **settings):
        settings = TrainingSettings(**{"reference_epochs": 2, "batch_size": 64, **settings})
        method = "fairpo-crossfit"
        return train_method(data, reference, groups, method, settings, preset=preset, head=HEAD)

    usual, longer = trained(), trained(preset="paper-v2", epochs=3, learning_rate=0.1)
    faster = trained(reference_learning_rate=0.1)
    told = "has no effect on fairpo-crossfit, whose network does not start from the reference: set "
    assert longer.notes[:3] == [
        "preset=paper-v2 has no effect on fairpo-crossfit, which is not a form of the paper's.",
        f"epochs=3 {told}reference_epochs.",
        f"learning_rate=0.1 {told}reference_learning_rate.",
    ]
    assert longer.notes[3:] == usual.notes
    assert same(longer.last_policy().state_dict(), usual.last_policy().state_dict())
    assert not any("no effect" in note for note in faster.notes)
    assert not same(faster.last_policy().state_dict(), usual.last_policy().state_dict())


def test_what_is_not_given_is_usual_or_the_methods_own(data, groups):
    def states(head, **settings):
        settings = TrainingSettings(reference_epochs=2, batch_size=64, **settings)
        usual = train_reference(data, head, settings).policy
        own = train_method(data, solved, groups, "fairpo-crossfit", settings, head=head)
        return usual, own.last_policy()

    solved = make_reference("kernel-ridge", data, HEAD, SHORT)
    usual, own = states(HeadSettings())
    assert (usual.settings.hidden, usual.settings.dropout) == ((256,), 0.3)
    assert (own.settings.hidden, own.settings.dropout) == ((512,), 0.5)
    as_usual = {"weight_decay": 0.01, "reference_learning_rate": 1e-3}
    same_usual, other = states(HeadSettings(hidden=(256,), dropout=0.3), **as_usual)
    assert same(same_usual.state_dict(), usual.state_dict())
    assert other.settings == usual.settings
    as_own = {"weight_decay": 0.9, "reference_learning_rate": 2e-3}
    other, same_own = states(HeadSettings(hidden=(512,), dropout=0.5), **as_own)
    assert same(same_own.state_dict(), own.state_dict())
    assert other.settings == own.settings


def test_given_scores_take_part_and_are_never_ignored(data, groups):
    rng = np.random.default_rng(0)
    truth = np.where(data.targets == 1, 3.0, -3.0) + rng.normal(size=data.targets.shape)
    given = scores_reference(truth.astype(np.float32), data, "logits")
    fitted = train_method(data, given, groups, "fairpo-crossfit", LARGE_TOLERANCE, head=HEAD)
    policy = fitted.last_policy()
    assert policy.residual
    assert float(policy.reference_weight) > 2 * float(policy.base_weight)
    rows = data.rows("validation")
    found = average_precision(scored(policy, data, given.logits), data.targets[rows])
    own = average_precision(truth[rows].astype(np.float32), data.targets[rows])
    assert np.nanmean(found) > np.nanmean(own) - 0.02


def test_labels_that_share_no_layer_are_refused_before_any_work(data, groups):
    apart = HeadSettings(kind="per-label", hidden=(8,))
    reference = scores_reference(np.zeros(data.targets.shape), data, "logits")
    with pytest.raises(FairPOValueError, match="fairpo-crossfit"):
        train_method(data, reference, groups, "fairpo-crossfit", SHORT, head=apart)


def test_a_closed_form_that_does_not_fit_in_memory_is_refused(data):
    with pytest.raises(FairPOValueError, match="sampled_labels must be 0 for a closed form"):
        make_reference("kernel-ridge", data, HEAD, SHORT.model_copy(update={"sampled_labels": 2}))
    with pytest.raises(FairPOValueError, match="reference_cache_mb"):
        make_reference(
            "kernel-ridge", data, HEAD, SHORT.model_copy(update={"reference_cache_mb": 0})
        )


def test_the_memory_of_a_closed_form_is_more_than_its_scores(data):
    many = replace(
        data,
        targets=np.tile(data.targets, (1, 400)),
        label_names=tuple(map(str, range(400 * data.n_labels))),
    )
    scores = len(many.rows("train")) * many.n_labels * 4 / 2**20
    assert scores > 1
    settings = SHORT.model_copy(update={"reference_cache_mb": int(12 * scores)})
    with pytest.raises(FairPOValueError, match="have room to work on its scores"):
        make_reference("kernel-ridge", many, HEAD, settings)
