"""What a plan refuses before any work, and by which method its reference is made."""

import pytest

from fairpo._checks import FairPOValueError
from fairpo.experiments.plan import Plan
from fairpo.experiments.train import train_run
from fairpo.models import HeadSettings
from fairpo.training import TrainingSettings

SMALL = {
    "data": "small",
    "training": TrainingSettings(epochs=1, reference_epochs=2, batch_size=64),
    "head": HeadSettings(hidden=(8,)),
    "n_resamples": 100,
    "n_permutations": 100,
}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"head": HeadSettings(kind="per-label")},
            "HeadSettings.kind must be 'mlp' or 'linear' for kernel-ridge, got 'per-label'",
        ),
        (
            {"training": TrainingSettings(sampled_labels=4)},
            "TrainingSettings.sampled_labels must be 0 for kernel-ridge, .* got 4. Train a method",
        ),
    ],
)
def test_what_a_closed_form_cannot_have_is_refused_before_any_work(changes, message):
    plan = Plan(**{**SMALL, "methods": ("bce", "kernel-ridge"), **changes})
    with pytest.raises(FairPOValueError, match=message):
        plan.check()


def test_cross_entropy_is_the_reference_wherever_it_stands(data, tmp_path):
    metrics = {
        methods: train_run(data, Plan(methods=methods, **SMALL), tmp_path / methods[0], report=str)
        for methods in (("bce", "kernel-ridge"), ("kernel-ridge", "bce"))
    }
    cells = [
        {
            row["method"]: row["cells"]["map/privileged"]["value"]
            for row in found["rows"]
            if row["epoch"] == "selected"
        }
        for found in metrics.values()
    ]
    assert cells[0] == cells[1]
    assert cells[0]["bce"] != cells[0]["kernel-ridge"]
    assert {found["reference_method"] for found in metrics.values()} == {"bce"}


@pytest.mark.parametrize(
    ("methods", "reference", "made"),
    [
        (("kernel-ridge", "fairpo-crossfit"), None, "kernel-ridge"),
        (("kernel-ridge",), "scores.npy", "bce"),
        (("fairpo-crossfit",), None, "bce"),
    ],
)
def test_the_method_of_the_reference(methods, reference, made):
    assert Plan(methods=methods, reference=reference, **SMALL).reference_method == made


def test_what_is_not_given_is_filled_in_for_each_method():
    plan = Plan(methods=("bce", "bce-reweighted", "fairpo-crossfit"), **SMALL)
    rates = [
        (each.reference_learning_rate, each.weight_decay)
        for each in map(plan.training_for, plan.methods)
    ]
    assert rates == [(1e-3, 0.01), (1e-3, 0.01), (2e-3, 0.9)]
    told = {**SMALL, "training": TrainingSettings(weight_decay=0.2)}
    plan = Plan(methods=("bce", "fairpo-crossfit"), **told)
    assert [plan.training_for(method).weight_decay for method in plan.methods] == [0.2, 0.2]
