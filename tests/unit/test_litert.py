"""LiteRT: what its networks answer, and where its own profiler says that the time goes."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np
import pytest

from cnnprof_lib.base.errors import MeasureError
from cnnprof_lib.measure.images.cache import DataSet
from cnnprof_lib.measure.models import build, weights
from cnnprof_lib.measure.models.load import LoadedNetwork, freeze
from cnnprof_lib.measure.prepare import Images, prepare_images
from cnnprof_lib.measure.runtimes.contract import find_runtime
from cnnprof_lib.measure.runtimes.executions import unattributed
from cnnprof_lib.params.reading import load_variant
from cnnprof_lib.records.conditions import WeightsRecord
from cnnprof_lib.records.run import EXECUTIONS
from tests.builders import PARAMS, open_session

pytest.importorskip("ai_edge_litert")

from cnnprof_lib.measure.runtimes import litert_api
from cnnprof_lib.measure.runtimes.litert_api import BUILTIN, DELEGATED, Event
from cnnprof_lib.measure.runtimes.litert_flatbuffer import Operator
from cnnprof_lib.measure.runtimes.litert_ops import Work, assign
from cnnprof_lib.measure.runtimes.litert_session import LiteRtSession

BATCH = 8
RUNTIMES = ("litert", "litert-int8")
NETWORKS = ("smoke", "resnet8", "baseline")


@cache
def drawn() -> DataSet:
    """Ten classes of twenty training images each, and as many test images."""
    pixels = np.random.default_rng(0).integers(0, 256, (400, 32, 32, 3), np.uint8)
    labels = np.tile(np.arange(10, dtype=np.uint8), 20)
    return DataSet("drawn", "0" * 64, tuple("abcdefghij"), pixels[:200], labels, pixels[200:], labels)


@cache
def network(name: str) -> LoadedNetwork:
    variant = load_variant(name, PARAMS)
    model = build.build(variant, seed=1)
    weights.fill_zero_weights(model)
    record = WeightsRecord(origin="initial", sha256="0" * 64, recipe=None, dataset=None)
    return LoadedNetwork(variant.network, record, BATCH, lambda size: freeze(model, size), model)


def images(name: str) -> Images:
    return prepare_images(drawn(), network(name).network.inputs, BATCH, seed=0)


class Traced:
    """A network traced for one step."""

    def __init__(self, name: str, runtime: str) -> None:
        self.name, fed = name, images(name)
        self.session: Any = find_runtime(runtime).open(network(name), fed)
        for _ in range(2):
            self.session.prepare()
            self.step = self.session.traced_step()
        self.rows = self.session.executions([self.step])
        self.profile = self.session.profile([self.step], 0)
        batch = [values[:BATCH] for values in fed.values]
        self.answers = self.session.outputs(batch)
        stock = open_session(network(name).frozen, "stock", fed.values, fed.labels)
        self.stock_answers = stock.outputs(batch)
        stock.close()

    def node(self, node: str) -> Any:
        return self.rows[self.rows["node"] == node].iloc[0]


@pytest.fixture(scope="module", params=[(name, runtime) for name in NETWORKS for runtime in RUNTIMES], ids="-".join)
def traced(request: pytest.FixtureRequest) -> Iterator[Traced]:
    found = Traced(*request.param)
    yield found
    found.session.close()


def test_answers_are_those_of_stock(traced: Traced) -> None:
    scale = np.abs(traced.stock_answers).max()
    tolerance = 1e-5 if traced.session.precision == "float32" else 0.2
    np.testing.assert_allclose(traced.answers, traced.stock_answers, rtol=0, atol=tolerance * scale)
    if traced.session.precision == "float32":
        np.testing.assert_array_equal(traced.answers.argmax(axis=1), traced.stock_answers.argmax(axis=1))


def test_a_step_and_a_traced_one_compute_the_same(traced: Traced) -> None:
    session = traced.session
    session.prepare()
    session.step()
    stepped = session._output.array.copy()
    session._output.array[...] = 0
    session.traced_step()
    np.testing.assert_array_equal(session._output.array, stepped)


def test_kernels_and_the_rest_add_up_to_the_step(traced: Traced) -> None:
    assert {name: str(kind) for name, kind in traced.rows.dtypes.items()} == EXECUTIONS
    rest = unattributed(traced.rows, [traced.step.seconds])
    assert (rest.to_numpy() >= 0).all()
    total_s = traced.rows["self_ns"].sum() / 1e9 + rest.to_numpy().sum()
    assert total_s == pytest.approx(traced.session.traced_s(traced.step), abs=1e-9)


def test_every_layer_has_kernels_or_is_computed_within_another(traced: Traced) -> None:
    layers = {layer.name for layer in network(traced.name).network.layers}
    assert set(traced.rows["layer"]) | set(traced.profile.fused_into) == layers
    assert not set(traced.rows["layer"]) & set(traced.profile.fused_into)
    assert traced.profile.unowned == frozenset()


def test_multiply_adds_are_booked_under_the_layer_that_does_them(traced: Traced) -> None:
    macs = traced.rows[traced.rows["op"].isin(["Conv2D", "MatMul"])]
    assert sorted(macs["layer"]) == sorted(traced.session._frozen.products)


def test_a_residual_networks_activations_and_normalisations_are_told_apart() -> None:
    found = Traced("resnet8", "litert")
    assert [found.node(f"stack1_{name}")[["op", "layer"]].tolist() for name in ("add/Add", "relu2/Relu")] == [
        ["AddV2", "stack1_add"],
        ["Relu", "stack1_relu2"],
    ]
    assert found.profile.fused_into["stack1_bn1"] == "stack1_conv1"
    assert found.profile.fused_into["stack1_relu1"] == "stack1_conv1"
    assert found.node("conv_relu/Relu")["kernel"] == "XNNPACK Convolution (NHWC, F32) IGEMM"
    found.session.close()


def test_what_is_no_int8_is_marked_and_so_is_what_only_converts() -> None:
    found = Traced("baseline", "litert-int8")
    assert found.profile.fell_back == dict.fromkeys(("norm1/LRN", "norm2/LRN"), "a kernel of LiteRT's own, floats")
    assert found.node("norm1/LRN")["kernel"] == "LOCAL_RESPONSE_NORMALIZATION FLOAT32"
    served = {node: found.node(node)["layer"] for node in found.profile.conversions if "quantize" in node}
    assert served == {
        "quantize(inputs_0)": "conv1",
        "dequantize(pool1/MaxPool2d)": "norm1",
        "quantize(norm1/LRN)": "conv2",
        "dequantize(conv2/Relu)": "norm2",
        "quantize(norm2/LRN)": "pool2",
        "dequantize(softmax_linear/BiasAdd)": "softmax_linear",
    }
    assert found.node("conv2/Relu")["kernel"].startswith("XNNPACK Convolution (NHWC, QC8)")
    found.session.close()


def test_int8_is_chosen_by_training_images_that_are_held_out() -> None:
    session = find_runtime("litert-int8").open(network("smoke"), images("smoke"))
    assert (session.precision, session.calibration.images) == ("int8", 20)
    assert session.calibration.which == "the first 20 training images of drawn that are held out"
    floats = find_runtime("litert").open(network("smoke"), images("smoke"))
    assert (floats.precision, floats.calibration) == ("float32", None)
    assert session.model_bytes < floats.model_bytes
    for each in (session, floats):
        each.close()


def test_a_step_is_timed_by_the_clock_and_operators_by_litert() -> None:
    clock = iter([10.0, 10.25])
    session = LiteRtSession(network("smoke").frozen, images("smoke").values, 1, clock=lambda: next(clock))
    session.prepare()
    step = session.traced_step()
    assert session.traced_s(step) == 0.25
    made_up = [
        Event("Invoke", 1, 1_000, 900, 0),
        Event("Convolution (NHWC, F32) IGEMM", DELEGATED, 0, 500, 0),
        Event("MAX_POOL_2D", BUILTIN, 1_600, 40, 1),
        Event("Static Reshape (NC)", DELEGATED, 0, 3, 0),
        Event("Fully Connected (NC, F32) GEMM", DELEGATED, 0, 20, 1),
    ]
    rows = session.executions([step._replace(called_us=800, events=made_up)])
    assert rows[["node", "kernel", "layer", "start_ns", "duration_ns"]].to_numpy().tolist() == [
        ["conv1/Relu", "XNNPACK Convolution (NHWC, F32) IGEMM", "conv1", 200_000, 500_000],
        ["pool1/MaxPool2d", "MAX_POOL_2D FLOAT32", "pool1", 800_000, 40_000],
        ["logits/Reshape", "XNNPACK Static Reshape (NC)", "logits", 840_000, 3_000],
        ["logits/BiasAdd", "XNNPACK Fully Connected (NC, F32) GEMM", "logits", 843_000, 20_000],
    ]
    assert rows["self_ns"].tolist() == [500_000, 40_000, 3_000, 20_000]
    assert rows["requested_bytes"].isna().all()
    session.close()


def operators(*kinds: str) -> list[Operator]:
    return [Operator(kind, kind.lower(), (), "FLOAT32") for kind in kinds]


def delegated(*names: str) -> list[Event]:
    return [Event(f"{name} (NC)", DELEGATED, 0, 1, number) for number, name in enumerate(names)]


def named(found: list[Work]) -> list[tuple[str, bool]]:
    return [(work.operator.node if work.operator else "", work.is_own) for work in found]


def test_an_operator_passed_over_is_computed_within_the_next() -> None:
    found = assign(delegated("Convolution", "Softmax"), operators("PAD", "CONV_2D", "SOFTMAX"))
    assert named(found) == [("conv_2d", True), ("softmax", True)]


def test_multiply_adds_are_never_passed_over() -> None:
    found = assign(delegated("Softmax", "Convolution", "Softmax"), operators("CONV_2D", "SOFTMAX"))
    assert named(found) == [("", False), ("conv_2d", True), ("softmax", True)]


def test_what_xnnpack_adds_belongs_to_the_operator_that_it_is_for() -> None:
    found = assign(
        delegated("Add", "Clamp", "Static Reshape", "Fully Connected", "Convert"),
        operators("ADD", "FULLY_CONNECTED", "DEQUANTIZE"),
    )
    assert named(found) == [
        ("add", True),
        ("add", False),
        ("fully_connected", False),
        ("fully_connected", True),
        ("dequantize", True),
    ]


def test_a_small_convolution_is_a_fully_connected_one_to_xnnpack() -> None:
    found = assign(delegated("Fully Connected", "Convolution"), operators("CONV_2D", "DEPTHWISE_CONV_2D"))
    assert named(found) == [("conv_2d", True), ("depthwise_conv_2d", True)]


def test_an_old_package_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(litert_api.metadata, "version", lambda name: "2.1.6")
    with pytest.raises(MeasureError) as caught:
        litert_api._library.__wrapped__()
    assert str(caught.value) == (
        "LiteRT: must be ai-edge-litert 2.3 or later, with its library libLiteRt. Received: 2.1.6. "
        "pip install -U 'ai-edge-litert>=2.3'"
    )
