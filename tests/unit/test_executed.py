"""Which layer each executed node works for: on graphs written by hand, and on what TensorFlow executes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import pytest
from tensorflow.core.framework.node_def_pb2 import NodeDef

from cnnprof_lib.measure.models import build as model
from cnnprof_lib.measure.models import weights
from cnnprof_lib.measure.models.executed import ExecutedGraph, trace_layers
from cnnprof_lib.measure.models.load import freeze
from cnnprof_lib.params.variant import VariantSpec
from tests.builders import open_session

RUNTIMES = ("unfused", "stock")
OUTSIDE = {
    "unfused": {"NoOp", "Const", "FIFOQueueV2", "QueueDequeueManyV2", "Reshape", "InTopKV2", "_Retval"},
    "stock": {"NoOp", "_Arg", "Identity", "_Retval"},
}
BATCH = 2


def nodes(*lines: str) -> list[Any]:
    """Nodes as ``name = Op(input, input)``."""
    return [_node(*line.replace(")", "").replace("(", " = ").split(" = ")) for line in lines]


def _node(name: str, op: str, inputs: str) -> Any:
    return NodeDef(name=name, op=op, input=inputs.split(", ") if inputs else [])


ORIGINAL = nodes(
    "images = Placeholder()",
    "c1/kernel = Const()",
    "c1/conv = Conv2D(images, c1/kernel)",
    "bn1/scale = Const()",
    "bn1/mul = Mul(c1/conv, bn1/scale)",
    "bn1/shift = Const()",
    "bn1/add = AddV2(bn1/mul, bn1/shift)",
    "r1/Relu = Relu(bn1/add)",
    "join/Add = AddV2(r1/Relu, images)",
    "fc/kernel = Const()",
    "fc/MatMul = MatMul(join/Add, fc/kernel)",
    "Identity = Identity(fc/MatMul)",
)
OWNERS = {node.name: node.name.split("/")[0] for node in ORIGINAL if "/" in node.name}
AROUND = ("_arg_images_0_0 = _Arg()", "Identity = Identity(fc/MatMul)", "_retval_0 = _Retval(Identity)")


def traced(*lines: str) -> ExecutedGraph:
    return trace_layers(ORIGINAL, nodes(*lines, *AROUND), OWNERS)


def test_a_fused_kernel_works_for_the_layer_of_its_multiply_adds() -> None:
    found = traced(
        "c1/conv/merged_input = Const()",
        "bn1/shift = Const()",
        "r1/Relu = _FusedConv2D(_arg_images_0_0, c1/conv/merged_input, bn1/shift)",
        "join/Add = AddV2(r1/Relu, _arg_images_0_0)",
        "fc/kernel = Const()",
        "fc/MatMul = MatMul(join/Add, fc/kernel)",
    )
    assert found.layers == {
        "_SOURCE": "",
        "_arg_images_0_0": "",
        "c1/conv/merged_input": "c1",
        "bn1/shift": "c1",
        "r1/Relu": "c1",
        "join/Add": "join",
        "fc/kernel": "fc",
        "fc/MatMul": "fc",
        "Identity": "",
        "_retval_0": "",
    }
    assert found.fused_into == {"bn1": "c1", "r1": "c1"}


def test_a_kernel_that_bears_the_normalisations_name_is_the_convolutions() -> None:
    found = traced(
        "c1/conv/merged_input = Const()",
        "bn1/mul = Conv2D(_arg_images_0_0, c1/conv/merged_input)",
        "r1/Relu = Relu(bn1/mul)",
        "join/Add = AddV2(r1/Relu, _arg_images_0_0)",
        "fc/kernel = Const()",
        "fc/MatMul = MatMul(join/Add, fc/kernel)",
    )
    assert (found.layers["bn1/mul"], found.layers["r1/Relu"]) == ("c1", "r1")
    assert found.fused_into == {"bn1": "c1"}


def test_a_name_that_has_become_a_constant_ends_no_search() -> None:
    """Grappler adds two constants under the name of the inner of two additions."""
    original = nodes(
        "x = Placeholder()", "a/c = Const()", "a/Add = Add(x, a/c)", "b/c = Const()", "b/Add = Add(a/Add, b/c)"
    )
    executed = nodes("x = _Arg()", "a/Add = Const()", "b/Add = Add(x, a/Add)")
    owners = {node.name: node.name[0] for node in original if "/" in node.name}
    found = trace_layers(original, executed, owners)
    assert (found.layers["a/Add"], found.layers["b/Add"], found.fused_into) == ("b", "b", {"a": "b"})


def test_nodes_that_grappler_made_are_its_rewriting_of_a_layer_or_serve_the_next() -> None:
    found = traced(
        "c1/kernel = Const()",
        "c1/conv = Conv2D(_arg_images_0_0, c1/kernel)",
        "r1/Relu = Relu(c1/conv)",
        "join/ArithmeticOptimizer/Add = AddN(r1/Relu, _arg_images_0_0)",
        "Transpose-LayoutOptimizer = Transpose(join/ArithmeticOptimizer/Add, permutation)",
        "permutation = Const()",
        "fc/kernel = Const()",
        "fc/MatMul = MatMul(Transpose-LayoutOptimizer, fc/kernel)",
    )
    assert found.layers["join/ArithmeticOptimizer/Add"] == "join"
    assert [found.layers[name] for name in ("Transpose-LayoutOptimizer", "permutation")] == ["fc", "fc"]
    assert found.fused_into == {"bn1": "r1"}


def test_what_is_known_to_be_outside_is_told_from_what_is_unknown() -> None:
    found = traced(
        "fc/kernel = Const()",
        "fc/MatMul = MatMul(_arg_images_0_0, fc/kernel)",
        "strange = Strange(fc/MatMul)",
    )
    names = ("fc/MatMul:MatMul", "_arg_images_0_0", "_SOURCE", "strange", "never heard of")
    assert [found.layer_of(name) for name in names] == ["fc", "", "", "", ""]
    assert [found.knows(name) for name in names] == [True, True, True, False, False]


# What TensorFlow executes


class Stepped:
    """A network traced for one step."""

    def __init__(self, built: keras.Model, runtime: str) -> None:
        weights.fill_zero_weights(built)
        self.model = built
        images = np.random.default_rng(0).normal(size=(BATCH, *built.input_shape[1:])).astype(np.float32)
        self.frozen = freeze(built, BATCH)
        session = open_session(self.frozen, runtime, images, np.zeros(BATCH, np.int32))
        session.prepare()
        self.rows = session.executions([session.traced_step()])
        self.executed = session.executed
        session.prepare()
        self.results = session.results()
        self.logits = np.asarray(built(images))
        session.close()

    def outside(self) -> set[str]:
        """Kernels of no layer; of all nodes it is known whether they have one."""
        assert self.rows["node"].map(self.executed.knows).all()
        return set(self.rows.loc[self.rows["layer"] == "", "kernel"])

    def layers_of(self, op: str) -> list[str]:
        return sorted(self.rows.loc[self.rows["op"] == op, "layer"])


def network(name: str, *layers: dict[str, Any]) -> keras.Model:
    size = {"height": 8, "width": 8, "channels": 3}
    return model.build(
        VariantSpec.model_validate({"name": name, "title": name, "input": size, "classes": 10, "layers": layers}),
        seed=1,
    )


def conv(name: str, **keys: Any) -> dict[str, Any]:
    return {"name": name, "type": "conv", "filters": 4, "kernel": 3, "activation": "relu", **keys}


def dense(name: str) -> dict[str, Any]:
    return {"name": name, "type": "dense", "units": 10}


def twin(name: str, names: Sequence[str]) -> keras.Model:
    first, second, pool, third, fourth = names
    pooling = {"name": pool, "type": "max_pool", "window": 2, "stride": 2}
    return network(name, conv(first), conv(second), pooling, dense(third), dense(fourth))


PLAIN = ("first", "second", "pool", "third", "fourth")
KERAS = ("conv2d", "conv2d_1", "max_pooling2d", "dense", "dense_1")
CONFUSING = ("third_flatten", "images", "resource", "in_top_k", "convolution")


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize(("name", "names"), [("conv2d", KERAS), ("images", CONFUSING)])
def test_time_is_booked_alike_whatever_the_layers_are_called(runtime: str, name: str, names: Sequence[str]) -> None:
    plain, other = Stepped(twin("plain", PLAIN), runtime), Stepped(twin(name, names), runtime)
    renamed = dict(zip(names, PLAIN, strict=True))

    def booked(stepped: Stepped, rename: Callable[[str], str]) -> list[tuple[str, str, str]]:
        rows = zip(stepped.rows["node"], stepped.rows["kernel"], stepped.rows["layer"], strict=True)
        return sorted(
            (node.replace(f"{layer}/", f"{rename(layer)}/", 1), op, rename(layer)) for node, op, layer in rows
        )

    assert booked(other, lambda layer: renamed.get(layer, layer)) == booked(plain, str)
    assert [other.layers_of(op) for op in ("Conv2D", "MaxPool", "MatMul")] == [
        sorted(names[:2]), [names[2]], sorted(names[3:])
    ]  # fmt: skip
    assert other.outside() == OUTSIDE[runtime]


def residual() -> keras.Model:
    """Two branches, the one with a convolution in it, then one layer twice and an addition that is no layer."""
    inputs = keras.Input((8, 8, 3))

    def normalised(x: Any, name: str, size: int) -> Any:
        x = keras.layers.Conv2D(4, size, padding="same", use_bias=False, name=name)(x)
        return keras.layers.BatchNormalization(name=f"{name}_bn")(x)

    straight = keras.layers.ReLU(name="a_relu")(normalised(inputs, "a", 3))
    straight = normalised(straight, "b", 3)
    x = keras.layers.Add(name="join")([straight, normalised(inputs, "shortcut", 1)])
    shared = keras.layers.Conv2D(4, 3, padding="same", activation="relu", name="shared")
    x = shared(shared(x)) + straight
    x = keras.layers.GlobalAveragePooling2D(name="mean")(x)
    return keras.Model(inputs, keras.layers.Dense(10, name="logits")(x), name="a")


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_convolutions_of_a_network_with_branches_are_their_layers(runtime: str) -> None:
    stepped = Stepped(residual(), runtime)
    assert stepped.layers_of("Conv2D") == ["a", "b", "shared", "shared", "shortcut"]
    assert stepped.layers_of("MatMul") == ["logits"]
    assert stepped.outside() == OUTSIDE[runtime]
    own = set(stepped.rows["layer"]) | set(stepped.executed.fused_into)
    assert own - {""} == set(stepped.frozen.owners.values())
    # What is no layer, but an operation between layers, has its row too.
    assert [name.split("_")[0] for name in own - {layer.name for layer in stepped.model.layers} - {""}] == ["add"]
    if runtime == "stock":
        np.testing.assert_allclose(stepped.results, stepped.logits, rtol=1e-4, atol=1e-5)


BRANCHES = (
    conv("conv1", kernel=[3, 5], stride=[2, 1], activation="gelu"),
    conv("left", kernel=[1, 3], activation="swish"),
    {"name": "left_bn", "type": "batch_norm"},
    conv("shortcut", kernel=1, inputs=["conv1"], activation="none"),
    {"name": "sum", "type": "add", "inputs": ["left_bn", "shortcut"]},
    {"name": "soft", "type": "gelu"},
    {"name": "peaks", "type": "max_pool", "inputs": ["(images)"], "window": [2, 1], "stride": [2, 1]},
    {"name": "all", "type": "concat", "inputs": ["peaks", "soft", "conv1"]},
    {"name": "cut", "type": "relu6"},
    {"name": "mean", "type": "global_avg_pool"},
    {"name": "hidden", "type": "dense", "units": 8, "activation": "gelu"},
    {"name": "swish", "type": "swish"},
    dense("logits"),
)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_parameter_file_may_have_branches(runtime: str) -> None:
    stepped = Stepped(network("branches", *BRANCHES), runtime)
    assert stepped.layers_of("Conv2D") == ["conv1", "left", "shortcut"]
    assert stepped.layers_of("MatMul") == ["hidden", "logits"]
    assert stepped.layers_of("MaxPool") == ["peaks"]
    assert stepped.layers_of("ConcatV2") == ["all"]
    assert stepped.outside() == OUTSIDE[runtime]
    own = set(stepped.rows["layer"]) | set(stepped.executed.fused_into)
    assert own - {""} == {layer["name"] for layer in BRANCHES}
    if runtime == "stock":
        np.testing.assert_allclose(stepped.results, stepped.logits, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_what_is_executed_may_be_asked_for_before_any_step(runtime: str) -> None:
    built = network("small", conv("conv1"), dense("logits"))
    weights.fill_zero_weights(built)
    images = np.zeros((BATCH, 8, 8, 3), np.float32)
    session = open_session(freeze(built, BATCH), runtime, images, np.zeros(BATCH, np.int32))
    executed = session.executed
    session.prepare()  # would wait for ever in a queue that was filled and not emptied
    session.close()
    fused = {"conv1/Relu": ("BiasAdd", "Relu"), "logits/BiasAdd": ("BiasAdd",)}
    assert executed.fused_ops == (fused if runtime == "stock" else {})
