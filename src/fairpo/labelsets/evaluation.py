"""A model of sets against rows of known sets, and against the truth where it is known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fairpo._checks import check_same_length, value_error
from fairpo.data.base import Features
from fairpo.groups import LabelGroups
from fairpo.labelsets.inference import SetModel
from fairpo.metrics import RowTerms
from fairpo.metrics import label_sets as metrics
from fairpo.metrics.ranking import Floats, divide_defined

if TYPE_CHECKING:
    from fairpo.data.ambiguous_digits import SetDistributions

CALIBRATION_ERROR = "calibration_error"

SetFigures = dict[str, dict[str, float]]


@dataclass(frozen=True)
class MeasuredSets:
    """What each row adds to each metric of a model of sets.

    Parameters
    ----------
    terms : dict of metric to dict of group to RowTerms
        Of n rows. A metric is the sum of its numerators (n, 1) by that of its denominators (n, 1);
        the calibration error's numerators are gaps (n, bins), whose sums count without their sign.
    """

    terms: dict[str, dict[str, RowTerms]]

    def figures(self) -> SetFigures:
        """Values over all rows; NaN where undefined."""
        return {
            metric: {
                group: float(value_of(metric, *(term.sum(axis=0) for term in terms)))
                for group, terms in of_groups.items()
            }
            for metric, of_groups in self.terms.items()
        }


def value_of(metric: str, numerators: Floats, denominators: Floats) -> Floats:
    """Value of a metric from sums over rows.

    Parameters
    ----------
    metric : str
    numerators : float array, shape (1, ...), of the calibration error (bins, ...)
    denominators : float array, shape (1, ...)

    Returns
    -------
    float64 array, shape (...)
    """
    sums = np.abs(numerators).sum(axis=0) if metric == CALIBRATION_ERROR else numerators[0]
    return divide_defined(sums, denominators[0])


def evaluate_sets(
    model: SetModel,
    features: Features,
    targets: NDArray[np.int8],
    groups: LabelGroups,
    *,
    k: int = 5,
    seed: int = 0,
    truth: SetDistributions | None = None,
) -> SetFigures:
    """Measure a model of sets.

    Coherence and diversity are those of k independent draws; coverage, F1 and calibration those
    of the k most probable sets. A group is judged by the sets cut down to its labels, in
    calibration by the sets that hold a label of it.

    Parameters
    ----------
    model : SetModel
    features : array, CSR or store, shape (n, d)
    targets : int8 array, shape (n, L)
        The true sets. Rows with an unknown label (-1) have no likelihood and are in coverage and
        F1 alone, where unknown entries are masked.
    groups : LabelGroups
    k : int
    seed : int
        Of the draws.
    truth : SetDistributions, optional
        Where it is known which sets can occur, and how often.

    Returns
    -------
    dict of metric to dict of group ("all" and the names) to value; NaN where undefined
        ``possible`` share of draws that can occur; ``log_chance`` mean log-chance of those;
        ``distinct`` different sets among the draws; ``jaccard_distance`` between them;
        ``coverage`` true set among the k most probable; ``first_f1``, ``best_f1`` sample-F1 of
        the most probable and of the best of the k; ``calibration_error``, ``brier`` of their
        probabilities against the truth, or against the true set where the truth is not known;
        ``log_likelihood`` of the true set and ``divergence`` from the truth, in nats, over all
        labels only. ``possible``, ``log_chance`` and ``divergence`` need the truth.
    """
    return measure_sets(model, features, targets, groups, k=k, seed=seed, truth=truth).figures()


def measure_sets(
    model: SetModel,
    features: Features,
    targets: NDArray[np.int8],
    groups: LabelGroups,
    *,
    k: int = 5,
    seed: int = 0,
    truth: SetDistributions | None = None,
) -> MeasuredSets:
    """Measure a model of sets row by row; see :func:`evaluate_sets`.

    For intervals, and for differences between models on the same rows
    (:func:`fairpo.labelsets.intervals.compare_sets`).
    """
    check_same_length({"X": int(features.shape[0]), "Y": len(targets)})
    if not len(targets):
        raise value_error("the rows to evaluate", must="be at least 1", got=0)
    drawn = model.draw(features, k, seed)
    found = model.most_probable(features, k)
    every = np.ones(drawn.shape[:2], dtype=bool)
    known = np.asarray((targets >= 0).all(axis=1))
    measured: dict[str, dict[str, RowTerms]] = {}
    parts = {"all": np.arange(targets.shape[1]), **groups.as_mapping()}
    if truth is None:
        true_of = (found.sets == (targets == 1)[:, None]).all(axis=2).astype(np.float64)
    else:
        true_of = metrics.chances(found.sets, truth.sets, truth.probs)
    for name, labels in parts.items():
        sets, best, true = drawn[:, :, labels], found.sets[:, :, labels], targets[:, labels]
        f1 = metrics.set_f1(best, found.present, true)
        terms = {
            "distinct": _per_row(metrics.distinct(sets, every)),
            "jaccard_distance": metrics.jaccard_distance(sets, every),
            "coverage": metrics.coverage(best, found.present, true),
            "first_f1": metrics.first_f1(f1),
            "best_f1": metrics.best_f1(f1, found.present),
        }
        if truth is not None:
            of_draws = metrics.chances(sets, truth.sets[:, :, labels], truth.probs)
            terms["possible"] = metrics.possible(of_draws, every)
            terms["log_chance"] = metrics.log_chance(of_draws, every)
        counted = found.present & known[:, None]
        if name != "all":
            counted = counted & best.any(axis=2)
        gaps, squares, counts = metrics.calibration_terms(found.probs, true_of, counted)
        terms[CALIBRATION_ERROR] = RowTerms(gaps, counts)
        terms["brier"] = RowTerms(squares, counts)
        for metric, each in terms.items():
            measured.setdefault(metric, {})[name] = each
    likelihood = model.log_probs(features, (targets == 1)[:, None])[:, 0]
    measured["log_likelihood"] = {"all": _per_row(likelihood, known)}
    if truth is not None:
        logs = model.log_probs(features, truth.sets)
        measured["divergence"] = {"all": _per_row(metrics.divergence(truth.probs, logs))}
    return MeasuredSets(measured)


def _per_row(values: NDArray[np.generic], known: NDArray[np.bool_] | None = None) -> RowTerms:
    """A value a row, and whether it counts."""
    counted = np.ones(len(values), dtype=bool) if known is None else known
    numerators = np.where(counted, values, 0.0).astype(np.float64)
    return RowTerms(numerators[:, None], counted[:, None].astype(np.float64))
