"""Networks in OpenVINO: the same answers as in TensorFlow, and rows that tell which layer each kernel works for."""

from __future__ import annotations

from datetime import timedelta
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

pytest.importorskip("openvino")
pytest.importorskip("nncf")
pytest.importorskip("tf2onnx")

from cnnprof_lib.base.errors import MeasureError
from cnnprof_lib.measure.images.sources import DataSet
from cnnprof_lib.measure.models import build
from cnnprof_lib.measure.models.graph import FrozenGraph
from cnnprof_lib.measure.models.load import LoadedNetwork, freeze
from cnnprof_lib.measure.prepare import Images, held_out, prepare_images
from cnnprof_lib.measure.runtimes import executions, openvino_session
from cnnprof_lib.measure.runtimes.contract import find_runtime
from cnnprof_lib.measure.runtimes.openvino_nodes import ExecutedNode, place
from cnnprof_lib.measure.runtimes.openvino_session import CountedStep, OpenVinoSession, openvino_of
from cnnprof_lib.params.reading import load_variant
from cnnprof_lib.params.variant import VariantSpec
from cnnprof_lib.records.conditions import CalibrationRecord, WeightsRecord
from cnnprof_lib.records.run import EXECUTIONS
from tests.builders import open_session

PARAMS = Path(__file__).parents[2] / "params"
BATCH = 8
BRANCHES = {
    "title": "A residual block with batch normalisation, response normalisation and a depthwise convolution",
    "input": {"height": 16, "width": 16, "channels": 3},
    "classes": 10,
    "layers": [
        {"name": "conv1", "type": "conv", "filters": 16, "kernel": 3, "activation": "relu"},
        {"name": "norm1", "type": "lrn", "depth_radius": 4, "bias": 1.0, "alpha": 0.05, "beta": 0.75},
        {"name": "conv2", "type": "conv", "filters": 16, "kernel": 3},
        {"name": "bn2", "type": "batch_norm"},
        {"name": "add2", "type": "add", "inputs": ["norm1", "bn2"]},
        {"name": "relu2", "type": "relu"},
        {"name": "spread", "type": "depthwise_conv", "kernel": 3},
        {"name": "bn3", "type": "batch_norm"},
        {"name": "pool", "type": "max_pool", "window": 3, "stride": 2},
        {"name": "logits", "type": "dense", "units": 10},
    ],
}


def networks() -> list[VariantSpec]:
    return [load_variant("smoke", PARAMS), VariantSpec.model_validate({"name": "branches", **BRANCHES})]


@pytest.fixture(params=networks(), ids=lambda variant: variant.name)
def network(request: pytest.FixtureRequest) -> LoadedNetwork:
    return loaded(request.param)


def loaded(variant: VariantSpec, batch_size: int = BATCH) -> LoadedNetwork:
    model = build.build(variant, seed=1)
    rng = np.random.default_rng(1)
    for weight in model.weights:  # a normalisation that has learned nothing is converted otherwise
        if "bn" in weight.path:
            weight.assign(rng.uniform(0.5, 1.5, weight.shape))
    weights = WeightsRecord(origin="initial", sha256="0" * 64, recipe=None, dataset=None)
    return LoadedNetwork(variant.network, weights, batch_size, lambda size: freeze(model, size), model)


def made_up(network: LoadedNetwork) -> Images:
    return prepare_images(None, network.network.inputs, network.batch_size, seed=1)


def opened(runtime: str, network: LoadedNetwork, images: Images | None = None) -> OpenVinoSession:
    session = find_runtime(runtime).open(network, images or made_up(network))
    assert isinstance(session, OpenVinoSession)
    return session


def batch_of(images: Images, size: int = BATCH) -> list[npt.NDArray[Any]]:
    return [values[:size] for values in images.values]


def traced(session: OpenVinoSession, count: int = 3) -> list[CountedStep]:
    steps = []
    for _ in range(count):
        session.prepare()
        steps.append(session.traced_step())
    return steps


@pytest.mark.parametrize(
    ("runtime", "precision", "tolerance"),
    [("openvino", "float32", 1e-5), ("openvino-bf16", "bfloat16", 0.05), ("openvino-int8", "int8", 0.2)],
)
def test_it_answers_as_tensorflow_does(network: LoadedNetwork, runtime: str, precision: str, tolerance: float) -> None:
    images = made_up(network)
    batch = batch_of(images)
    stock = open_session(network.frozen, "stock", images.values, images.labels).outputs(batch)
    session = opened(runtime, network, images)
    assert session.precision == precision
    answers = session.outputs(batch)
    np.testing.assert_allclose(answers, stock, atol=tolerance * np.abs(stock).max())
    assert (np.abs(answers - stock).max() > 1e-4) == (runtime != "openvino")  # the precision is what it says


@pytest.mark.parametrize("runtime", ["openvino", "openvino-bf16", "openvino-int8"])
def test_every_kernel_works_for_a_layer(network: LoadedNetwork, runtime: str) -> None:
    session = opened(runtime, network)
    steps = traced(session)
    rows, told = session.executions(steps), session.profile(steps, 1)
    assert {name: kind for name, kind in rows.dtypes.astype(str).items() if EXECUTIONS[str(name)] != "str"} == {
        name: kind for name, kind in EXECUTIONS.items() if kind != "str"
    }
    assert list(rows.columns) == list(EXECUTIONS)
    layers = [layer.name for layer in network.network.layers]
    assert set(rows["layer"]) | set(told.fused_into) == set(layers)
    assert not set(rows["layer"]) & set(told.fused_into)
    assert set(told.fused_into.values()) <= set(rows["layer"])
    assert told.unowned == frozenset()
    assert told.conversions <= set(rows["node"])
    own = rows[(rows["step"] == 0) & ~rows["node"].isin(told.conversions)]
    of_types = {"Conv": "Conv2D", "DepthwiseConv": "DepthwiseConv2dNative", "Dense": "MatMul", "LRN": "LRN"}
    types = {layer.name: of_types[layer.type] for layer in network.network.layers if layer.type in of_types}
    assert {layer: op for layer, op in zip(own["layer"], own["op"], strict=True) if layer in types} == types
    assert rows[["requested_bytes", "persistent_bytes"]].isna().all(axis=None)


def test_kernels_take_no_longer_than_the_step(network: LoadedNetwork) -> None:
    session = opened("openvino", network)
    for _ in range(2):  # a compilation each
        session.prepare()
        session.step()
        steps = traced(session)[1:]
        rest = executions.unattributed(session.executions(steps), [step.seconds for step in steps])
        assert (rest >= 0).all(axis=None)
        assert (rest[["before_s", "between_s"]] == 0).all(axis=None)


def test_counters_are_means_over_a_compilation_and_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    session = opened("openvino", loaded(networks()[0]))
    traced(session, 1)
    count = len(session.executions([CountedStep(1, 2, 1.0)]))
    # Of a mean of 100 after the second step and of 200 after the fourth: 800 - 200 for the third and fourth.
    every = len(session._counted.profiling_info)
    monkeypatch.setattr(session, "_means_us", {(7, 2): [100] * every, (7, 4): [200] * every})
    monkeypatch.setattr(session, "_read", lambda: None)
    rows = session.executions([CountedStep(7, 3, 1e-2), CountedStep(7, 4, 3e-2)])
    assert rows.groupby("step")["duration_ns"].unique().map(list).tolist() == [[150_000], [450_000]]
    first = rows[rows["step"] == 0]
    assert first["start_ns"].tolist() == [150_000 * i for i in range(count)]
    assert first["profiler_us"].tolist() == [150] * count
    short = session.executions([CountedStep(7, 3, 1e-6), CountedStep(7, 4, 1e-6)])
    assert (short.groupby("step")["self_ns"].sum() <= 1e3).all()


class Forgetful:
    """A request that tells of one node in every other reading only, as OpenVINO does where it took no microsecond."""

    def __init__(self, request: Any) -> None:
        self._request, self._readings = request, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._request, name)

    @property
    def profiling_info(self) -> list[SimpleNamespace]:
        self._readings += 1
        names = ("node_name", "node_type", "status", "real_time")
        told = self._request.profiling_info
        nodes = [SimpleNamespace(**{name: getattr(node, name) for name in names}) for node in told]
        last = [node for node in nodes if node.status == openvino_session.ov.ProfilingInfo.Status.EXECUTED][-1]
        if self._readings % 2:
            last.status, last.real_time = openvino_session.ov.ProfilingInfo.Status.NOT_RUN, timedelta()
        return nodes


def test_a_node_that_takes_less_than_a_microsecond_in_some_steps_keeps_its_rows() -> None:
    session, other = (opened("openvino", loaded(networks()[0])) for _ in range(2))
    whole = set(other.executions(traced(other, 2))["node"])
    session._renew()
    session._counted = Forgetful(session._counted)
    rows = session.executions(traced(session, 3))
    assert set(rows["node"]) == whole
    assert rows.groupby("step")["node"].count().tolist() == [len(whole)] * 3


def test_plain_steps_bring_a_new_compilation() -> None:
    session = opened("openvino", loaded(networks()[0]))
    first = traced(session, 2)
    session.step()
    assert [step[:2] for step in [*first, *traced(session, 1)]] == [(1, 2), (1, 3), (2, 2)]
    assert session.traced_s(first[0]) == first[0].seconds > 0


def test_int8_is_calibrated_by_training_images_that_are_held_out(capfd: pytest.CaptureFixture[str]) -> None:
    network = loaded(networks()[0])
    rng = np.random.default_rng(0)
    pixels, labels = rng.integers(0, 256, (4000, 32, 32, 3), np.uint8), np.arange(4000, dtype=np.int32) % 10
    dataset = DataSet("made up", "0" * 64, tuple("abcdefghij"), pixels, labels, 255 - pixels[:300], labels[:300])
    images = prepare_images(dataset, network.network.inputs, BATCH, seed=1)
    session = opened("openvino-int8", network, images)
    which = "the first 384 training images of made up that are held out"
    assert session.calibration == CalibrationRecord(images=384, which=which, tool=f"nncf {version('nncf')}")
    assert len(held_out(labels)) == 400
    assert capfd.readouterr() == ("", "")
    again = opened("openvino-int8", network, images)
    np.testing.assert_array_equal(session.outputs(batch_of(images)), again.outputs(batch_of(images)))
    assert session.model_bytes < opened("openvino", network).model_bytes


def test_quantising_again_gives_the_same_numbers() -> None:
    images = made_up(loaded(networks()[0]))
    (batch,) = batch_of(images, BATCH)
    first, second = (opened("openvino-int8", loaded(networks()[0]), images) for _ in range(2))
    np.testing.assert_array_equal(first.outputs([batch]), second.outputs([batch]))


def test_threads_are_as_many_as_asked_for() -> None:
    network = loaded(networks()[0])
    runtime = find_runtime("openvino")
    runtime.limit_threads(1)
    session = runtime.open(network, made_up(network))
    assert session._request.get_compiled_model().get_property("INFERENCE_NUM_THREADS") == 1
    assert find_runtime("openvino").versions().keys() == {"openvino", "tf2onnx", "onnx"}
    assert find_runtime("openvino-int8").versions().keys() == {"openvino", "tf2onnx", "onnx", "nncf"}


def test_bfloat16_is_refused_where_the_processor_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    class Older:
        def get_property(self, device: str, name: str) -> list[str]:
            return ["FP32", "INT8"]

    network = loaded(networks()[0])
    model = openvino_of(network.frozen)
    monkeypatch.setattr(openvino_session.ov, "Core", Older)
    with pytest.raises(MeasureError) as error:
        OpenVinoSession(network.frozen, model, made_up(network).values, "bf16")
    assert str(error.value) == (
        "Runtime openvino-bf16: the processor must multiply bfloat16. Received: one with FP32, INT8. "
        "Use another runtime."
    )


def test_what_openvino_cannot_convert_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    from onnx import TensorProto, helper

    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in "xy")
    graph = helper.make_graph([helper.make_node("Foo", ["x"], ["y"], domain="my")], "graph", [x], [y])
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("my", 1)]
    monkeypatch.setattr(openvino_session, "onnx_of", lambda _: helper.make_model(graph, opset_imports=opsets))
    with pytest.raises(MeasureError) as error:
        openvino_of(smoke_graph())
    assert str(error.value) == (
        "network: OpenVINO cannot convert it (No conversion rule found for operations: my.Foo). Use another runtime."
    )


def test_what_nncf_cannot_quantise_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    import nncf

    def refuse(*_: Any, **__: Any) -> None:
        raise nncf.ValidationError("no such thing\nwith details")

    monkeypatch.setattr(nncf, "quantize", refuse)
    with pytest.raises(MeasureError) as error:
        opened("openvino-int8", loaded(networks()[0]))
    assert str(error.value) == "network: NNCF cannot quantise it (no such thing). Use another runtime."


def node(name: str, type: str, *reads: str, kernel: str = "jit_f32", of: str | None = None) -> ExecutedNode:
    precision = kernel.rpartition("_")[2].replace("I8", "u8")
    return ExecutedNode(name, type, kernel, precision, tuple((name if of is None else of).split(",")), reads)


def smoke_graph() -> FrozenGraph:
    return loaded(networks()[0]).frozen


def test_nodes_are_placed_by_what_they_are_made_of() -> None:
    frozen = smoke_graph()
    fed = frozen.feeds[0].node
    nodes = [
        node(f"{fed}:0", "Input"),
        node(f"{fed}:0/fq_output_0", "Subgraph", f"{fed}:0", kernel="jit_avx512_f32"),
        node("weights", "Const"),
        node(
            "Multiply_12",
            "Convolution",
            f"{fed}:0/fq_output_0",
            "weights",
            kernel="brgconv_avx512_I8",
            of="Multiply_12,conv1/BiasAdd,conv1/Relu/fq_output_0,logits/MatMul/fq_input_0",
        ),
        node("conv1/Relu_acdb_abcd_pool1", "Reorder", "Multiply_12", kernel="reorder_I8", of=""),
        node("pool1/MaxPool2d", "Pooling", "conv1/Relu_acdb_abcd_pool1", kernel="ref_any_f32"),
        node("pool1/MaxPool2d__20", "Transpose", "pool1/MaxPool2d"),
        node("logits/MatMul_Gemm__6", "FullyConnected", "pool1/MaxPool2d__20", kernel="gemm_mlas_f32"),
        node("result", "Reorder", "logits/MatMul_Gemm__6", of=""),
        node("result/sink_port_0", "Output", "result"),
    ]
    ran = {each.name: each.type for each in nodes if each.type not in ("Input", "Const", "Output")}
    found = place(nodes, ran, frozen)
    assert [(placed.label, placed.op, placed.layer, placed.is_conversion) for placed in found.nodes] == [
        (f"{fed}:0/fq_output_0", "Quantize", "conv1", True),
        ("conv1/BiasAdd", "Conv2D", "conv1", False),
        ("conv1/Relu_acdb_abcd_pool1", "Reorder", "pool1", True),
        ("pool1/MaxPool2d", "MaxPool", "pool1", False),
        ("pool1/MaxPool2d__20", "Transpose", "logits", True),
        ("logits/MatMul", "MatMul", "logits", False),
        ("result", "Reorder", "logits", True),
    ]
    assert [placed.fuses for placed in found.nodes if placed.fuses] == [("BiasAdd", "Relu")]
    fell_back = {placed.layer: told for placed in found.nodes if (told := placed.fell_back("int8"))}
    assert fell_back == {
        "pool1": "reference kernel, float32 in an int8 network",
        "logits": "float32 in an int8 network",
    }
    assert [placed.fell_back("float32") for placed in found.nodes if placed.fell_back("float32")] == [
        "reference kernel"
    ]


def test_a_scale_that_was_moved_behind_a_pooling_works_for_what_reads_it() -> None:
    frozen = smoke_graph()
    fed = frozen.feeds[0].node
    scale = "conv1/Relu/fq_output_0/DequantizationMultiply"
    nodes = [
        node(f"{fed}:0", "Input"),
        node("conv1/BiasAdd", "Convolution", f"{fed}:0", kernel="brgconv_avx512_I8", of="conv1/BiasAdd,conv1/Relu"),
        node("pool1/MaxPool2d", "Pooling", "conv1/BiasAdd", kernel="jit_avx512_I8"),
        node(scale, "Eltwise", "pool1/MaxPool2d", of="conv1/Relu"),
        node("logits/MatMul_Gemm__6", "FullyConnected", scale, kernel="brgemm_avx512_f32"),
        node("result/sink_port_0", "Output", "logits/MatMul_Gemm__6"),
    ]
    ran = {each.name: each.type for each in nodes if each.type not in ("Input", "Output")}
    assert [(placed.label, placed.op, placed.layer) for placed in place(nodes, ran, frozen).nodes] == [
        ("conv1/BiasAdd", "Conv2D", "conv1"),
        ("pool1/MaxPool2d", "MaxPool", "pool1"),
        (scale, "Eltwise", "logits"),
        ("logits/MatMul", "MatMul", "logits"),
    ]
