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
from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field

from ..base.spec import Fraction, NonNegativeFloat, PositiveFloat, PositiveInt, Spec
from .network import Shape
from .windows import WIDEST, Padding, Side, Size, pixels_met, places, sides

Nonlinearity = Literal["relu", "relu6", "gelu", "swish"]
"""max(x, 0); the same cut at 6; x times the normal distribution up to x; x times the logistic function of x."""
Activation = Literal["none", Nonlinearity]


class ShapeError(ValueError):
    """A layer that its input does not fit; ``key`` is the layer's key at fault and ``value`` what it holds."""

    def __init__(self, key: str, rule: str, value: object) -> None:
        super().__init__(rule)
        self.key, self.rule, self.value = key, rule, value


class Layer(Spec):
    """One named layer."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
    inputs: Annotated[tuple[str, ...], Field(strict=False, min_length=1, max_length=1)] | None = None
    """The earlier layer that it reads, or the images; without it the layer before."""

    def joined(self, shapes: Sequence[Shape]) -> Shape:
        """Returns the shape of what the layer reads, all its inputs together.

        Raises:
            ShapeError: the inputs do not fit each other.
        """
        (shape,) = shapes
        return shape

    def output_shape(self, shape: Shape) -> Shape:
        """Returns the shape that an input of ``shape`` becomes; unless told otherwise it stays.

        Raises:
            ShapeError: the layer does not take such an input.
        """
        return shape

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
    """A layer that slides a window over the image."""

    stride: Size = 1
    padding: Padding = "same"

    def _slide(self, key: str, window: Size, shape: Shape) -> tuple[int, int]:
        """Output height and width."""
        height, width, _ = self._image(shape)
        (tall, wide), (down, across) = sides(window), sides(self.stride)
        if self.padding == "valid" and (tall > height or wide > width):
            raise ShapeError(key, f"must not exceed its input of {height}x{width} under `padding: valid`", window)
        return places(height, tall, down, self.padding), places(width, wide, across, self.padding)

    def _products(self, window: Size, shape: Shape, with_padding: bool) -> int:
        """How many values of one channel the window meets in all its places, padding among them or left out."""
        slid = self._slide("kernel", window, shape)
        if with_padding:
            return math.prod(slid) * math.prod(sides(window))
        return math.prod(map(pixels_met, shape, sides(window), sides(self.stride), slid))


class _Weighted(Spec):
    """Keys shared by the layers that have weights and may end in an activation."""

    activation: Activation = "none"
    use_bias: bool = True
    weights_stddev: PositiveFloat | None = None
    """Standard deviation of the truncated normal initial weights; without it Glorot uniform, Keras' default."""
    bias_init: Annotated[float, Field(allow_inf_nan=False)] = 0.0
    l2: NonNegativeFloat = 0.0
    """Weight of sum(w**2) / 2 in the loss, TensorFlow's ``l2_loss``."""


class Conv(_Weighted, _Windowed):
    """Convolution with ``filters`` kernels over all channels, or over those of one of ``groups`` each."""

    type: Literal["conv"]
    filters: PositiveInt
    kernel: Size
    groups: PositiveInt = 1

    def output_shape(self, shape: Shape) -> Shape:  # noqa: D102
        for count, what in ((self._image(shape)[2], "channels that it reads"), (self.filters, "`filters`")):
            if count % self.groups:
                raise ShapeError("groups", f"must divide the {count} {what}", self.groups)
        return (*self._slide("kernel", self.kernel, shape), self.filters)

    def parameters(self, shape: Shape) -> int:  # noqa: D102
        weights = math.prod(sides(self.kernel)) * shape[2] // self.groups * self.filters
        return weights + self.use_bias * self.filters

    def macs(self, shape: Shape, *, with_padding: bool = True) -> int:  # noqa: D102
        return self._products(self.kernel, shape, with_padding) * shape[2] // self.groups * self.filters


class _Depthwise(_Weighted, _Windowed):
    """A layer that convolves each channel by itself with ``depth_multiplier`` kernels."""

    stride: Side = 1
    """TensorFlow has no such kernel with two strides."""
    kernel: Size
    depth_multiplier: PositiveInt = 1


class DepthwiseConv(_Depthwise):
    """The depthwise convolution alone."""

    type: Literal["depthwise_conv"]

    def output_shape(self, shape: Shape) -> Shape:  # noqa: D102
        return (*self._slide("kernel", self.kernel, shape), shape[2] * self.depth_multiplier)

    def parameters(self, shape: Shape) -> int:  # noqa: D102
        return (math.prod(sides(self.kernel)) + self.use_bias) * shape[2] * self.depth_multiplier

    def macs(self, shape: Shape, *, with_padding: bool = True) -> int:  # noqa: D102
        return self._products(self.kernel, shape, with_padding) * shape[2] * self.depth_multiplier


class SeparableConv(_Depthwise):
    """A depthwise convolution followed by a 1x1 convolution to ``filters`` channels; the bias comes last."""

    type: Literal["separable_conv"]
    filters: PositiveInt

    def output_shape(self, shape: Shape) -> Shape:  # noqa: D102
        return (*self._slide("kernel", self.kernel, shape), self.filters)

    def parameters(self, shape: Shape) -> int:  # noqa: D102
        channels = shape[2] * self.depth_multiplier
        return channels * (math.prod(sides(self.kernel)) + self.filters) + self.use_bias * self.filters

    def macs(self, shape: Shape, *, with_padding: bool = True) -> int:  # noqa: D102
        channels = shape[2] * self.depth_multiplier
        pointwise = math.prod(self.output_shape(shape))
        return channels * (self._products(self.kernel, shape, with_padding) + pointwise)


class BatchNorm(Layer):
    """Batch normalisation over the last axis; at inference a scale and a shift per channel."""

    type: Literal["batch_norm"]
    momentum: Fraction = 0.99
    epsilon: PositiveFloat = 1e-3

    def parameters(self, shape: Shape) -> int:  # noqa: D102
        return 4 * shape[-1]  # scale, shift, moving mean, moving variance


class LRN(Layer):
    """Local response normalisation across channels, ``x / (bias + alpha * sum(x**2)) ** beta``.

    Source: Krizhevsky, Sutskever and Hinton, 2012, section 3.3; ``tf.nn.local_response_normalization``.
    """

    type: Literal["lrn"]
    depth_radius: Annotated[int, Field(ge=0, le=WIDEST)]
    bias: NonNegativeFloat
    alpha: NonNegativeFloat
    beta: NonNegativeFloat

    def output_shape(self, shape: Shape) -> Shape:  # noqa: D102
        return self._image(shape)


class Activated(Layer):
    """An activation as a layer of its own."""

    type: Nonlinearity


class Pool(_Windowed):
    """Maximum or average over a window."""

    type: Literal["max_pool", "avg_pool"]
    window: Size

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


class Merge(Layer):
    """The sum of images of one shape, or the channels of images of one height and width, one after the other.

    It also takes vectors, whose values are then the channels.
    """

    type: Literal["add", "concat"]
    inputs: Annotated[tuple[str, ...], Field(strict=False, min_length=2)]

    def joined(self, shapes: Sequence[Shape]) -> Shape:  # noqa: D102
        adds = self.type == "add"
        if len({shape if adds else shape[:-1] for shape in shapes}) > 1:
            alike = "shape" if adds else "height and width"
            given = ", ".join("x".join(map(str, shape)) for shape in shapes)
            raise ShapeError("inputs", f"must name layers of one {alike}, but theirs are {given}", list(self.inputs))
        return shapes[0] if adds else (*shapes[0][:-1], sum(shape[-1] for shape in shapes))


_Convolution = Conv | DepthwiseConv | SeparableConv
AnyLayer = Annotated[
    _Convolution | BatchNorm | LRN | Activated | Pool | GlobalAvgPool | Flatten | Dense | Dropout | Merge,
    Field(discriminator="type"),
]
