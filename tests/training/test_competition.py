import numpy as np
import pytest
import torch

from fairpo.groups import LabelPartition
from fairpo.objectives.across_examples import AcrossExamplesObjective
from fairpo.training.competition import measure_competition


def scene(seed=0, n_rows=60, n_labels=5):
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(n_rows, n_labels)).astype(np.float32)
    targets = (logits + rng.normal(size=logits.shape) > 0.8).astype(np.int8)
    return logits, targets


def numbers(found):
    return torch.stack(
        [
            found.log_partition,
            found.n_positives,
            found.preference_losses,
            found.cross_entropies,
        ]
    )


def test_a_row_of_weight_two_is_two_rows_and_one_of_none_is_no_row():
    logits, targets = scene()
    targets[::7, 1] = -1
    weight = np.random.default_rng(1).permutation(np.repeat([0, 1, 2], 20))
    again = np.repeat(np.arange(len(logits)), weight)
    whole = measure_competition(logits[again], targets[again])
    for scale in (1.0, 10.0):  # ratios only
        found = measure_competition(logits, targets, scale * weight)
        assert found.n_rows == whole.n_rows
        torch.testing.assert_close(numbers(found), numbers(whole))


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("least", [0.0, 1.0])
def test_the_reference_costs_one_however_rows_weigh(share, least):
    logits, targets = scene(seed=2)
    privileged = [1, 3]
    weight = np.where(targets[:, privileged].any(1), 10.0, least)
    found = measure_competition(logits, targets, weight)
    built = AcrossExamplesObjective(
        LabelPartition.from_indices(privileged, 5), found, preference_share=share
    )
    scores, truth = torch.from_numpy(logits).double(), torch.from_numpy(targets)
    output = built(scores, truth, scores, entry_weight=torch.from_numpy(weight).unsqueeze(1))
    torch.testing.assert_close(
        output.group_losses, torch.ones(2, dtype=torch.float64), rtol=1e-5, atol=0
    )


def test_labels_are_taken_in_blocks(monkeypatch):
    from fairpo.training import competition

    logits, targets = scene(seed=4)
    whole = measure_competition(logits, targets)
    monkeypatch.setattr(competition, "_ENTRIES", 2 * len(logits))
    torch.testing.assert_close(numbers(measure_competition(logits, targets)), numbers(whole))


def test_a_label_whose_negatives_have_no_weight_is_not_compared():
    logits, targets = scene(seed=3)
    found = measure_competition(logits, targets, (targets[:, 0] == 1).astype(np.float64))
    assert found.n_positives[0] == 0
    assert torch.isfinite(numbers(found)).all()
    assert torch.isfinite(numbers(measure_competition(logits, targets, np.zeros(60)))).all()
