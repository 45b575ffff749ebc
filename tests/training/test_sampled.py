"""Training on sampled labels: unbiased by draw, and as good as training on all labels."""

import math

import numpy as np
import pytest
import torch
from scipy import sparse

from fairpo import make_objective
from fairpo.groups import LabelPartition
from fairpo.metrics import evaluate_label_blocks
from fairpo.models import HeadSettings, Policy
from fairpo.objectives.catalogue import accepts
from fairpo.training.label_scores import LabelScores
from fairpo.training.optimizer import LazyAdam
from fairpo.training.reference_scores import HeadScores
from fairpo.training.rows import TrainingRows
from fairpo.training.settings import TrainingSettings
from fairpo.training.step import Stepper
from tests.objectives.scenes import objective as any_objective

WIDTH = 16


def problem(n_rows, n_labels, width=WIDTH, per_row=4, seed=0):
    """Features are sums of the prototypes of a row's labels; labels have a long tail."""
    rng = np.random.default_rng(seed)
    prototypes = rng.normal(size=(n_labels, width))
    prototypes /= np.linalg.norm(prototypes, axis=1, keepdims=True)
    frequency = (np.arange(n_labels) + 20.0) ** -0.7
    order = np.log(frequency) + rng.gumbel(size=(n_rows, n_labels))  # without replacement
    labels = np.argpartition(-order, per_row, axis=1)[:, :per_row]
    features = prototypes[labels].sum(1) + 0.1 * rng.normal(size=(n_rows, width))
    targets = np.zeros((n_rows, n_labels), dtype=np.int8)
    np.put_along_axis(targets, labels, 1, axis=1)
    return features.astype(np.float32), targets


def new_policy(n_labels, width=WIDTH, hidden=(32,)):
    torch.manual_seed(0)
    return Policy(width, n_labels, HeadSettings(hidden=hidden, dropout=0.0, scaling="none"))


def sampled_stepper(policy, objective, data, n_drawn, rate=1e-3, decay=0.0, **changes):
    settings = TrainingSettings(sampled_labels=n_drawn, device="cpu", **changes)
    return Stepper(policy, objective, LazyAdam(policy, rate, decay), data, settings)


OBJECTIVES = {
    "fairpo-dpo": {"reduction": "positives"},
    "fairpo-simpo": {"reduction": "positives"},
    "fairpo-cpo": {"reduction": "positives", "likelihood": "entries", "pairs": "both"},
    "bce": {},
    "asl": {},
    "bce-class-balanced": {},
    "bce-distribution-balanced": {},
}


@pytest.mark.parametrize("name", OBJECTIVES)
def test_draws_average_to_all_labels(name):
    """Loss and gradients, weighted rows and missing targets: within 4 standard errors."""
    features, targets = problem(12, 90)
    targets[np.random.default_rng(1).random(targets.shape) < 0.01] = -1
    policy, start = new_policy(90), new_policy(90)
    with torch.no_grad():
        policy.last_layer.weight.add_(torch.randn_like(policy.last_layer.weight))
    groups = LabelPartition.from_indices(range(30, 60), 90)
    objective = any_objective(name, groups, **OBJECTIVES[name])
    reference = HeadScores(start, features)
    rows = np.arange(12)
    weight = torch.linspace(0.2, 2.0, 12).unsqueeze(1)

    logits = policy(torch.from_numpy(features))
    objective.eval()
    whole = objective(
        logits,
        torch.from_numpy(targets).float(),
        torch.from_numpy(reference[rows]),
        entry_weight=weight,
    )
    whole.loss.backward()
    expected = flat(policy, whole.loss)

    data = TrainingRows(features, sparse.csr_array(targets), rows, reference, weight[:, 0].numpy())
    still = any_objective(name, groups, **OBJECTIVES[name], **fixed(name))
    stepper = sampled_stepper(policy, still, data, 5, seed=2)
    draws = []
    for step in range(400):
        loss = stepper.step(step, rows, 0.0).loss  # no step moves anything
        draws.append(flat(policy, loss))
    error = torch.stack(draws).mean(0) - expected
    standard = torch.stack(draws).std(0) / math.sqrt(len(draws))
    assert abs(error[0]) < 4 * standard[0] + 1e-6
    # Along 20 directions: of thousands of single numbers some would be 4 deviations off.
    directions = torch.randn(len(error), 20, generator=torch.Generator().manual_seed(3))
    along = torch.stack(draws) @ directions
    standard = along.std(0) / math.sqrt(len(draws))
    assert ((along.mean(0) - expected @ directions).abs() < 4 * standard + 1e-5).all()


def fixed(name):
    """Hold the group weights where they start, at which eval mode leaves them."""
    return {"weight_rule": "fixed"} if accepts(name, "weight_rule") else {}


def flat(policy, loss):
    gradients = [each.grad.to_dense().flatten() for each in policy.parameters()]
    return torch.cat([loss.detach().view(1), *gradients])


@pytest.mark.parametrize("accumulation", ["exact", "lagged"])
def test_a_step_is_the_same_however_its_rows_are_split(accumulation):
    features, targets = problem(20, 60)
    data = TrainingRows(features, sparse.csr_array(targets), np.arange(20))
    gradients = []
    for n_parts in (1, 3, 30):
        objective = make_objective("bce", LabelPartition.from_indices(range(10), 60))
        policy = new_policy(60)
        changes = {"accumulation_steps": n_parts, "accumulation": accumulation}
        stepper = sampled_stepper(policy, objective, data, 8, **changes)
        gradients.append(flat(policy, stepper.step(4, np.arange(20), 0.0).loss))
    for split in gradients[1:]:
        torch.testing.assert_close(split, gradients[0], rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("form", [np.asarray, sparse.csr_array])
def test_with_every_label_drawn_it_is_training_on_all_labels(form):
    features, targets = problem(40, 60)
    groups = LabelPartition.from_indices(range(40, 60), 60)
    policy, dense = new_policy(60), new_policy(60)
    reference = HeadScores(policy, features)
    objectives = [
        make_objective("group-dro", groups, step_size=0.1)  # smooth: rounding stays small
        for _ in range(2)
    ]
    data = TrainingRows(features, form(targets), np.arange(40), reference)
    stepper = sampled_stepper(policy, objectives[0], data, 60, decay=0.1, gradient_clip=0.5)
    adam = torch.optim.AdamW(dense.parameters(), lr=0.01, eps=1e-12, weight_decay=0.1)
    for step in range(4):
        rows = np.arange(10 * step, 10 * step + 10)
        ours = stepper.step(step, rows, 0.01)
        theirs = objectives[1](
            dense(torch.from_numpy(features[rows])),
            torch.from_numpy(targets[rows]).float(),
            torch.from_numpy(reference[rows]),
        )
        adam.zero_grad()
        theirs.loss.backward()
        torch.nn.utils.clip_grad_norm_(dense.parameters(), 0.5)
        adam.step()
        torch.testing.assert_close(ours.loss, theirs.loss)
        torch.testing.assert_close(ours.group_weights, theirs.group_weights)
    for first, second in zip(policy.parameters(), dense.parameters(), strict=True):
        torch.testing.assert_close(first, second, atol=1e-4, rtol=1e-3)


N_LABELS, N_TRAIN, BATCH = 2000, 4000, 64


class Wide:
    """2,000 labels, the rarest fifth privileged; steps on all labels or on 64 drawn."""

    def __init__(self):
        self.features, targets = problem(N_TRAIN + 600, N_LABELS, width=32)
        self.targets = sparse.csr_array(targets)
        self.validation = np.arange(N_TRAIN, N_TRAIN + 600)
        self.groups = LabelPartition.rarest(self.targets[:N_TRAIN], 0.2)
        self.frequencies = torch.from_numpy((targets[:N_TRAIN].sum(0) + 0.5) / (N_TRAIN + 1))

    def start(self):
        policy = new_policy(N_LABELS, 32, (64,))
        policy.start_at_frequencies(self.frequencies.float())
        return policy

    def train(self, policy, objective, *, sampled, epochs, rate, reference=None):
        data = TrainingRows(self.features, self.targets, np.arange(N_TRAIN), reference)
        settings = TrainingSettings(sampled_labels=64 if sampled else 0, device="cpu")
        lazy = LazyAdam(policy, rate)
        adam = torch.optim.AdamW(policy.parameters(), lr=rate, weight_decay=0.0)
        stepper = Stepper(policy, objective, lazy if sampled else adam, data, settings)
        order = np.random.default_rng(0)
        batches = [
            rows
            for _ in range(epochs)
            for rows in np.array_split(order.permutation(N_TRAIN), N_TRAIN // BATCH)
        ]
        for step, rows in enumerate(batches):
            stepper.step(step, rows, rate * 0.5 * (1 + math.cos(math.pi * step / len(batches))))
        return self.scores(policy)

    def scores(self, policy):
        score = LabelScores(policy, self.features, self.validation)
        targets = self.targets[self.validation]
        return evaluate_label_blocks(score, targets, self.groups.as_mapping()).values


def test_sampled_training_is_as_good_as_training_on_all_labels():
    """Validation mAP of cross-entropy, and of FairPO from the reference it made.

    Sampled steps are noisier, so cross-entropy takes more of them: docs/LOG.md has the figures.
    """
    wide = Wide()
    bce = make_objective("bce", wide.groups)
    everything, few = wide.start(), wide.start()
    full = wide.train(everything, bce, sampled=False, epochs=6, rate=1e-2)
    sampled = wide.train(few, bce, sampled=True, epochs=18, rate=1e-2)
    assert full["map"] > 0.2
    assert sampled["map"] > full["map"] - 0.02

    reference = HeadScores(everything, wide.features)
    tuned = []
    for sampled in (False, True):
        policy = wide.start()
        policy.load_state_dict(everything.state_dict())
        objective = make_objective("fairpo-dpo", wide.groups, reduction="positives")
        options = {"sampled": sampled, "epochs": 2, "rate": 1e-3, "reference": reference}
        tuned.append(wide.train(policy, objective, **options))
    assert abs(tuned[1]["map"] - tuned[0]["map"]) < 0.02
