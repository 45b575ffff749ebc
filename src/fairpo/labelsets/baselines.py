"""What a generator is compared with: labels that know nothing of one another, and a chain."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import log_expit

from fairpo._random import SETS, random_uniform
from fairpo.data.base import Features, feature_rows
from fairpo.labelsets.inference import Sets
from fairpo.labelsets.sets import DRAWS, GeneratedSets
from fairpo.models.head import Policy
from fairpo.training.run import exact_logits

if TYPE_CHECKING:
    from sklearn.multioutput import ClassifierChain

_CERTAIN = 1e-12  # a classifier's probability of 0 or 1 must not make the logarithm infinite
_WIDTH = 16


class IndependentSets:
    """A classifier whose labels are drawn, or cut at one half, each for itself.

    Parameters
    ----------
    policy : Policy
        Such as a reference of ``fairpo.training.fit.train_reference``.
    """

    def __init__(self, policy: Policy) -> None:
        self.policy = policy

    def draw(self, features: Features, k: int, seed: int = 0) -> Sets:
        """Draw every label with its probability; see :meth:`SetModel.draw`."""
        logits = exact_logits(self.policy, features)
        n_rows, n_labels = logits.shape
        uniform = _uniforms(n_rows, k, n_labels, seed)
        return np.asarray(np.log(uniform) < log_expit(logits)[:, None])

    def most_probable(self, features: Features, k: int) -> GeneratedSets:
        """Find the likeliest sets: the labels above one half, then with the least sure flipped.

        Exact. A set costs the sum of the absolute logits of its flipped labels, and the k
        cheapest flips are made of the k - 1 least sure labels.
        """
        logits = exact_logits(self.policy, features)
        n_rows, n_labels = logits.shape
        sure = np.abs(logits)
        unsure = sure.argsort(axis=1, kind="stable")[:, : min(k - 1, n_labels)]
        rows = np.arange(n_rows)
        cost = np.zeros((n_rows, 1))
        flips = np.zeros((n_rows, 1, n_labels), dtype=bool)
        for column in unsure.T:
            flipped = flips.copy()
            flipped[rows, :, column] = True
            cost = np.concatenate([cost, cost + sure[rows, column][:, None]], axis=1)
            flips = np.concatenate([flips, flipped], axis=1)
            best = cost.argsort(axis=1, kind="stable")[:, :k]
            cost, flips = cost[rows[:, None], best], flips[rows[:, None], best]
        sets = (logits > 0)[:, None] ^ flips
        return _padded(sets, _independent_log_probs(logits, sets), k)

    def log_probs(self, features: Features, sets: Sets) -> NDArray[np.float64]:
        """Sum the logarithms of the labels; see :meth:`SetModel.log_probs`."""
        return _independent_log_probs(exact_logits(self.policy, features), sets)


class ChainSets:
    """A fitted chain of classifiers: each label knows those before it.

    Parameters
    ----------
    chain : sklearn.multioutput.ClassifierChain
        Fitted, of classifiers with ``predict_proba`` that have seen both classes.
    """

    def __init__(self, chain: ClassifierChain) -> None:
        self.chain = chain
        self._order = np.asarray(chain.order_)

    def draw(self, features: Features, k: int, seed: int = 0) -> Sets:
        """Draw label after label down the chain; see :meth:`SetModel.draw`."""
        X = np.repeat(feature_rows(features, slice(None)), k, axis=0)
        said = np.zeros((len(X), len(self._order)))
        uniform = _uniforms(features.shape[0], k, len(self._order), seed)
        uniform = uniform.reshape(len(X), -1)
        for place in range(len(self._order)):
            said[:, place] = uniform[:, place] < self._positive(X, said, place)
        return self._in_label_order(said > 0).reshape(features.shape[0], k, -1)

    def most_probable(self, features: Features, k: int) -> GeneratedSets:
        """Search down the chain with a beam; see :meth:`SetModel.most_probable`."""
        X = feature_rows(features, slice(None))
        n_rows, n_labels, width = len(X), len(self._order), max(k, _WIDTH)
        said = np.zeros((n_rows, 1, n_labels))
        score = np.zeros((n_rows, 1))
        rows = np.arange(n_rows)[:, None]
        for place in range(n_labels):
            beams = said.shape[1]
            positive = self._positive(
                np.repeat(X, beams, axis=0), said.reshape(-1, n_labels), place
            ).reshape(n_rows, beams)
            with_label = said.copy()
            with_label[:, :, place] = 1
            score = np.concatenate([score + np.log1p(-positive), score + np.log(positive)], axis=1)
            said = np.concatenate([said, with_label], axis=1)
            best = (-score).argsort(axis=1, kind="stable")[:, :width]
            score, said = score[rows, best], said[rows, best]
        return _padded(self._in_label_order(said[:, :k] > 0), score[:, :k], k)

    def log_probs(self, features: Features, sets: Sets) -> NDArray[np.float64]:
        """Sum the logarithms down the chain; see :meth:`SetModel.log_probs`."""
        n_rows, m, n_labels = sets.shape
        X = np.repeat(feature_rows(features, slice(None)), m, axis=0)
        said = sets.reshape(-1, n_labels)[:, self._order].astype(np.float64)
        total = np.zeros(len(X))
        for place in range(n_labels):
            positive = self._positive(X, said, place)
            total += np.where(said[:, place] > 0, np.log(positive), np.log1p(-positive))
        return total.reshape(n_rows, m)

    def _positive(
        self, X: NDArray[Any], said: NDArray[np.float64], place: int
    ) -> NDArray[np.float64]:
        """Probability of the label at a place of the chain, given those before."""
        seen = np.hstack([X, said[:, :place]])
        positive = self.chain.estimators_[place].predict_proba(seen)[:, 1]
        return np.asarray(positive.astype(np.float64).clip(_CERTAIN, 1 - _CERTAIN))

    def _in_label_order(self, said: Sets) -> Sets:
        sets = np.zeros_like(said)
        sets[..., self._order] = said
        return sets


def _independent_log_probs(logits: NDArray[np.float64], sets: Sets) -> NDArray[np.float64]:
    signed = np.where(sets, logits[:, None], -logits[:, None])
    return np.asarray(log_expit(signed).sum(axis=2))


def _uniforms(n_rows: int, k: int, n_labels: int, seed: int) -> NDArray[np.float64]:
    places = torch.arange(n_rows)[:, None, None], torch.arange(k)[:, None], torch.arange(n_labels)
    drawn: NDArray[np.float64] = random_uniform(SETS, DRAWS, seed, *places).numpy()
    return np.maximum(drawn, np.finfo(np.float64).tiny)  # 0 has no logarithm


def _padded(sets: Sets, log_probs: NDArray[np.float64], k: int) -> GeneratedSets:
    """Fill up to k places where there are fewer sets."""
    lacking = k - sets.shape[1]
    if lacking:
        sets = np.pad(sets, ((0, 0), (0, lacking), (0, 0)))
        log_probs = np.pad(log_probs, ((0, 0), (0, lacking)), constant_values=-np.inf)
    return GeneratedSets(sets, log_probs, np.zeros(log_probs.shape))
