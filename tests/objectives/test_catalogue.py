import pytest
import torch

from fairpo._checks import FairPOValueError
from fairpo.groups import LabelPartition
from fairpo.objectives import FairPOObjective, FairPOSettings, make_objective, method_names
from fairpo.objectives.catalogue import (
    METHODS,
    accepts,
    get_method,
    option_fields,
    trial_objective,
)
from fairpo.objectives.settings import PRESETS
from tests.objectives.scenes import batch, counts, objective, partition


def test_names():
    names = method_names()
    assert names[:14] == (
        "bce",
        "kernel-ridge",
        "bce-continued",
        "bce-reweighted",
        "bce-class-balanced",
        "bce-distribution-balanced",
        "focal",
        "asl",
        "group-dro",
        "group-dro-excess",
        "fairpo-dpo",
        "fairpo-simpo",
        "fairpo-cpo",
        "fairpo-crossfit",
    )
    assert "fairpo-cpo/no-constraint" in names
    assert len(names) == 14 + 4 * 3


def test_presets_are_the_papers():
    first = make_objective("fairpo-cpo", partition()).settings
    assert (first.beta, first.slack, first.margin, first.nll_weight) == (1.0, 0.01, 0.0, 1.0)
    assert (first.weight_rule, first.step_size, first.pairs) == ("raw", 1e-4, "negatives")
    second = make_objective("fairpo-cpo", partition(), "paper-v2").settings
    assert (second.beta, second.slack, second.margin, second.nll_weight) == (0.5, 0.05, 0.0, 0.5)
    assert (second.weight_rule, second.step_size) == ("relative", 0.05)
    form = (second.pairs, second.sampling, second.fallback, second.reduction, second.likelihood)
    assert form == ("both", "one", "bce", "entries", "entries")


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("method", ["fairpo-dpo", "fairpo-simpo", "fairpo-cpo"])
@pytest.mark.parametrize(
    ("ablation", "part"),
    [
        ("no-preference", {"preference": "bce"}),
        ("no-constraint", {"constraint": "bce"}),
        ("fixed-weights", {"weight_rule": "fixed"}),
    ],
)
def test_an_ablation_exchanges_one_part(preset, method, ablation, part):
    logits, targets, ref = batch(seed=3)
    parts = {"preference": method.removeprefix("fairpo-"), "constraint": "hinge", **part}
    by_name = make_objective(f"{method}/{ablation}", partition(), preset)
    options = {**PRESETS[preset]}
    options["weight_rule"] = parts.pop("weight_rule", options["weight_rule"])
    by_hand = FairPOObjective(partition(), **parts, **options)
    moving = logits.requires_grad_()
    assert by_name(moving, targets, ref).loss.item() == by_hand(moving, targets, ref).loss.item()
    assert by_name.settings == by_hand.settings


def test_without_preference_is_group_dro_with_a_constraint():
    logits, targets, ref = batch(seed=4)
    ablated = make_objective("fairpo-dpo/no-preference", partition())(logits, targets, ref)
    dro = make_objective("group-dro", partition())(logits, targets, ref)
    assert ablated.group_losses[0].item() == dro.group_losses[0].item()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda g: make_objective("fairpo-dop", g),
            r"method 'fairpo-dop' is not among the 26 methods\. Did you mean 'fairpo-dpo'",
        ),
        (
            lambda g: make_objective("bce/no-constraint", g),
            "method 'bce/no-constraint' is not among",
        ),
        (
            lambda g: make_objective("fairpo-dpo", g, "paper-v3"),
            "preset 'paper-v3' is not among the 2 presets",
        ),
        (
            lambda g: make_objective("fairpo-dpo", g, betta=1),
            r"option 'betta' is not among the \d+ options of fairpo-dpo\. Did you mean 'beta'",
        ),
        (
            lambda g: make_objective("bce", g, beta=1),
            r"option 'beta' is not among the 1 options of bce\.",
        ),
        (
            lambda g: objective("fairpo-crossfit", g, beta=1),
            r"option 'beta' is not among the 4 options of fairpo-crossfit\.",
        ),
        (
            lambda g: make_objective("fairpo-dpo", g, preference="cpo"),
            "preference must not be set for fairpo-dpo, got 'cpo'",
        ),
        (
            lambda g: make_objective("focal", g, clip=0.1),
            r"option 'clip' is not among the 2 options of focal. Known: focusing, pos",
        ),
        (
            lambda g: make_objective("asl", g, gamma_negative=-1),
            r"AsymmetricSettings\.gamma_negative must be greater than or equal to 0, got -1\. Asym",
        ),
        (
            lambda g: make_objective("bce-class-balanced", g, effective_beta=1),
            r"label_counts must be given for bce-class-balanced, which weighs .*, got None\.",
        ),
        (
            lambda g: objective("bce-class-balanced", g, effective_beta=1),
            r"ClassBalancedSettings\.effective_beta must be less than 1, got 1\.",
        ),
        (
            lambda g: make_objective("bce-distribution-balanced", g, label_counts=counts(3)),
            "label_counts must be over the 7 labels of the groups, got 3",
        ),
        (
            lambda g: make_objective("fairpo-dpo", g, beta=-0.1),
            r"FairPOSettings\.beta must be greater than 0, got -0\.1\. It scales",
        ),
        (
            lambda g: make_objective("fairpo-dpo", g, slack=float("nan")),
            r"FairPOSettings\.slack must be a finite number, got nan",
        ),
        (
            lambda g: make_objective("fairpo-dpo", g, weight_rule="soft"),
            r"FairPOSettings\.weight_rule must be 'raw', 'relative', 'excess' or 'fixed', "
            "got 'soft'",
        ),
        (
            lambda g: make_objective("fairpo-dpo/fixed-weights", g, weight_rule="raw"),
            "weight_rule must not be set for fairpo-dpo/fixed-weights, got 'raw'",
        ),
        (
            lambda g: make_objective("fairpo-dpo", [0, 1]),
            r"groups must be LabelGroups or a LabelPartition, got \[0, 1\]",
        ),
    ],
)
def test_mistakes_explain_themselves(call, message):
    with pytest.raises(FairPOValueError, match=message):
        call(partition())


def test_all_faults_come_in_one_error():
    with pytest.raises(FairPOValueError) as caught:
        make_objective("fairpo-dpo", partition(), beta=0, slack=-1, stepsize=3)
    assert all(name in str(caught.value) for name in ("beta", "slack", "'step_size'"))


def test_underscores_are_taken_for_hyphens():
    assert FairPOSettings(score_space="log_odds").score_space == "log-odds"


def test_accepts():
    assert accepts("fairpo-dpo/no-constraint", "beta")
    assert accepts("bce", "privileged_weight")
    assert not accepts("bce", "beta")
    assert accepts("asl", "clip") and not accepts("focal", "clip")
    assert accepts("bce-distribution-balanced", "bias_scale")
    assert [name for name in method_names() if not get_method(name).continues] == [
        "bce",
        "kernel-ridge",
        *(name for name in method_names() if name.startswith("fairpo-crossfit")),
    ]


def test_an_option_of_one_name_is_one_option():
    models = {get_method(name).settings_model for name in method_names()}
    assert len(models) == 8
    for model in models:
        for name, option in model.model_fields.items():
            assert (option.default, option.description) == (
                option_fields()[name].default,
                option_fields()[name].description,
            )


@pytest.mark.parametrize("name", method_names())
def test_a_trial_needs_no_data(name):
    assert trial_objective(name).groups.n_labels == 2
    with pytest.raises(FairPOValueError, match="option 'betta' is not among"):
        trial_objective(name, betta=1)


@pytest.mark.parametrize("name", method_names())
def test_step_zero_holds_the_weights(name):
    if not accepts(name, "step_size"):
        pytest.skip("has no group weights")
    logits, targets, ref = batch(seed=5)
    still = objective(name, partition(), step_size=0)
    before = still.group_weights()
    assert still(logits.requires_grad_(), targets, ref).group_weights.equal(before)
    assert name.startswith("fairpo-crossfit") or before.tolist() == [0.5, 0.5]


@pytest.mark.parametrize("name", [name for name, method in METHODS.items() if method.defaults])
def test_an_option_tells_which_methods_have_a_default_of_their_own(name):
    for option, value in METHODS[name].defaults.items():
        field = METHODS[name].settings_model.model_fields[option]
        assert f" {value:g} for {name}" in field.description


def test_the_stable_call():
    groups = LabelPartition.from_indices([0], n_labels=2)
    objective = make_objective("fairpo-dpo", groups, preset="paper-v1", beta=0.5)
    loss, group_losses, group_weights, diagnostics = objective(
        torch.tensor([[0.0, 1.0]], requires_grad=True), torch.tensor([[1, 0]]), torch.zeros(1, 2)
    )
    assert loss.shape == ()
    assert group_losses.shape == group_weights.shape == (2,)
    assert int(diagnostics.n_pairs) == 1
