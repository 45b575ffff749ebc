"""A reference in closed form: kernel ridge regression, with leave-one-out scores of its own rows.

On the rows it was fitted to, a reference has hardly any confusing examples left, and the few it
has are noise. What is left out is what it would say of a new row, so that confusing examples, the
constraint and its units are judged by what can be expected of it. Ridge regression tells that of
every row at once, without another fit: from its share in its own prediction, the diagonal of the
hat matrix.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import product
from typing import Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor
from torch.linalg import LinAlgError  # type: ignore[attr-defined]

from fairpo._checks import value_error
from fairpo.data.base import MultiLabelData, block_rows, dense_targets, feature_rows
from fairpo.decisions.recalibration import fit_platt
from fairpo.metrics.ranking import average_precision, mean_defined
from fairpo.models.kernel_ridge import KernelRidge, gaussian_kernel
from fairpo.training.rows import feature_moments

_JITTER = 1e-5  # on a diagonal of ones: landmarks may be nearly the same
_LEAST_SPREAD = 1e-6
_LEAST_LEFT = 1e-3  # of a row's own share, where it decides its own prediction
_MEDIAN_ROWS = 500
_SEARCH_ROWS, _SEARCH_LANDMARKS = 4000, 200  # they rank shapes as 2000 landmarks do
_LEAST_LANDMARKS, _MOST_PRODUCTS = 1000, 1.6e10  # rows x landmarks^2: a second of one core
_KEPT_NUMBERS = 2**25


class KernelSettings(BaseModel):
    """What is searched, and how finely; the defaults were chosen on validation rows."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    landmarks: int = Field(
        2000,
        ge=1,
        description="Rows that span the regression, drawn from the training rows; fewer where the "
        "training rows are more than 4,000, and 1,000 from 16,000 on.",
    )
    widths: tuple[float, ...] = Field(
        (1.0, 2.0), min_length=1, description="Of the kernel, in median distances between rows."
    )
    scalings: tuple[Literal["none", "standard"], ...] = Field(
        ("none", "standard"),
        min_length=1,
        description="Features centred only, or divided by their deviation as well.",
    )
    penalties: tuple[float, ...] = Field(
        (0.1, 0.3, 1.0, 3.0, 10.0, 30.0),
        min_length=1,
        description="Of the squared norm, in their order: every other one is tried on few rows, "
        "the best and its neighbours in the regression on all rows, judged by the few.",
    )
    guard: float = Field(
        2.0, gt=0, description="Pseudo-positives by which each label's slope is drawn to all's."
    )


@dataclass(frozen=True)
class KernelFit:
    """A fitted kernel ridge regression.

    Parameters
    ----------
    model : KernelRidge
        Fitted to all rows given.
    left_out : float32 array, shape (rows, L)
        Logits of each of these rows from a fit to all others.
    scaling : str
    width : float
        In median distances.
    penalty : float
    """

    model: KernelRidge
    left_out: NDArray[np.float32]
    scaling: str
    width: float
    penalty: float


def fit_kernel_ridge(
    data: MultiLabelData,
    rows: NDArray[np.int64],
    settings: KernelSettings,
    seed: int,
    sample_weight: NDArray[np.float64] | None = None,
) -> KernelFit:
    """Fit kernel ridge regression to some rows; width, scaling and penalty have the best mAP.

    The mAP is of leave-one-out values, and few rows and landmarks tell width and scaling. Targets
    that are not known count as the label's mean. Logits are the regression's values, each label's
    mapped by a Platt scaling of its leave-one-out values, which changes no ranking.

    Parameters
    ----------
    data : MultiLabelData
    rows : int array, shape (m,)
    settings : KernelSettings
    seed : int
        Of the landmarks, and of the rows of the search.
    sample_weight : float array, shape (n,), optional
        Of all rows of the data; only their ratios count.

    Raises
    ------
    FairPOValueError
        No scaling and width makes a kernel that can be solved for.
    """
    weight = np.ones(data.n_rows) if sample_weight is None else sample_weight
    drawn = np.random.default_rng(seed).permutation(rows)
    few = np.sort(drawn[:_SEARCH_ROWS])
    spanning = drawn[: min(settings.landmarks, _SEARCH_LANDMARKS)]
    shapes = [_Shape(*shape) for shape in product(settings.scalings, settings.widths)]
    tried = _solvable(data, few, weight, shapes, spanning)
    affordable = max(int((_MOST_PRODUCTS / len(rows)) ** 0.5), _LEAST_LANDMARKS)
    landmarks = drawn[: min(settings.landmarks, affordable)]
    while best := _best(tried, settings.penalties[::2], few):
        whole = _solvable(data, rows, weight, [best.regression.shape], landmarks)
        place = settings.penalties.index(best.penalty)
        near = settings.penalties[max(place - 1, 0) : place + 2]
        if (found := _best(whole, near, few)) is not None:
            return _as_logits(found, settings.guard)
        tried.remove(best.regression)  # few rows could be solved for, all could not
    raise value_error(
        "the training features",
        must="make kernels that can be solved for",
        got=f"none that can, of {len(shapes)} scalings and widths",
        do="Look for columns whose numbers are too large for float32, such as marks of what is "
        "missing.",
    )


class _Shape(NamedTuple):
    """What a kernel is like."""

    scaling: str
    width: float


@dataclass(frozen=True)
class _Solution:
    """A regression under one penalty."""

    regression: _Regression
    penalty: float
    factor: Tensor
    weights: Tensor
    intercept: Tensor

    def left_out(
        self, rows: NDArray[np.int64], blocks: Iterable[tuple[slice, Tensor]]
    ) -> NDArray[np.float32]:
        """What a fit to all other rows says of each of these, which it was fitted to, (rows, L)."""
        regression = self.regression
        targets, weight = regression.targets_of(rows), regression.weight_of(rows)
        slope, shift, lower = (p.float() for p in (self.weights, self.intercept, self.factor))
        values = np.empty(targets.shape, dtype=np.float32)
        for part, turned in blocks:
            centred = turned - regression.centre.float().unsqueeze(1)
            apart = _forward(lower, centred)
            own = (apart * apart).sum(0).unsqueeze(1) + 1 / len(regression.rows)
            own = own * weight[part]
            fitted = torch.addmm(shift, turned.T, slope)
            others = (fitted - own * targets[part]) / (1 - own).clamp_min(_LEAST_LEFT)
            values[part] = others.numpy()
        return values


def _forward(lower: Tensor, columns: Tensor) -> Tensor:
    """``lower^-1 columns``; the transposed form needs no copy, and takes half the time."""
    solved: Tensor = torch.linalg.solve_triangular(lower.T, columns.T, upper=True, left=False)
    return solved.T


def _solvable(
    data: MultiLabelData,
    rows: NDArray[np.int64],
    sample_weight: NDArray[np.float64],
    shapes: list[_Shape],
    landmarks: NDArray[np.int64],
) -> list[_Regression]:
    """Regressions of these shapes, but for those whose kernel is singular or overflows."""
    found = []
    for shape in shapes:
        with suppress(LinAlgError):
            found.append(_Regression(data, rows, sample_weight, shape, landmarks))
    return found


def _best(
    regressions: list[_Regression], penalties: tuple[float, ...], rows: NDArray[np.int64]
) -> _Solution | None:
    """The regression and the penalty with the best mean average precision on rows left out."""
    truth = dense_targets(regressions[0].data.targets, rows) if regressions else np.empty((0, 0))
    alone = len(regressions) == len(penalties) == 1
    best, highest = None, -math.inf
    for regression in regressions:
        blocks = [] if alone else list(regression.blocks(rows))
        for penalty in penalties:
            try:
                solution = regression.solve(penalty)
            except LinAlgError:
                continue
            if alone:
                return solution
            precision = average_precision(solution.left_out(rows, blocks), truth)
            if (score := float(mean_defined(precision))) > highest or best is None:
                best, highest = solution, score
    return best


class _Regression:
    """Ridge regression of the targets on kernel features, for any penalty.

    The features ``k`` are turned to ``turn^-1 k``, with ``turn turn^T`` the kernel of the
    landmarks, so that the plain ridge penalty is the norm of the kernel.
    """

    def __init__(
        self,
        data: MultiLabelData,
        rows: NDArray[np.int64],
        sample_weight: NDArray[np.float64],
        shape: _Shape,
        landmarks: NDArray[np.int64],
    ) -> None:
        self.data, self.rows, self.shape = data, rows, shape
        own = np.maximum(sample_weight, np.finfo(np.float64).tiny)
        self._weight = (own / own[rows].mean()).astype(np.float32)
        truth = dense_targets(data.targets, rows)
        known = truth >= 0
        self._frequencies = (truth * known).sum(0) / np.maximum(known.sum(0), 1)
        mean, deviation = feature_moments(data.features, rows)
        scale = deviation if shape.scaling == "standard" else np.ones_like(deviation)
        self.mean, self.scale = torch.from_numpy(mean), torch.from_numpy(scale)
        self.landmarks = self._scaled(landmarks)
        self.width = shape.width * _median_distance(self.landmarks[:_MEDIAN_ROWS])
        among = self.landmarks.double()  # or rounding is more than the jitter
        kernel = gaussian_kernel(among, among, self.width)
        kernel.diagonal().add_(_JITTER)
        self.turn = torch.linalg.cholesky(kernel)
        few = len(rows) * len(landmarks) <= _KEPT_NUMBERS
        self._kept = list(self._made(rows)) if few else None
        self._sum()

    def solve(self, penalty: float) -> _Solution:
        """Solve for a penalty; the intercept is not penalised."""
        factor = torch.linalg.cholesky(self._squares + penalty * torch.eye(len(self.landmarks)))
        weights = torch.cholesky_solve(self._products, factor)
        return _Solution(self, penalty, factor, weights, self._middle - self.centre @ weights)

    def targets_of(self, rows: NDArray[np.int64]) -> Tensor:
        """Targets (rows, L), float32, where what is not known is the label's mean."""
        truth = dense_targets(self.data.targets, rows)
        return torch.from_numpy(np.where(truth >= 0, truth, self._frequencies).astype(np.float32))

    def weight_of(self, rows: NDArray[np.int64]) -> Tensor:
        """Weights of rows, (rows, 1), 1 on average."""
        return torch.from_numpy(self._weight[rows]).unsqueeze(1)

    def blocks(self, rows: NDArray[np.int64]) -> Iterator[tuple[slice, Tensor]]:
        """Turned features (landmarks, rows), a block of rows at a time, and the block's place."""
        if self._kept is not None and np.array_equal(rows, self.rows):
            yield from self._kept
        else:
            yield from self._made(rows)

    def _sum(self) -> None:
        """Sum the centred normal equations over the rows, in float64."""
        n_landmarks = len(self.landmarks)
        targets, weight = self.targets_of(self.rows), self.weight_of(self.rows)
        total = torch.zeros(n_landmarks, dtype=torch.float64)
        squares = torch.zeros(n_landmarks, n_landmarks, dtype=torch.float64)
        products = torch.zeros(n_landmarks, targets.shape[1], dtype=torch.float64)
        for part, turned in self.blocks(self.rows):
            weighted = turned * weight[part].T
            total += weighted.sum(1)
            squares += turned @ weighted.T
            products += weighted @ targets[part]
        self.centre = total / len(self.rows)
        self._middle = (targets * weight).double().mean(0)
        self._squares = squares.addr_(self.centre, total, alpha=-1)
        self._products = products.addr_(total, self._middle, alpha=-1)

    def _made(self, rows: NDArray[np.int64]) -> Iterator[tuple[slice, Tensor]]:
        size = block_rows(max(self.landmarks.shape))
        for start in range(0, len(rows), size):
            part = slice(start, start + size)
            plain = gaussian_kernel(self.landmarks, self._scaled(rows[part]), self.width)
            yield part, _forward(self.turn.float(), plain)

    def _scaled(self, rows: NDArray[np.int64]) -> Tensor:
        block = torch.from_numpy(np.asarray(feature_rows(self.data.features, rows), np.float32))
        return (block - self.mean) / self.scale


def _median_distance(rows: Tensor) -> Tensor:
    distances = torch.pdist(rows)  # of twins exactly 0, which cdist of many rows is not
    apart = distances[distances > 0]
    return apart.median() if len(apart) else torch.ones(())


def _as_logits(solution: _Solution, guard: float) -> KernelFit:
    """Map values to logits: in deviations from the mean, then by Platt's line of each label."""
    regression = solution.regression
    values = solution.left_out(regression.rows, regression.blocks(regression.rows))
    truth = dense_targets(regression.data.targets, regression.rows)
    centre, spread = values.mean(0), np.maximum(values.std(0), _LEAST_SPREAD)
    line = fit_platt((values - centre) / spread, truth, guard)
    slope, shift = line.slope / spread, line.intercept - line.slope * centre / spread
    data = regression.data
    model = KernelRidge(data.n_features, data.n_labels, len(regression.landmarks))
    model.scaling.mean.copy_(regression.mean)
    model.scaling.scale.copy_(regression.scale)
    model.landmarks.copy_(regression.landmarks)
    model.width.copy_(regression.width)
    weights = torch.linalg.solve_triangular(regression.turn.T, solution.weights, upper=True)
    model.coefficients.copy_(weights * torch.from_numpy(slope))
    model.intercept.copy_(solution.intercept * torch.from_numpy(slope) + torch.from_numpy(shift))
    return KernelFit(
        model,
        (values * slope + shift).astype(np.float32),
        regression.shape.scaling,
        regression.shape.width,
        solution.penalty,
    )
