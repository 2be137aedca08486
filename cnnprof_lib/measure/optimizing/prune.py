"""Whole filters removed: those that the loss would miss least for the latency that they take."""

from __future__ import annotations

import heapq
import math

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from ...params.network import Network
from ..images.official import Labels
from ..images.pixels import Pixels
from .channels import Alive, Channels, without_channels
from .rebuild import logits_of
from .subject import Cost, Subject

_BATCH = 16
_LEAST_SHARE = 1 / 8
"""Of the channels that a layer makes so many stay at least. Own choice."""
_LARGEST_STEP = 16
"""Channels removed at once: kernels compute whole vectors of them. Fewer of a layer that has few."""

Scores = npt.NDArray[np.float64]


def prune(subject: Subject) -> keras.Model | None:
    """The model with as few filters less as bring it to its target; None where none can go."""
    channels = Channels(subject.model)
    if not channels.groups:
        return None
    scores = importance(subject.model, channels, subject.images, subject.labels)
    alive = fewer(channels, scores, subject.network, subject.cost, subject.target)
    return None if alive.all() else without_channels(subject.model, channels, alive)


def importance(model: keras.Model, channels: Channels, images: Pixels, labels: Labels) -> Scores:
    """How much the loss would change without each channel, to first order.

    It is the square of the sum of gradient times weight over the filters that make a channel, a mean over batches.
    Source: Molchanov et al., "Importance estimation for neural network pruning", CVPR 2019, their equation 8.
    """
    makers = [layer for layer in model.layers if any(layer.name in names for names in channels.groups)]
    weights = [[weight.value for weight in _of_filters(layer)] for layer in makers]
    by_logits = logits_of(model)

    @tf.function(reduce_retracing=True)
    def gradients(values: tf.Tensor, classes: tf.Tensor) -> list[list[tf.Tensor]]:
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(weights)
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(classes, by_logits(values, training=False))
            loss = tf.reduce_mean(losses)
        of_weights = tape.gradient(loss, weights)
        return [
            [tf.reduce_sum(g * w, axis=list(range(len(w.shape) - 1))) for g, w in zip(ours, theirs, strict=True)]
            for ours, theirs in zip(of_weights, weights, strict=True)
        ]

    scores = np.zeros(len(channels.all_alive))
    starts = range(0, len(labels), _BATCH)
    for start in starts:
        change = np.zeros_like(scores)
        found = gradients(tf.constant(images[start : start + _BATCH]), tf.constant(labels[start : start + _BATCH]))
        for layer, parts in zip(makers, found, strict=True):
            np.add.at(change, channels.gives[layer.name], sum(part.numpy() for part in parts))
        scores += change**2 / len(starts)
    return scores


def _of_filters(layer: keras.Layer) -> list[keras.Variable]:
    """The weights of a layer that are one filter's each along their last axis."""
    weights = layer.weights
    return list(weights[1:] if isinstance(layer, keras.layers.SeparableConv2D) else weights)


def fewer(channels: Channels, scores: Scores, network: Network, cost: Cost, target: float) -> Alive:
    """The channels to keep: step by step those go whose scores are the least for what they cost.

    Args:
        channels: Of the model.
        scores: Of each channel.
        network: The model as a record.
        cost: What a network costs.
        target: What it is to cost at most; it costs more where no more can go.
    """
    alive, spent = channels.all_alive, cost(network)
    left = {group: ids[np.argsort(scores[ids], kind="stable")] for group, ids in channels.groups.items()}

    def without(group: tuple[str, ...], count: int) -> tuple[Alive, float]:
        """What is kept without so many more of a group, and its cost."""
        kept = alive.copy()
        kept[left[group][:count]] = False
        return kept, cost(channels.narrowed(network, kept))

    def step(group: tuple[str, ...]) -> tuple[float, int]:
        """The price of the next step of a group, and how many channels it is."""
        size = len(channels.groups[group])
        count = min(_LARGEST_STEP, 2 ** max(0, int(math.log2(size / 4))))
        if len(left[group]) - count < max(1, _LEAST_SHARE * size):
            return math.inf, count
        saved = spent - without(group, count)[1]
        return float(scores[left[group][:count]].sum()) / saved if saved > 0 else math.inf, count

    waiting = [(step(group)[0], group) for group in left]
    heapq.heapify(waiting)
    while waiting and spent > target:
        _, group = heapq.heappop(waiting)
        price, count = step(group)  # others have gone since it was found
        if waiting and price > waiting[0][0]:
            heapq.heappush(waiting, (price, group))
            continue
        if math.isinf(price):
            break
        if without(group, count)[1] <= target:  # the last step: no more than need be
            count = next(few for few in range(1, count + 1) if without(group, few)[1] <= target)
        alive, spent = without(group, count)
        left[group] = left[group][count:]
        heapq.heappush(waiting, (step(group)[0], group))
    return alive
