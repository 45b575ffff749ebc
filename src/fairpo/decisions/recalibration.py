"""Strictly increasing maps of each label's logits that make its probabilities true.

Fitted on validation rows. Because a map is strictly increasing, the ranking of rows within a label
stays, and with it AP, exactly. The order of labels within a row does change.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit
from sklearn.isotonic import IsotonicRegression

from fairpo._checks import value_error
from fairpo.decisions.guard import guarded_targets
from fairpo.metrics.ranking import Floats, Scores, check_scores

LINEAR_SHARE = 0.05
"""Of the isotonic map: what its straight part weighs, so that no plateau makes ties."""

LEAST_SLOPE = 0.01
"""Of the pooled slope: what a label keeps whose scores rank its validation rows backwards."""

SURE = 1e-12  # probabilities nearer than this to 0 or 1 have the logit of this one
ENTRIES = 2**20  # of a block of labels that are fitted together, in float64
_CACHED = 2**15  # entries whose intermediate results are held at once
STEPS = 100  # Newton needs about 8; the rest is for guards next to 0 on separable rows
HALVINGS = 20
CONVERGED = 1e-12
FIRM = 1 + 1e-9  # on the diagonal of the curvature: scores that are all equal have a step too


@dataclass(frozen=True)
class Recalibration:
    """A map of logits to logits for each label.

    ``slope * logit + intercept``, and where there are knots, ``LINEAR_SHARE`` of that plus the rest
    of a piecewise linear, increasing curve through the knots, flat outside of them.

    Attributes
    ----------
    slope : float64 array, shape (L,), above 0
    intercept : float64 array, shape (L,)
    knots_from, knots_to : float64 arrays, shape (K,)
        Logits before and after, of all labels one after the other.
    knots_start : int64 array, shape (L + 1,)
        Where each label's knots begin; a label without knots has the straight map alone.
    """

    slope: Floats
    intercept: Floats
    knots_from: Floats
    knots_to: Floats
    knots_start: NDArray[np.int64]

    @classmethod
    def straight(cls, slope: Floats, intercept: Floats) -> Recalibration:
        """Return a map without knots."""
        none = np.empty(0)
        return cls(slope, intercept, none, none, np.zeros(len(slope) + 1, dtype=np.int64))

    @classmethod
    def identity(cls, n_labels: int) -> Recalibration:
        """Return the map that changes nothing."""
        return cls.straight(np.ones(n_labels), np.zeros(n_labels))

    def apply(self, logits: Scores) -> Floats:
        """Map logits (n, L) to recalibrated logits (n, L), float64."""
        if logits.ndim != 2 or logits.shape[1] != len(self.slope):
            raise value_error(
                "logits", must=f"have shape (rows, {len(self.slope)})", got=logits.shape
            )
        straight = self.slope * logits.astype(np.float64) + self.intercept
        for label in np.flatnonzero(np.diff(self.knots_start)):
            own = slice(self.knots_start[label], self.knots_start[label + 1])
            curve = np.interp(logits[:, label], self.knots_from[own], self.knots_to[own])
            straight[:, label] *= LINEAR_SHARE
            straight[:, label] += (1 - LINEAR_SHARE) * curve
        return straight


def fit_platt(logits: Scores, targets: NDArray[Any], guard: float) -> Recalibration:
    """Fit ``sigmoid(slope * logit + intercept)`` to each label (Platt scaling).

    First one slope and one intercept for all labels together, then those of each label, where the
    pooled map is the prior: it adds ``guard`` pseudo-positives to every label, with as many
    pseudo-negatives as it expects.

    Parameters
    ----------
    logits : float array, shape (n, L)
        Of validation rows.
    targets : int8 array, shape (n, L)
        1, 0, or -1 for not known.
    guard : float, above 0
        Pseudo-positives. A label with many more positives than that has its own map, one with
        fewer nearly the pooled one.

    Returns
    -------
    Recalibration
        A label without a known entry has the pooled map. The identity where there are no
        positives, or no negatives, of any label.

    Notes
    -----
    Newton's method for all labels at once; the guarded likelihood is strictly convex and its
    optimum finite, also on separable rows. It is ``sklearn.linear_model.LogisticRegression``
    without penalty on the guarded targets. A slope that would not be positive is set to
    ``LEAST_SLOPE`` of the pooled one and the intercept fitted to it.

    References
    ----------
    Platt, "Probabilistic outputs for support vector machines", 1999.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> logits = rng.normal(size=(5000, 1))
    >>> targets = (rng.random((5000, 1)) < 1 / (1 + np.exp(1 - 2 * logits))).astype(np.int8)
    >>> fitted = fit_platt(logits, targets, guard=5.0)
    >>> fitted.slope.round(1), fitted.intercept.round(1)
    (array([2.]), array([-1.]))
    """
    check_scores(logits, targets)
    slope, intercept = _pooled(logits, targets)
    n_labels, size = logits.shape[1], max(ENTRIES // max(len(logits), 1), 1)
    slopes, intercepts = np.empty(n_labels), np.empty(n_labels)
    for start in range(0, n_labels, size):
        block = slice(start, start + size)
        scores = logits[:, block].astype(np.float64)
        prior = expit(slope * scores + intercept)
        guarded = guarded_targets(targets[:, block], prior, guard)
        slopes[block], intercepts[block] = _logistic(scores, *guarded, slope, intercept)
    fitted = _fitted(targets)
    return Recalibration.straight(
        np.where(fitted, slopes, slope), np.where(fitted, intercepts, intercept)
    )


def fit_isotonic(logits: Scores, targets: NDArray[Any], guard: float) -> Recalibration:
    """Fit an increasing curve to each label, around its Platt map.

    scikit-learn's ``IsotonicRegression`` on targets guarded by the label's own Platt map, through
    whose values runs a piecewise linear curve of logits; ``LINEAR_SHARE`` of the Platt map is
    mixed in, which makes it strictly increasing.

    Parameters and result as for :func:`fit_platt`.

    References
    ----------
    Zadrozny and Elkan, "Transforming classifier scores into accurate multiclass probability
    estimates", KDD 2002.
    """
    platt = fit_platt(logits, targets, guard)
    mixed, weights = guarded_targets(targets, expit(platt.apply(logits)), guard)
    fitted = _fitted(targets)
    knots = [
        _curve(logits[:, label], mixed[:, label], weights[:, label])
        if fitted[label]
        else (np.empty(0), np.empty(0))
        for label in range(logits.shape[1])
    ]
    return Recalibration(
        platt.slope,
        platt.intercept,
        np.concatenate([before for before, _ in knots]),
        np.concatenate([after for _, after in knots]),
        np.cumsum([0, *(len(before) for before, _ in knots)]),
    )


def _fitted(targets: NDArray[Any]) -> NDArray[np.bool_]:
    """Labels with a map of their own: with a known entry, where there are both kinds at all.

    One without positives too, or seeing none of a label would make it likelier than seeing one.
    """
    if not ((targets == 1).any() and (targets == 0).any()):
        return np.zeros(targets.shape[1], dtype=bool)
    return np.asarray((targets >= 0).any(axis=0))


def _curve(scores: Scores, targets: Floats, weights: Floats) -> tuple[Floats, Floats]:
    seen = weights > 0
    fit = IsotonicRegression().fit(
        scores[seen].astype(np.float64), targets[seen], sample_weight=weights[seen]
    )
    after = logit(np.clip(fit.y_thresholds_, SURE, 1 - SURE))
    return fit.X_thresholds_, after


def _pooled(scores: Scores, targets: NDArray[Any]) -> tuple[float, float]:
    """One slope and intercept for all labels; the identity is worth one entry against them."""
    observed = targets >= 0
    known, true = scores[observed][:, None].astype(np.float64), targets[observed][:, None]
    if not (true == 1).any() or not (true == 0).any():
        return 1.0, 0.0
    mixed, weights = guarded_targets(true, expit(known), 1.0)
    slope, intercept = _logistic(known, mixed, weights, 1.0, 0.0)
    return float(slope[0]), float(intercept[0])


def _logistic(
    scores: Floats, targets: Floats, weights: Floats, slope: float, intercept: float
) -> tuple[Floats, Floats]:
    """Fit a slope and an intercept to each column by weighted cross-entropy, from given ones."""
    n_labels = scores.shape[1]
    slopes, intercepts = np.full(n_labels, slope), np.full(n_labels, intercept)
    slopes, intercepts = _newton(scores, targets, weights, slopes, intercepts, free=True)
    backwards = slopes < LEAST_SLOPE * slope
    if backwards.any():
        slopes = np.where(backwards, LEAST_SLOPE * slope, slopes)
        again = _newton(scores, targets, weights, slopes, intercepts, free=False)[1]
        intercepts = np.where(backwards, again, intercepts)
    return slopes, intercepts


def _newton(
    scores: Floats,
    targets: Floats,
    weights: Floats,
    slopes: Floats,
    intercepts: Floats,
    *,
    free: bool,
) -> tuple[Floats, Floats]:
    """Newton's method with halved steps, all columns at once; ``free`` slopes move too.

    A column whose next step promises nothing takes that step, if it is one down, and is done.
    """
    loss = _loss(scores, targets, weights, slopes, intercepts)
    finished = np.zeros(len(slopes), dtype=bool)
    for _ in range(STEPS):
        to_slope, to_intercept, promised = _step(
            scores, targets, weights, slopes, intercepts, free=free
        )
        to_slope, to_intercept = (
            np.where(finished, 0, to_slope),
            np.where(finished, 0, to_intercept),
        )
        finished |= promised <= CONVERGED * np.maximum(loss, 1.0)
        before = loss
        for halving in range(HALVINGS):
            new_slopes = slopes - to_slope * 0.5**halving
            new_intercepts = intercepts - to_intercept * 0.5**halving
            new = _loss(scores, targets, weights, new_slopes, new_intercepts)
            better = new < loss
            slopes = np.where(better, new_slopes, slopes)
            intercepts = np.where(better, new_intercepts, intercepts)
            loss = np.where(better, new, loss)
            moved = before - loss > 0  # a column that has moved waits for the next step
            done = finished | moved
            to_slope, to_intercept = np.where(done, 0, to_slope), np.where(done, 0, to_intercept)
            if done.all():
                break
        finished |= before - loss <= CONVERGED * np.maximum(loss, 1.0)
        if finished.all():
            break
    return slopes, intercepts


def _step(
    scores: Floats,
    targets: Floats,
    weights: Floats,
    slopes: Floats,
    intercepts: Floats,
    *,
    free: bool,
) -> tuple[Floats, Floats, Floats]:
    """Newton's full step of each column, inverse curvature times gradient; what it promises.

    That is half the product of step and gradient, the loss it saves where the loss is a parabola.
    """
    by_intercept, by_slope, second, cross, square = np.zeros((5, len(slopes)))
    for part in _parts(scores):
        known = scores[part]
        logits = slopes * known + intercepts
        small = _decay(logits)
        probability = np.where(logits >= 0, 1.0, small) / (1.0 + small)
        error = weights[part] * (probability - targets[part])
        curvature = weights[part] * probability * (1 - probability)
        by_intercept += error.sum(axis=0)
        by_slope += np.einsum("ij,ij->j", error, known)
        second += curvature.sum(axis=0)
        curvature *= known
        cross += curvature.sum(axis=0)
        square += np.einsum("ij,ij->j", curvature, known)
    second = second * FIRM + SURE
    square = square * FIRM + SURE
    if not free:
        to_intercept = by_intercept / second
        return np.zeros_like(slopes), to_intercept, by_intercept * to_intercept / 2
    determinant = square * second - cross**2
    to_slope = (second * by_slope - cross * by_intercept) / determinant
    to_intercept = (square * by_intercept - cross * by_slope) / determinant
    return to_slope, to_intercept, (by_slope * to_slope + by_intercept * to_intercept) / 2


def _loss(
    scores: Floats, targets: Floats, weights: Floats, slopes: Floats, intercepts: Floats
) -> Floats:
    """Weighted cross-entropy of each column, shape (L,)."""
    total = np.zeros(len(slopes))
    for part in _parts(scores):
        logits = slopes * scores[part] + intercepts
        entries = np.log1p(_decay(logits)) + np.maximum(logits, 0.0) - targets[part] * logits
        total += np.einsum("ij,ij->j", weights[part], entries)
    return total


def _parts(scores: Floats) -> Iterator[slice]:
    """Rows, a part at a time whose intermediate results stay in the cache."""
    rows = max(_CACHED // scores.shape[1], 1)
    for start in range(0, len(scores), rows):
        yield slice(start, start + rows)


def _decay(logits: Floats) -> Floats:
    """``exp(-|logits|)``; what is made of it is three times as fast as logaddexp and expit."""
    entries: Floats = np.abs(logits)
    np.negative(entries, out=entries)
    return np.exp(entries, out=entries)
