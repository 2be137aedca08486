"""A variant as a Keras model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from ...params import layers as spec
from ...params.variant import INPUT, VariantSpec

FLATTEN_SUFFIX = ".flatten"
"""A dense layer on an image gets a Keras layer of this name before it; its cost is the dense layer's.

With the dot it is no name that a layer of a variant may have, see `layers.Layer`."""


@keras.saving.register_keras_serializable(package="cnnprof")
class LocalResponseNormalization(keras.layers.Layer):
    """``x / (bias + alpha * sum of x**2 over 2 * depth_radius + 1 channels) ** beta``.

    Keras has no such layer. This one is registered, so a saved model loads in Keras' safe mode once
    this module is imported.

    Args:
        depth_radius: Channels to either side that are summed over.
        bias: Added to the sum, against division by zero.
        alpha: Weight of the sum.
        beta: The exponent.
    """

    def __init__(self, depth_radius: int, bias: float, alpha: float, beta: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.depth_radius, self.bias, self.alpha, self.beta = depth_radius, bias, alpha, beta

    def call(self, x: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        """Normalises ``x`` of shape (batch, height, width, channels)."""
        if training:
            return tf.custom_gradient(self._with_gradient)(x)
        return tf.nn.local_response_normalization(x, self.depth_radius, self.bias, self.alpha, self.beta)

    def _with_gradient(self, x: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
        """The result and its derivative in vector operations: TensorFlow's kernel for the latter is slower on a CPU.

        With n = bias + alpha * (sum of x**2 over the band) and y = x * n**-beta, a gradient g of y becomes
        g * n**-beta - 2 * alpha * beta * x * (sum of g * y / n over the band).
        """
        channels = x.shape[-1]
        reach = min(self.depth_radius, channels)  # a band takes no wider one, unlike the kernel used at inference
        band = tf.linalg.band_part(tf.ones((channels, channels), x.dtype), reach, reach)
        n = self.bias + self.alpha * tf.tensordot(x * x, band, 1)
        power = tf.exp(-self.beta * tf.math.log(n))  # faster than tf.pow
        y = x * power

        def gradient(g: tf.Tensor) -> tf.Tensor:
            return g * power - 2 * self.alpha * self.beta * x * tf.tensordot(g * y / n, band, 1)

        return y, gradient

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """The shape stays."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        own = {"depth_radius": self.depth_radius, "bias": self.bias, "alpha": self.alpha, "beta": self.beta}
        return {**super().get_config(), **own}


@keras.saving.register_keras_serializable(package="cnnprof")
class FusedBatchNormalization(keras.layers.BatchNormalization):
    """Keras' own, which in training computes by TensorFlow's one kernel what Keras composes of many.

    Measured on a CPU in bfloat16: three quarters of the time of a whole training step. Inference stays Keras'.
    """

    def call(self, x: tf.Tensor, training: bool | None = None, mask: tf.Tensor | None = None) -> tf.Tensor:
        """Normalises ``x`` of shape (batch, height, width, channels), or others as Keras does."""
        if not training or len(x.shape) != 4:
            return super().call(x, training=training, mask=mask)
        y, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=x,
            scale=tf.cast(self.gamma, tf.float32),
            offset=tf.cast(self.beta, tf.float32),
            mean=tf.zeros([0]),
            variance=tf.zeros([0]),
            epsilon=self.epsilon,
        )
        count = tf.cast(tf.size(x) // x.shape[-1], tf.float32)
        variance *= (count - 1) / count  # the kernel estimates the population's, Keras keeps the batch's
        for kept, new in ((self.moving_mean, mean), (self.moving_variance, variance)):
            kept.assign(kept * self.momentum + new * (1 - self.momentum))
        return y


def build(variant: VariantSpec, seed: int, precision: str = "float32") -> keras.Model:
    """Builds the model of a variant, with initial weights drawn from ``seed``.

    Args:
        variant: The network.
        seed: Seed of the initial weights and of dropout.
        precision: Keras' dtype policy of all layers.

    Returns:
        A model from standardised images (batch, height, width, channels) to logits (batch, classes).
    """
    keras.utils.set_random_seed(seed)
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(precision)
    try:
        return _assemble(variant)
    finally:
        keras.config.set_dtype_policy(before)


def _assemble(variant: VariantSpec) -> keras.Model:
    outputs = {INPUT: keras.Input(variant.input.shape, name=INPUT)}
    for layer, row in zip(variant.layers, variant.network.layers, strict=True):
        read = [outputs[name] for name in row.inputs]
        if isinstance(layer, spec.Dense) and read[0].ndim > 2:
            read = [keras.layers.Flatten(name=layer.name + FLATTEN_SUFFIX)(*read)]
        outputs[layer.name] = _keras_layer(layer)(read if len(read) > 1 else read[0])
    return keras.Model(outputs[INPUT], outputs[variant.layers[-1].name], name=variant.name)


def _keras_layer(layer: spec.Layer) -> keras.layers.Layer:
    match layer:
        case spec.Conv():
            keys = _window(layer) | _weights(layer, "kernel")
            return keras.layers.Conv2D(layer.filters, layer.kernel, groups=layer.groups, **keys)
        case spec.DepthwiseConv():
            keys = _window(layer) | _weights(layer, "depthwise")
            return keras.layers.DepthwiseConv2D(layer.kernel, depth_multiplier=layer.depth_multiplier, **keys)
        case spec.SeparableConv():
            keys = _window(layer) | _weights(layer, "depthwise") | _weights(layer, "pointwise")
            return keras.layers.SeparableConv2D(
                layer.filters, layer.kernel, depth_multiplier=layer.depth_multiplier, **keys
            )
        case spec.Dense():
            return keras.layers.Dense(layer.units, name=layer.name, **_weights(layer, "kernel"))
        case spec.BatchNorm():
            return FusedBatchNormalization(momentum=layer.momentum, epsilon=layer.epsilon, name=layer.name)
        case spec.LRN():
            keys = layer.model_dump(exclude={"type", "inputs"})
            return LocalResponseNormalization(**keys, dtype="float32")  # TensorFlow has no CPU kernel for bfloat16
        case spec.Pool(type="max_pool"):
            return keras.layers.MaxPooling2D(layer.window, **_window(layer))
        case spec.Pool():
            return keras.layers.AveragePooling2D(layer.window, **_window(layer))
        case spec.Activated():
            return keras.layers.Activation(layer.type, name=layer.name)
        case spec.GlobalAvgPool():
            return keras.layers.GlobalAveragePooling2D(name=layer.name)
        case spec.Flatten():
            return keras.layers.Flatten(name=layer.name)
        case spec.Dropout():
            return keras.layers.Dropout(layer.rate, name=layer.name)
        case spec.Merge(type="add"):
            return keras.layers.Add(name=layer.name)
        case spec.Merge():
            return keras.layers.Concatenate(name=layer.name)
    raise TypeError(f"no Keras layer for {type(layer).__name__}")  # a new layer class was not added above


def _window(layer: spec.Conv | spec.DepthwiseConv | spec.SeparableConv | spec.Pool) -> dict[str, Any]:
    return {"strides": layer.stride, "padding": layer.padding, "name": layer.name}


def _weights(layer: spec.Conv | spec.DepthwiseConv | spec.SeparableConv | spec.Dense, kind: str) -> dict[str, Any]:
    """Keras' arguments for weights; ``kind`` is how the layer calls its kernel."""
    keys: dict[str, Any] = {
        "activation": None if layer.activation == "none" else layer.activation,
        "use_bias": layer.use_bias,
        "bias_initializer": keras.initializers.Constant(layer.bias_init),
    }
    if layer.weights_stddev is not None:
        keys[f"{kind}_initializer"] = keras.initializers.TruncatedNormal(stddev=layer.weights_stddev)
    if layer.l2:
        keys[f"{kind}_regularizer"] = keras.regularizers.L2(layer.l2 / 2)  # Keras' L2 is sum(w**2), without the half
    return keys
