"""The layers a variant may be made of: their keys in YAML, output shapes, parameters and MACs.

Everything here is arithmetic on shapes, without TensorFlow, so that a parameter file is checked and
costed in milliseconds. A shape is ``(height, width, channels)`` or ``(features,)``, without the batch.

MACs are the multiply-adds of one image; as usual only convolutions and dense layers have any
(a bias, a pooling window or a normalisation counts none). By the convention of the field they are output
values times kernel values, so products with the zeros of padding count, whether or not a kernel computes
them: ``macs(shape, with_padding=False)`` counts the products on real pixels alone.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import Annotated, Literal

from pydantic import Field

from ..base.spec import Fraction, NonNegativeFloat, PositiveInt, Spec
from .network import Shape

Padding = Literal["same", "valid"]
Activation = Literal["none", "relu"]
_WIDEST = 2**16 - 1
"""No image is wider; TensorFlow walks through the whole of a window, whatever of it holds pixels."""
Side = Annotated[int, Field(gt=0, le=_WIDEST)]


class ShapeError(ValueError):
    """A layer that its input does not fit; ``key`` is the layer's key at fault and ``value`` what it holds."""

    def __init__(self, key: str, rule: str, value: object) -> None:
        super().__init__(rule)
        self.key, self.rule, self.value = key, rule, value


class Layer(Spec):
    """One named layer."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]

    @abstractmethod
    def output_shape(self, shape: Shape) -> Shape:
        """Returns the shape that an input of ``shape`` becomes.

        Raises:
            ShapeError: the layer does not take such an input.
        """

    def parameters(self, shape: Shape) -> int:
        """Returns the number of weights, trainable or not, on an input of ``shape``."""
        return 0

    def macs(self, shape: Shape, *, with_padding: bool = True) -> int:
        """Returns the multiply-adds of one image on an input of ``shape``, unless told without those on padding."""
        return 0

    def _image(self, shape: Shape) -> Shape:
        if len(shape) != 3:
            raise ShapeError("type", f"needs an image (height, width, channels) as input, not {shape}", self.type)  # type: ignore[attr-defined]
        return shape


class _Windowed(Layer):
    """A layer that slides a square window over the image."""

    stride: PositiveInt = 1
    padding: Padding = "same"

    def _slide(self, key: str, window: int, shape: Shape) -> tuple[int, int]:
        """Output height and width; ``same`` gives ceil(n / stride), ``valid`` ceil((n - window + 1) / stride).

        Source: https://www.tensorflow.org/api_docs/python/tf/nn#notes_on_padding_2
        """
        height, width, _ = self._image(shape)
        if self.padding == "same":
            return math.ceil(height / self.stride), math.ceil(width / self.stride)
        if window > min(height, width):
            raise ShapeError(key, f"must not exceed its input of {height}x{width} under `padding: valid`", window)
        return math.ceil((height - window + 1) / self.stride), math.ceil((width - window + 1) / self.stride)

    def _products(self, window: int, shape: Shape, with_padding: bool) -> int:
        """How many values of one channel the window meets in all its places, padding among them or left out."""
        places = self._slide("kernel", window, shape)
        if with_padding:
            return math.prod(places) * window**2
        return math.prod(self._pixels_met(window, *side) for side in zip(shape, places, strict=False))

    def _pixels_met(self, window: int, pixels: int, places: int) -> int:
        """The same along one side of the image; of an odd padding the smaller half comes first.

        Source: https://www.tensorflow.org/api_docs/python/tf/nn#notes_on_padding_2
        """
        before = max((places - 1) * self.stride + window - pixels, 0) // 2
        starts = range(-before, places * self.stride - before, self.stride)
        return sum(min(start + window, pixels) - max(start, 0) for start in starts)


class _Weighted(Spec):
    """Keys shared by the layers that have weights and may end in an activation."""

    activation: Activation = "none"
    use_bias: bool = True
    weights_stddev: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    """Standard deviation of the truncated normal initial weights; without it Glorot uniform, Keras' default."""
    bias_init: Annotated[float, Field(allow_inf_nan=False)] = 0.0
    l2: NonNegativeFloat = 0.0
    """Weight of sum(w**2) / 2 in the loss, TensorFlow's ``l2_loss``."""


class Conv(_Weighted, _Windowed):
    """Convolution with ``filters`` square kernels over all channels."""

    type: Literal["conv"]
    filters: PositiveInt
    kernel: Side

    def output_shape(self, shape: Shape) -> Shape:  # noqa: D102
        return (*self._slide("kernel", self.kernel, shape), self.filters)

    def parameters(self, shape: Shape) -> int:  # noqa: D102
        return self.kernel**2 * shape[2] * self.filters + self.use_bias * self.filters

    def macs(self, shape: Shape, *, with_padding: bool = True) -> int:  # noqa: D102
        return self._products(self.kernel, shape, with_padding) * shape[2] * self.filters


class DepthwiseConv(_Weighted, _Windowed):
    """Convolution of each channel by itself with ``depth_multiplier`` kernels."""

    type: Literal["depthwise_conv"]
    kernel: Side
    depth_multiplier: PositiveInt = 1

    def output_shape(self, shape: Shape) -> Shape:  # noqa: D102
        return (*self._slide("kernel", self.kernel, shape), shape[2] * self.depth_multiplier)

    def parameters(self, shape: Shape) -> int:  # noqa: D102
        channels = shape[2] * self.depth_multiplier
        return self.kernel**2 * channels + self.use_bias * channels

    def macs(self, shape: Shape, *, with_padding: bool = True) -> int:  # noqa: D102
        return self._products(self.kernel, shape, with_padding) * shape[2] * self.depth_multiplier


class SeparableConv(_Weighted, _Windowed):
    """A depthwise convolution followed by a 1x1 convolution to ``filters`` channels; the bias comes last."""

    type: Literal["separable_conv"]
    filters: PositiveInt
    kernel: Side
    depth_multiplier: PositiveInt = 1

    def output_shape(self, shape: Shape) -> Shape:  # noqa: D102
        return (*self._slide("kernel", self.kernel, shape), self.filters)

    def parameters(self, shape: Shape) -> int:  # noqa: D102
        channels = shape[2] * self.depth_multiplier
        return self.kernel**2 * channels + channels * self.filters + self.use_bias * self.filters

    def macs(self, shape: Shape, *, with_padding: bool = True) -> int:  # noqa: D102
        channels = shape[2] * self.depth_multiplier
        pointwise = math.prod(self.output_shape(shape))
        return channels * (self._products(self.kernel, shape, with_padding) + pointwise)


class BatchNorm(Layer):
    """Batch normalisation over the last axis; at inference a scale and a shift per channel."""

    type: Literal["batch_norm"]
    momentum: Fraction = 0.99
    epsilon: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1e-3

    def output_shape(self, shape: Shape) -> Shape:  # noqa: D102
        return shape

    def parameters(self, shape: Shape) -> int:  # noqa: D102
        return 4 * shape[-1]  # scale, shift, moving mean, moving variance


class LRN(Layer):
    """Local response normalisation across channels, ``x / (bias + alpha * sum(x**2)) ** beta``.

    Source: Krizhevsky, Sutskever and Hinton, 2012, section 3.3; ``tf.nn.local_response_normalization``.
    """

    type: Literal["lrn"]
    depth_radius: Annotated[int, Field(ge=0, le=_WIDEST)]
    bias: NonNegativeFloat
    alpha: NonNegativeFloat
    beta: NonNegativeFloat

    def output_shape(self, shape: Shape) -> Shape:  # noqa: D102
        return self._image(shape)


class ReLU(Layer):
    """max(x, 0), as a layer of its own."""

    type: Literal["relu"]

    def output_shape(self, shape: Shape) -> Shape:  # noqa: D102
        return shape


class Pool(_Windowed):
    """Maximum or average over a square window."""

    type: Literal["max_pool", "avg_pool"]
    window: Side

    def output_shape(self, shape: Shape) -> Shape:  # noqa: D102
        return (*self._slide("window", self.window, shape), shape[2])


class GlobalAvgPool(Layer):
    """Average over height and width."""

    type: Literal["global_avg_pool"]

    def output_shape(self, shape: Shape) -> Shape:  # noqa: D102
        return (self._image(shape)[2],)


class Flatten(Layer):
    """All values of the image as one vector."""

    type: Literal["flatten"]

    def output_shape(self, shape: Shape) -> Shape:  # noqa: D102
        return (math.prod(shape),)


class Dense(_Weighted, Layer):
    """A fully connected layer; an image as input is flattened first."""

    type: Literal["dense"]
    units: PositiveInt

    def output_shape(self, shape: Shape) -> Shape:  # noqa: D102
        return (self.units,)

    def parameters(self, shape: Shape) -> int:  # noqa: D102
        return math.prod(shape) * self.units + self.use_bias * self.units

    def macs(self, shape: Shape, *, with_padding: bool = True) -> int:  # noqa: D102
        return math.prod(shape) * self.units


class Dropout(Layer):
    """Sets a share ``rate`` of the values to zero in training; nothing at inference."""

    type: Literal["dropout"]
    rate: Fraction

    def output_shape(self, shape: Shape) -> Shape:  # noqa: D102
        return shape


AnyLayer = Annotated[
    Conv | DepthwiseConv | SeparableConv | BatchNorm | LRN | ReLU | Pool | GlobalAvgPool | Flatten | Dense | Dropout,
    Field(discriminator="type"),
]
