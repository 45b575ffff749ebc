"""Reward accuracy of a policy on held-out pairs: how often its own reward prefers chosen.

DPO's implicit reward of a completion is ``beta (log pi(y|x) - log pi_ref(y|x))``. Its accuracy
needs no judge and no sampling, only the log-probabilities of both completions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fairpo._checks import check_same_length
from fairpo.generation.rates import Rates
from fairpo.groups import LabelGroups
from fairpo.metrics.ranking import Floats, divide_defined


def reference_margins(
    chosen: ArrayLike,
    rejected: ArrayLike,
    reference_chosen: ArrayLike,
    reference_rejected: ArrayLike,
) -> Floats:
    """Implicit reward of chosen minus that of rejected, over beta.

    ``(log pi - log pi_ref)(chosen) - (log pi - log pi_ref)(rejected)``, in nats: h of eq 20
    without beta, which is positive and changes no sign. Exactly 0 where policy and reference are
    the same model.

    Parameters
    ----------
    chosen, rejected, reference_chosen, reference_rejected : float arrays, shape (n,)
        Log-probabilities of whole completions, summed over their tokens.

    Returns
    -------
    float64 array, shape (n,)
        NaN where one of the four is not finite: the pair is skipped.
    """
    scores = _columns(
        chosen=chosen,
        rejected=rejected,
        reference_chosen=reference_chosen,
        reference_rejected=reference_rejected,
    )
    return (scores[0] - scores[2]) - (scores[1] - scores[3])


def length_normalised_margins(
    chosen: ArrayLike,
    rejected: ArrayLike,
    chosen_lengths: ArrayLike,
    rejected_lengths: ArrayLike,
) -> Floats:
    """Mean log-probability of a token of chosen minus that of rejected.

    For policies without a reference: SFT, and SimPO, whose reward it is (eq 4, over beta). A sum
    over tokens would prefer whatever is shorter.

    Parameters
    ----------
    chosen, rejected : float arrays, shape (n,)
        Log-probabilities of whole completions, summed over their tokens.
    chosen_lengths, rejected_lengths : int arrays, shape (n,)
        Numbers of tokens of the completions.

    Returns
    -------
    float64 array, shape (n,), nats a token
        NaN where a log-probability is not finite or a completion has no token.
    """
    scores = _columns(
        chosen=chosen,
        rejected=rejected,
        chosen_lengths=chosen_lengths,
        rejected_lengths=rejected_lengths,
    )
    return divide_defined(scores[0], scores[2]) - divide_defined(scores[1], scores[3])


def reward_accuracy(
    margins: Mapping[str, Floats],
    attributes: NDArray[np.int64],
    attribute_names: Sequence[str],
    groups: LabelGroups,
    prompts: NDArray[Any] | None = None,
    *,
    level: float = 0.95,
    n_resamples: int = 1000,
    seed: int = 0,
) -> Rates:
    """Share of pairs whose margin is above 0, by attribute, by group, and the worst of each.

    Parameters
    ----------
    margins : mapping from model to float array, shape (n,)
        From :func:`reference_margins` or, without a reference, :func:`length_normalised_margins`.
        A margin of 0 counts one half, NaN is skipped.
    attributes, attribute_names, groups, prompts, level, n_resamples, seed
        See :meth:`Rates.from_values <fairpo.generation.rates.Rates.from_values>`.

    Returns
    -------
    Rates
        ``wins`` are pairs whose chosen completion has the higher reward.

    Examples
    --------
    >>> import numpy as np
    >>> from fairpo import LabelPartition
    >>> margins = {"sft": np.array([0.3, -0.1, 0.0, 0.2])}
    >>> names = ["polite", "short"]
    >>> groups = LabelPartition.from_names(["polite"], names)
    >>> found = reward_accuracy(margins, np.array([0, 0, 1, 1]), names, groups)
    >>> found.runs["sft"].groups["privileged"].value, found.runs["sft"].overall.value
    (0.5, 0.625)
    """
    shares = {
        name: shares_right(np.asarray(own, dtype=np.float64)) for name, own in margins.items()
    }
    return Rates.from_values(
        shares,
        attributes,
        attribute_names,
        groups,
        prompts,
        level=level,
        n_resamples=n_resamples,
        seed=seed,
    )


def shares_right(margins: Floats) -> Floats:
    """1 where a margin is above 0, 0 below, one half at 0, NaN where it is not known."""
    return np.where(np.isnan(margins), np.nan, (1.0 + np.sign(margins)) / 2.0)


def _columns(**columns: ArrayLike) -> list[Floats]:
    arrays = {name: np.asarray(column, dtype=np.float64) for name, column in columns.items()}
    check_same_length({name: len(array) for name, array in arrays.items()})
    return [np.where(np.isfinite(array), array, np.nan) for array in arrays.values()]
