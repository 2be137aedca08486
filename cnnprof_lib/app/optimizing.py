"""Makes a trained network cheaper: tries one method after the other, and keeps what loses no more than it may."""

from __future__ import annotations

import hashlib
import math
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import NamedTuple

import keras
import numpy as np
import numpy.typing as npt

from ..analysis.accuracy.numbers import paired_loss
from ..base.errors import MeasureError
from ..base.stamps import utc_now
from ..measure import machine
from ..measure.models.load import LoadedNetwork
from ..measure.optimizing.methods import METHODS, changes
from ..measure.optimizing.rebuild import network_of_model, rebuilt, released
from ..measure.optimizing.subject import Cost, Subject
from ..measure.optimizing.tune import OnStep, Tuner
from ..measure.private import onednn_is_on
from ..params.model import ModelSpec, NetworkSpec
from ..params.network import Network
from ..params.settings import RecipeSpec
from ..records.optimized import MethodName, OptimizedRecord, PairedRecord, TriedRecord

Right = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Wish:
    """What is asked for.

    Attributes:
        methods: Which to apply, in this order, whatever they gain; none for all that gain, most gain first.
        limit_points: Accuracy that may be lost, in percentage points.
        step: To what share of the cost before it a method is to bring a network that can choose.
        recipe: How to train on.
    """

    methods: tuple[MethodName, ...]
    limit_points: float
    step: float
    recipe: RecipeSpec


class _Standing(NamedTuple):
    """A network on the way, its cost, and which of the images held out it gets right."""

    model: keras.Model
    network: Network
    cost: float
    right: Right


def ready(spec: NetworkSpec, loaded: LoadedNetwork, classes: Sequence[str]) -> keras.Model:
    """A network as the methods take it: a functional model of layers of its own.

    Raises:
        MeasureError: it is no Keras model of one input and one output, or was not trained on so many classes.
    """
    name, model = loaded.network.name, loaded.model
    if model is None:
        raise MeasureError(f"{loaded.network.file}: must be a Keras model to be changed. Name a .keras or .h5 file.")
    if loaded.weights.origin == "initial":
        remedy = "Name its file" if isinstance(spec, ModelSpec) else f"Train it: cnnprof train {name}"
        raise MeasureError(f"{name}: must have trained weights. Received: initial ones. {remedy}")
    if len(model.inputs) != 1 or len(model.outputs) != 1 or model.outputs[0].shape[1:] != (len(classes),):
        shapes = " and ".join(str(tuple(tensor.shape[1:])) for tensor in model.outputs)
        raise MeasureError(
            f"{loaded.network.file}: must have one input, and one output with a value for each of {len(classes)} "
            f"classes. Received: {len(model.inputs)} and {shapes}. Name other images, or another model."
        )
    return rebuilt(model, shape=loaded.network.inputs[0].shape)


class Optimizer:
    """Tries methods on a network.

    Args:
        model: From `ready`; it is left as it is.
        tuner: Its images.
        cost: What a network costs.
        wish: What is asked for.
        on_tried: Told each method that was tried.
        on_step: Told each step of a training.
    """

    def __init__(
        self,
        model: keras.Model,
        tuner: Tuner,
        cost: Cost,
        wish: Wish,
        on_tried: Callable[[TriedRecord], None] = lambda tried: None,
        on_step: OnStep = lambda step, loss: None,
    ) -> None:
        self.tuner, self._cost, self.wish = tuner, cost, wish
        self._on_tried, self._on_step = on_tried, on_step
        self._sample = tuner.sample()
        network = network_of_model(model)
        self.first = self.best = _Standing(model, network, cost(network), tuner.right(model))
        self.tried: list[TriedRecord] = []
        self._made: dict[MethodName, keras.Model | None] = {}

    def run(self) -> None:
        """Tries them all; `best` is then what is left."""
        for name in self.wish.methods or self._by_gain():
            while self._attempt(name) and METHODS[name].comes_again:
                pass

    def _by_gain(self) -> list[MethodName]:
        """All methods, those first that are predicted to gain most on the network as it is."""
        self._made = {name: method.apply(self._subject()) for name, method in METHODS.items()}
        costs = {name: math.inf if model is None else self._cost_of(model) for name, model in self._made.items()}
        return sorted(costs, key=lambda name: costs[name])

    def _cost_of(self, model: keras.Model) -> float:
        return self._cost(network_of_model(model))

    def _subject(self) -> Subject:
        best = self.best
        return Subject(best.model, best.network, self._cost, best.cost * self.wish.step, *self._sample)

    def _attempt(self, name: MethodName) -> bool:
        """Applies a method to the best network so far; says whether it was kept."""
        begun, before = monotonic(), self.best
        made = self._made.pop(name, None) if before is self.first else None
        tried, after = self._judged(name, made or METHODS[name].apply(self._subject()))
        if tried.outcome == "kept" and after:
            self.best = after
        self.tried.append(tried.model_copy(update={"seconds": monotonic() - begun}))
        self._on_tried(self.tried[-1])
        return self.best is not before

    def _judged(self, name: MethodName, model: keras.Model | None) -> tuple[TriedRecord, _Standing | None]:
        tried = TriedRecord(method=name, outcome="nothing to change", seconds=0.0)
        if model is None:
            return tried, None
        network = network_of_model(model)
        cost = self._cost(network)
        found = {"changed": changes(self.best.network, network), "gain": cost / self.best.cost}
        if cost >= self.best.cost and not self.wish.methods:
            return tried.model_copy(update={**found, "outcome": "no gain predicted"}), None
        after = _Standing(model, network, cost, self.tuner.right(model))
        same = METHODS[name].is_exact and bool((after.right == self.best.right).all())
        is_kept = same or self._is_within_limit(after)
        if not is_kept and not METHODS[name].is_exact:
            after, found["tuned"] = self._tuned(after), True
            is_kept = self._is_within_limit(after)
        lost = paired(self.first.right, after.right)
        return tried.model_copy(update={**found, "lost": lost, "outcome": "kept" if is_kept else "dropped"}), after

    def _is_within_limit(self, after: _Standing) -> bool:
        return 100 * paired(self.first.right, after.right).high <= self.wish.limit_points

    def _tuned(self, after: _Standing) -> _Standing:
        """A network trained on, which costs what it did."""
        self.tuner.tune(after.model, self.wish.recipe, self.first.model, self._on_step)
        return after._replace(right=self.tuner.right(after.model))


def paired(before: Right, after: Right) -> PairedRecord:
    """What is lost of the images that were right before."""
    loss, low, high = paired_loss(before, after)
    return PairedRecord(images=len(before), loss=loss, low=low, high=high)


def _packed(model: keras.Model, name: str) -> bytes:
    """A model as a Keras file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{name}.keras"
        released(model, name).save(path)
        return path.read_bytes()


def result(optimizer: Optimizer, name: str, **identity: object) -> tuple[OptimizedRecord, bytes]:
    """What is left as a Keras file, and the record to be stored beside it. Reads the test images.

    Args:
        optimizer: After its run.
        name: Of the new network.
        identity: The other fields of the record that say what was asked for.
    """
    tuner, wish = optimizer.tuner, optimizer.wish
    before, after = (tuner.right_of_test(each.model) for each in (optimizer.first, optimizer.best))
    content = _packed(optimizer.best.model, name)
    fields = {
        "created": utc_now(),
        "name": name,
        "model_sha256": hashlib.sha256(content).hexdigest(),
        "preprocessing": tuner.how,
        "machine": machine.describe(onednn=onednn_is_on()),
        "limit_points": wish.limit_points,
        "recipe": wish.recipe.name,
        "dataset": tuner.data.name,
        "dataset_sha256": tuner.data.sha256,
        "tried": tuple(optimizer.tried),
        "gain": optimizer.best.cost / optimizer.first.cost,
        "lost": paired(before, after),
    }
    return OptimizedRecord.model_validate({**fields, **identity}), content
