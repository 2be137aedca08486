"""Made-up networks of many layers that branch, named as `keras.applications` names its own."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd

from cnnprof_lib.params.network import Network, NetworkLayer, Tensor
from cnnprof_lib.records.run import RunRecord
from tests.builders import Node, make_ops, make_record

INPUT = "input_layer"
_TYPES = {"bn": "BatchNormalization", "relu": "ReLU", "add": "Add", "pad": "ZeroPadding2D", "conv": "Conv2D"}


def make_layer(
    name: str,
    *inputs: str,
    type: str = "Conv2D",
    shape: tuple[int, ...] = (8, 8, 16),
    macs: int | None = 0,
) -> NetworkLayer:
    """One layer; a convolution has a weight for each of 64 of its MACs."""
    weights = (macs or 0) // 64
    return NetworkLayer(
        name=name, type=type, inputs=inputs, output_shape=shape, parameters=weights, macs=macs, pixel_macs=macs
    )


def make_network(layers: Sequence[NetworkLayer], name: str = "made-up") -> Network:
    """A network of layers that read `INPUT`, an image of 32x32 pixels, or one another."""
    last = layers[-1]
    return Network(
        name=name,
        title=name,
        file=f"{name}.keras",
        inputs=(Tensor(name=INPUT, shape=(32, 32, 3)),),
        outputs=(Tensor(name=last.name, shape=last.output_shape),),
        layers=tuple(layers),
    )


def make_chain(names: Sequence[str], **costs: Any) -> Network:
    """Layers of these names, each of which reads the one before it; types go by the names' last words."""
    befores = (INPUT, *names)
    return make_network(
        [
            make_layer(name, before, type=_TYPES.get(name.split("_")[-1], "Other"), **costs)
            for name, before in zip(names, befores, strict=False)
        ]
    )


def mobilenet_layers(prefix: str = "", blocks: int = 16) -> Iterator[NetworkLayer]:
    """MobileNetV2's names; the even blocks add what they read to what they make."""
    before = INPUT
    for own in ("Conv1", "bn_Conv1", "Conv1_relu", *(f"expanded_conv_{part}" for part in ("depthwise", "project"))):
        yield make_layer(
            f"{prefix}{own}", before, macs=64_000 if "onv" in own and "_" not in own else 0, type=own.split("_")[-1]
        )
        before = f"{prefix}{own}"
    for number in range(1, blocks + 1):
        start, block = before, f"{prefix}block_{number}"
        for part in ("expand", "expand_BN", "expand_relu", "depthwise", "depthwise_BN", "project", "project_BN"):
            macs = 0 if "_" in part else 64_000 * number
            yield make_layer(f"{block}_{part}", before, type="Conv2D" if macs else "Other", macs=macs)
            before = f"{block}_{part}"
        if number % 2 == 0:
            yield make_layer(f"{block}_add", start, before, type="Add")
            before = f"{block}_add"
    ends = {"Conv_1": "Conv2D", "Conv_1_bn": "Other", "out_relu": "ReLU", "global_average_pooling2d": "Pooling"}
    for own, kind in {**ends, "predictions": "Dense"}.items():
        yield make_layer(f"{prefix}{own}", before, macs=64_000 if own == "Conv_1" else 0, type=kind)
        before = f"{prefix}{own}"


def make_mobilenet(prefix: str = "", blocks: int = 16) -> Network:
    """130 layers, as far as names and residual adds go those of MobileNetV2."""
    return make_network(list(mobilenet_layers(prefix, blocks)), "mobilenet")


RESNET50 = [
    *(f"conv1_{part}" for part in ("pad", "conv", "bn", "relu")),
    *("pool1_pad", "pool1_pool"),
    *(
        f"conv{stage}_block{block}_{part}"
        for stage, count in ((2, 3), (3, 4), (4, 6), (5, 3))
        for block in range(1, count + 1)
        for part in (
            *("1_conv", "1_bn", "1_relu", "2_conv", "2_bn", "2_relu"),
            *(("0_conv", "3_conv", "0_bn", "3_bn") if block == 1 else ("3_conv", "3_bn")),
            *("add", "out"),
        )
    ),
    *("avg_pool", "predictions"),
]
EFFICIENTNETB0 = [
    *("rescaling", "normalization", "stem_conv_pad", "stem_conv", "stem_bn", "stem_activation"),
    *(
        f"block{stage}{'abcd'[block]}_{part}"
        for stage, count in ((1, 1), (2, 2), (3, 2), (4, 3), (5, 3), (6, 4), (7, 1))
        for block in range(count)
        for part in (
            *(("expand_conv", "expand_bn", "expand_activation") if stage > 1 else ()),
            *("dwconv", "bn", "activation", "se_squeeze", "se_reshape", "se_reduce", "se_expand", "se_excite"),
            *("project_conv", "project_bn"),
            *(("drop", "add") if block else ()),
        )
    ),
    *("top_conv", "top_bn", "top_activation", "avg_pool", "top_dropout", "predictions"),
]
DENSENET121 = [
    *("zero_padding2d", "conv1_conv", "conv1_bn", "conv1_relu", "zero_padding2d_1", "pool1"),
    *(
        name
        for stage, count in ((2, 6), (3, 12), (4, 24), (5, 16))
        for name in (
            *(
                f"conv{stage}_block{block}_{part}"
                for block in range(1, count + 1)
                for part in ("0_bn", "0_relu", "1_conv", "1_bn", "1_relu", "2_conv", "concat")
            ),
            *(f"pool{stage}_{part}" for part in ("bn", "relu", "conv", "pool") if stage < 5),
        )
    ),
    *("bn", "relu", "avg_pool", "predictions"),
]


def make_run(network: Network, **changes: Any) -> tuple[RunRecord, pd.DataFrame]:
    """A run of a network and its ops: one node a layer, of 1 us and 1 us more for each 1,000 of its MACs."""
    nodes = [
        Node("Conv2D" if layer.macs else layer.type, layer.name, 1e-6 + (layer.macs or 0) * 1e-9, math.prod((4, 8)))
        for layer in network.layers
    ]
    record = make_record(runtime="stock", nodes=nodes, network=network, **changes)
    return record, make_ops(record, nodes)
