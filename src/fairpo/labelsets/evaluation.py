"""A model of sets against rows of known sets, and against the truth where it is known."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fairpo._checks import check_same_length, value_error
from fairpo.data.base import Features
from fairpo.groups import LabelGroups
from fairpo.labelsets.inference import SetModel
from fairpo.metrics import RowTerms
from fairpo.metrics import label_sets as metrics

if TYPE_CHECKING:
    from fairpo.data.ambiguous_digits import SetDistributions

SetFigures = dict[str, dict[str, float]]


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
    check_same_length({"X": int(features.shape[0]), "Y": len(targets)})
    if not len(targets):
        raise value_error("the rows to evaluate", must="be at least 1", got=0)
    drawn = model.draw(features, k, seed)
    found = model.most_probable(features, k)
    every = np.ones(drawn.shape[:2], dtype=bool)
    known = np.asarray((targets >= 0).all(axis=1))
    figures: SetFigures = {}
    parts = {"all": np.arange(targets.shape[1]), **groups.as_mapping()}
    if truth is None:
        true_of = (found.sets == (targets == 1)[:, None]).all(axis=2).astype(np.float64)
    else:
        true_of = metrics.chances(found.sets, truth.sets, truth.probs)
    for name, labels in parts.items():
        sets, best, true = drawn[:, :, labels], found.sets[:, :, labels], targets[:, labels]
        f1 = metrics.set_f1(best, found.present, true)
        values = {
            "distinct": float(metrics.distinct(sets, every).mean()),
            "jaccard_distance": _mean(metrics.jaccard_distance(sets, every)),
            "coverage": _mean(metrics.coverage(best, found.present, true)),
            "first_f1": _mean(metrics.first_f1(f1)),
            "best_f1": _mean(metrics.best_f1(f1, found.present)),
        }
        if truth is not None:
            of_draws = metrics.chances(sets, truth.sets[:, :, labels], truth.probs)
            values["possible"] = _mean(metrics.possible(of_draws, every))
            values["log_chance"] = _mean(metrics.log_chance(of_draws, every))
        counted = found.present & known[:, None]
        if name != "all":
            counted = counted & best.any(axis=2)
        calibration = metrics.set_calibration(found.probs, true_of, counted)
        values["calibration_error"], values["brier"] = calibration
        for metric, value in values.items():
            figures.setdefault(metric, {})[name] = value
    likelihood = model.log_probs(features, (targets == 1)[:, None])[:, 0]
    figures["log_likelihood"] = {"all": float(likelihood[known].mean()) if known.any() else np.nan}
    if truth is not None:
        logs = model.log_probs(features, truth.sets)
        figures["divergence"] = {"all": float(metrics.divergence(truth.probs, logs).mean())}
    return figures


def _mean(terms: RowTerms) -> float:
    return float(terms.mean()[0])
