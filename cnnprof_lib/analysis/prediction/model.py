"""The time of a network as the sum of its units' times, learned from networks whose sum alone may be known.

A unit's time is ``base(unit) * exp(g(unit))``. The base is linear in the unit's work, with coefficients that are not
negative, for each kind of unit: the roofline's two limits and a fixed cost. The correction g is a Gaussian process over
the logarithms of the unit's sizes; it knows what a straight line cannot, such as kernels that suit few channels ill.
Far from all that was measured g is 0 and its deviation large.

Both are fitted to the logarithms of whole steps, and of single units where they were traced. A sum of exponentials is
made linear around the last estimate, a few times over (Gauss and Newton's method; Laplace's approximation of the
posterior). Intervals are the posterior's deviation, widened by what networks left out are missed by: the jackknife of
Lei et al., "Distribution-free predictive inference for regression", JASA 113, 2018, with deviations that differ.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import nnls
from scipy.sparse import csr_array

from ...base.errors import MeasureError
from .units import PARTS_OF_WORK, Unit

_Array = npt.NDArray[np.float64]
_SCALES = ((0.005, 300), (0.05, 500))
"""Likeness of two units is the mean of exp(-r d**2), far and near; d counts doublings of a size, and `_OTHER_KIND` for
another kind. A unit is described by its likeness to so many units at most (Nystroem's method)."""
_OTHER_KIND = 4.0
_WHOLE_WEIGHT = 3.0
"""How much surer the time of a step is than that of one of its units: it is longer, and no clock is read inside."""
_ROUNDS = 8
_FIRM, _FIRMNESS = 0.05, (0.01, 0.03, 0.1, 0.3, 1.0)
"""A unit's noise by the variance of the corrections: of the first estimates, and what is tried in the end."""
_LONGEST = 1.0
"""No correction changes by more in one round."""
_LARGEST = 4.0
"""No correction is by more than e**4 either way."""
_LEAST_BASE = 1e-6
_DOUBTFUL = 0.05
"""A step that waited this share of its time for a processor counts half."""


@dataclass(frozen=True)
class Example:
    """A measured network.

    Attributes:
        units: Its units, the call first.
        batch_size: Images per step.
        time: Of a step, in any unit of time.
        times: Of single units, by their place, where they were traced.
        waited_share: By how much the measurement may be wrong.
    """

    units: tuple[Unit, ...]
    batch_size: int
    time: float
    times: dict[int, float]
    waited_share: float = 0.0


@dataclass(frozen=True)
class UnitTimes:
    """What a model says of a network.

    Attributes:
        time: Of a step.
        deviation: Of its logarithm, up to a factor that all estimates of a model share.
        times: Of each unit, the call first; 0 for a kind that was never measured.
    """

    time: float
    deviation: float
    times: _Array


class UnitModel:
    """Times of units, fitted to examples."""

    def __init__(self, examples: Sequence[Example]) -> None:
        with _one_thread():
            self._fit(examples)

    def _fit(self, examples: Sequence[Example]) -> None:
        from sklearn.kernel_approximation import Nystroem
        from sklearn.linear_model import Ridge, RidgeCV

        units = [(unit, example.batch_size) for example in examples for unit in example.units]
        self._kinds = sorted({unit.kind for unit, _ in units})
        members, times, weights = _rows(examples)
        self._coefficients = _fit_base(members @ self._work(units), times, weights)
        sizes = self._sizes(units)
        self._likeness = [
            Nystroem(gamma=reach, n_components=min(count, len(units)), random_state=0).fit(sizes)
            for reach, count in _SCALES
        ]
        features, base = self._features(sizes), self._base(units)
        chosen = RidgeCV(_FIRMNESS, fit_intercept=False)
        theta = np.zeros(features.shape[1])
        for ridge in (*[Ridge(_FIRM, fit_intercept=False)] * _ROUNDS, chosen):
            values = base * _exp(features @ theta)
            sums = members @ values
            shares = members.multiply(values).multiply(1 / sums[:, None]).tocsr()
            slopes, targets = shares @ features, np.log(times / sums)
            targets += slopes @ theta
            ridge.fit(slopes, targets, sample_weight=weights**2)
            move = ridge.coef_ - theta
            theta = theta + move / max(1.0, float(np.abs(features @ move).max()) / _LONGEST)
        self._noise = float(chosen.alpha_)
        weighted = slopes * weights[:, None]
        self._spread = np.linalg.inv(weighted.T @ weighted / self._noise + np.eye(len(theta)))
        self._theta = self._spread @ (weighted.T @ (targets * weights)) / self._noise
        unseen = shares.power(2) @ _unlike(features)
        counts = [1 + len(example.times) for example in examples]
        self.misses = self._left_out(weighted, targets * weights, unseen * weights**2, counts)
        """By how many deviations each example's step would be missed by the model of all others."""

    def estimate(self, units: Sequence[Unit], batch_size: int) -> UnitTimes:
        """The time of a network of these units."""
        with _one_thread():
            return self._estimate(units, batch_size)

    def _estimate(self, units: Sequence[Unit], batch_size: int) -> UnitTimes:
        known = [place for place, unit in enumerate(units) if unit.kind in self._kinds]
        mine = [(units[place], batch_size) for place in known]
        features = self._features(self._sizes(mine))
        times = self._base(mine) * _exp(features @ self._theta)
        total = float(times.sum())
        shares = times / total
        slope = shares @ features
        variance = slope @ self._spread @ slope + shares**2 @ _unlike(features)
        every = np.zeros(len(units))
        every[known] = times
        return UnitTimes(total, math.sqrt(variance + self._noise / _WHOLE_WEIGHT**2), every)

    def _left_out(self, slopes: _Array, targets: _Array, unseen: _Array, counts: Sequence[int]) -> _Array:
        """Misses of examples left out, without fitting again: by the block of the hat matrix that is the example's.

        Source: Hastie, Tibshirani and Friedman, "The Elements of Statistical Learning", 2nd edition, section 7.10, for
        one row; for several, the same with the inverse of a matrix.

        Args:
            slopes: (rows, features), weighted.
            targets: (rows,), weighted.
            unseen: (rows,), the variance that no feature tells of, weighted.
            counts: Rows of each example, in order; the whole step is the first of them.
        """
        residuals = targets - slopes @ self._theta
        misses, start = [], 0
        for count in counts:
            mine = slice(start, start + count)
            kept = np.linalg.inv(np.eye(count) - slopes[mine] @ self._spread @ slopes[mine].T / self._noise)
            misses.append(abs(kept[0] @ residuals[mine]) / math.sqrt(kept[0, 0] * self._noise + unseen[start]))
            start += count
        return np.array(misses)

    def _sizes(self, units: Sequence[tuple[Unit, int]]) -> _Array:
        kinds = np.array([[_OTHER_KIND * (unit.kind == kind) for kind in self._kinds] for unit, _ in units])
        return np.hstack([np.array([unit.sizes(batch_size) for unit, batch_size in units]), kinds])

    def _features(self, sizes: _Array) -> _Array:
        """Whose scalar products are likenesses."""
        return np.hstack([scale.transform(sizes) for scale in self._likeness]) / math.sqrt(len(_SCALES))

    def _work(self, units: Sequence[tuple[Unit, int]]) -> _Array:
        work = np.zeros((len(units), len(self._kinds), PARTS_OF_WORK))
        for row, (unit, batch_size) in enumerate(units):
            work[row, self._kinds.index(unit.kind)] = unit.work(batch_size)
        return work.reshape(len(units), -1)

    def _base(self, units: Sequence[tuple[Unit, int]]) -> _Array:
        return np.maximum(self._work(units) @ self._coefficients, _LEAST_BASE)


def _unlike(features: _Array) -> _Array:
    """What of each unit no landmark is like."""
    return np.clip(1 - (features**2).sum(axis=1), 0, 1)  # type: ignore[no-any-return]


def require_sklearn() -> None:
    """Refuses to go on without scikit-learn.

    Raises:
        MeasureError: it is not installed.
    """
    if find_spec("sklearn") is None:
        raise MeasureError("Prediction: scikit-learn is not installed. pip install 'cnnprof[predict]'")


def _one_thread() -> AbstractContextManager[object]:
    """Products so small take ten times as long in threads."""
    return _libraries().limit(limits=1, user_api="blas")  # type: ignore[no-any-return]


@cache
def _libraries() -> Any:
    from threadpoolctl import ThreadpoolController  # which scikit-learn needs

    return ThreadpoolController()


def _rows(examples: Sequence[Example]) -> tuple[Any, _Array, _Array]:
    """Which units each measured time is the sum of, a sparse (rows, units), the times, and how sure each is."""
    rows: list[int] = []
    columns: list[int] = []
    times: list[float] = []
    weights: list[float] = []
    start = 0
    for example in examples:
        sure = 1 / (1 + example.waited_share / _DOUBTFUL)
        whole = (range(len(example.units)), example.time, _WHOLE_WEIGHT * sure)
        for places, time, weight in (whole, *(([place], time, sure) for place, time in example.times.items())):
            rows += [len(times)] * len(places)
            columns += [start + place for place in places]
            times.append(time)
            weights.append(weight)
        start += len(example.units)
    members = csr_array((np.ones(len(rows)), (rows, columns)), shape=(len(times), start))
    return members, np.array(times), np.array(weights)


def _fit_base(work: _Array, times: _Array, weights: _Array) -> _Array:
    """Costs of each part of the work, by least squares of relative errors."""
    relative = work / times[:, None]
    largest = np.maximum(relative.max(axis=0), np.finfo(float).tiny)
    costs, _ = nnls(relative / largest * weights[:, None], weights)
    return costs / largest  # type: ignore[no-any-return]


def _exp(values: Any) -> _Array:
    return np.exp(np.clip(values, -_LARGEST, _LARGEST))  # type: ignore[no-any-return]
