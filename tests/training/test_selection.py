import numpy as np
import pytest

from fairpo.groups import LabelPartition
from fairpo.training.selection import Selector, ValidationScores

NAN = float("nan")


def scores(p, n):
    return ValidationScores(p, n, 0.5)


def test_best_admissible_epoch():
    selector = Selector(scores(0.50, 0.80), tolerance=0.005)
    offers = [(0.55, 0.796), (0.60, 0.794), (0.56, 0.795), (0.54, 0.9)]
    taken = [selector.offer(epoch, scores(*each)) for epoch, each in enumerate(offers, 1)]
    assert taken == [True, False, True, False]
    assert selector.best_epoch == 3
    assert not selector.fell_back


def test_the_reference_stays_without_a_gain():
    selector = Selector(scores(0.50, 0.80))
    selector.offer(1, scores(0.50, 0.85))
    assert selector.fell_back
    assert selector.best_epoch == 0


def test_without_the_reference_as_candidate_the_best_epoch_is_returned():
    selector = Selector(scores(0.50, 0.80), tolerance=1.0, candidate=False)
    taken = [selector.offer(epoch, scores(p, 0.7)) for epoch, p in enumerate((0.4, 0.45, 0.42), 1)]
    assert taken == [True, True, False]
    assert selector.best_epoch == 2
    assert not selector.fell_back


def test_undefined_groups():
    empty = Selector(ValidationScores(NAN, 0.8, 0.8))
    assert empty.offer(1, ValidationScores(NAN, 0.81, 0.81))  # no privileged label: overall mAP
    everything = Selector(ValidationScores(0.5, NAN, 0.5))
    assert everything.offer(1, ValidationScores(0.6, NAN, 0.6))  # nothing to protect


def test_a_reference_is_chosen_by_its_overall_map():
    selector = Selector(None)
    assert selector.offer(1, ValidationScores(0.1, 0.1, 0.5))
    assert not selector.offer(2, ValidationScores(0.9, 0.9, 0.4))
    assert selector.offer(3, ValidationScores(0.1, 0.1, 0.5))  # as good a ranking, learnt longer
    assert not selector.fell_back


def test_a_reference_with_nothing_to_score_keeps_its_last_epoch():
    selector = Selector(None)
    for epoch in (1, 2, 3):
        selector.offer(epoch, ValidationScores(NAN, NAN, NAN))
    assert selector.best_epoch == 3


def test_stale_epochs_count_since_the_highest():
    selector = Selector(scores(0.5, 0.8))
    for goal, stale in [(0.6, 0), (0.55, 1), (0.6, 2), (0.61, 0)]:
        selector.offer(1, scores(goal, 0.0))
        assert selector.stale_epochs == stale


def test_scores_are_means_over_defined_labels():
    groups = LabelPartition.from_indices([0, 1], 4)
    result = ValidationScores.from_ap(np.array([0.4, NAN, 0.6, 0.8]), groups)
    assert (result.privileged, result.non_privileged) == (0.4, pytest.approx(0.7))
    assert result.overall == pytest.approx(0.6)
