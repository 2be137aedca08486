"""The time of a network as the sum of its units' times, learned from networks whose sum alone may be known.

A unit's time is ``base(unit) * exp(g(unit))``. The base is linear in the unit's work, with coefficients that are not
negative, for each kind of unit: the roofline's two limits and a fixed cost. The correction g is a Gaussian process over
the logarithms of the unit's sizes; it knows what a straight line cannot, such as kernels that suit few channels ill.
Far from all that was measured g is 0 and its deviation large.

Both are fitted to the logarithms of whole steps, and of single units where they were traced. A sum of exponentials is
made linear around the last estimate, a few times over (Gauss and Newton's method; Laplace's approximation of the
posterior). Intervals are the posterior's deviation, widened by what it was off by in networks left out (Lei et al.,
"Distribution-free predictive inference for regression", JASA 113, 2018, section 5.2).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import nnls
from scipy.sparse import csr_array

from ...base.errors import MeasureError
from .units import Unit

_Array = npt.NDArray[np.float64]
_LANDMARKS = 400
"""Units by whose likeness a unit is described, at most."""
_REACH = 0.02
"""Likeness of two units is exp(-0.02 d**2); d counts doublings of a size, and `_OTHER_KIND` between two kinds."""
_OTHER_KIND = 4.0
_WHOLE_WEIGHT = 3.0
"""How much surer the time of a step is than that of one of its units: it is longer, and no clock is read inside."""
_ROUNDS = 8
_FIRM = 0.05
"""Of the first estimates: the square of the noise by that of the corrections."""
_LONGEST = 1.0
"""No correction changes by more in one round."""
_LARGEST = 4.0
"""No correction is by more than e**4 either way."""
_LEAST_BASE = 1e-6
_WORK = 5
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
class Estimate:
    """What a model says of a network.

    Attributes:
        time: Of a step.
        deviation: Of its logarithm.
        times: Of each unit, the call first; 0 for a kind that was never measured.
    """

    time: float
    deviation: float
    times: _Array


class UnitModel:
    """Times of units, fitted to examples."""

    def __init__(self, examples: Sequence[Example]) -> None:
        from sklearn.kernel_approximation import Nystroem
        from sklearn.linear_model import BayesianRidge, Ridge

        units = [(unit, example.batch_size) for example in examples for unit in example.units]
        self._kinds = sorted({unit.kind for unit, _ in units})
        members, times, weights = _rows(examples)
        self._coefficients = _fit_base(members @ self._work(units), times, weights)
        sizes = self._sizes(units)
        self._likeness = Nystroem(gamma=_REACH, n_components=min(_LANDMARKS, len(units)), random_state=0).fit(sizes)
        features, base = self._likeness.transform(sizes), self._base(units)
        self._ridge = BayesianRidge(fit_intercept=False)
        theta = np.zeros(features.shape[1])
        for ridge in (*[Ridge(_FIRM, fit_intercept=False)] * _ROUNDS, self._ridge):
            values = base * _exp(features @ theta)
            sums = members @ values
            slopes = (members.multiply(values).multiply(1 / sums[:, None]).tocsr()) @ features
            ridge.fit(slopes, np.log(times / sums) + slopes @ theta, sample_weight=weights**2)
            move = ridge.coef_ - theta
            theta = theta + move / max(1.0, float(np.abs(features @ move).max()) / _LONGEST)
        self._theta = theta

    def estimate(self, units: Sequence[Unit], batch_size: int) -> Estimate:
        """The time of a network of these units."""
        known = [place for place, unit in enumerate(units) if unit.kind in self._kinds]
        mine = [(units[place], batch_size) for place in known]
        features = self._likeness.transform(self._sizes(mine))
        times = self._base(mine) * _exp(features @ self._theta)
        total = float(times.sum())
        shares = times / total
        slope = shares @ features
        unlike = np.clip(1 - (features**2).sum(axis=1), 0, 1)  # what of a unit no landmark is like
        variance = slope @ self._ridge.sigma_ @ slope + (shares**2 * unlike).sum() / self._ridge.lambda_
        noise = 1 / self._ridge.alpha_ / _WHOLE_WEIGHT**2
        every = np.zeros(len(units))
        every[known] = times
        return Estimate(total, math.sqrt(variance + noise), every)

    @property
    def noise(self) -> float:
        """Deviation of the logarithm of a step that was measured."""
        return 1 / math.sqrt(self._ridge.alpha_) / _WHOLE_WEIGHT

    def _sizes(self, units: Sequence[tuple[Unit, int]]) -> _Array:
        kinds = np.array([[_OTHER_KIND * (unit.kind == kind) for kind in self._kinds] for unit, _ in units])
        return np.hstack([np.array([unit.sizes(batch_size) for unit, batch_size in units]), kinds])

    def _work(self, units: Sequence[tuple[Unit, int]]) -> _Array:
        work = np.zeros((len(units), len(self._kinds), _WORK))
        for row, (unit, batch_size) in enumerate(units):
            work[row, self._kinds.index(unit.kind)] = unit.work(batch_size)
        return work.reshape(len(units), -1)

    def _base(self, units: Sequence[tuple[Unit, int]]) -> _Array:
        return np.maximum(self._work(units) @ self._coefficients, _LEAST_BASE)


def require_sklearn() -> None:
    """Refuses to go on without scikit-learn.

    Raises:
        MeasureError: it is not installed.
    """
    if find_spec("sklearn") is None:
        raise MeasureError("Prediction: scikit-learn is not installed. pip install 'cnnprof[predict]'")


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
