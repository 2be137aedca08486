"""ONNX Runtime: what it answers, what its profile tells, and for which layer each of its kernels works."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from test_executed import BRANCHES, network, residual

from cnnprof_lib.base.errors import MeasureError
from cnnprof_lib.measure.models import build, weights
from cnnprof_lib.measure.models.load import freeze, load_network
from cnnprof_lib.measure.prepare import load_dataset, prepare_images
from cnnprof_lib.measure.runtimes import executions
from cnnprof_lib.measure.runtimes.compiled import CompiledSession
from cnnprof_lib.params.reading import load_variant
from cnnprof_lib.records.project import Project
from cnnprof_lib.records.run import EXECUTIONS
from tests.builders import open_session

pytest.importorskip("onnxruntime")
pytest.importorskip("tf2onnx")

from cnnprof_lib.measure.runtimes.onnxruntime import OnnxRuntime
from cnnprof_lib.measure.runtimes.onnxruntime_session import OnnxSession, _kernels_by_step

ROOT = Path(__file__).parents[2]
BATCH, STEPS = 4, 3
REAL_IMAGES = os.environ.get("CNNPROF_DATA", "")
LRN = (
    {"name": "conv1", "type": "conv", "filters": 32, "kernel": 3, "activation": "relu"},
    {"name": "norm1", "type": "lrn", "depth_radius": 2, "bias": 1.5, "alpha": 0.3, "beta": 0.6},
    {"name": "pool1", "type": "max_pool", "window": 2, "stride": 2},
    {"name": "conv2", "type": "conv", "filters": 16, "kernel": 3, "activation": "relu"},
    {"name": "norm2", "type": "lrn", "depth_radius": 4, "bias": 1.0, "alpha": 0.2, "beta": 0.75},
    {"name": "conv3", "type": "conv", "filters": 16, "kernel": 3},
    {"name": "logits", "type": "dense", "units": 10},
)


def variant(name: str) -> keras.Model:
    return build.build(load_variant(name, ROOT / "params"), seed=1)


def nested() -> keras.Model:
    """A model inside a model, whose convolutions have no bias: tf2onnx folds normalisations in and drops names."""
    inner = keras.applications.MobileNetV2((32, 32, 3), weights=None, include_top=False, alpha=0.35, name="inner")
    x = keras.layers.Flatten(name="flat")(inner(inputs := keras.Input((32, 32, 3))))
    hidden = keras.layers.Dense(8, activation="tanh", name="hidden")(keras.layers.Dropout(0.3, name="dropped")(x))
    return keras.Model(inputs, keras.layers.Dense(10, activation="softmax", name="classes")(hidden), name="nested")


class Traced:
    """A network traced for some steps, some of them not to be read, as when warming up."""

    def __init__(self, built: keras.Model) -> None:
        weights.fill_zero_weights(built)
        self.model, self.frozen = built, freeze(built, BATCH)
        rng = np.random.default_rng(0)
        self.images = rng.normal(size=(3 * BATCH, *built.input_shape[1:])).astype(np.float32)
        session = OnnxSession(self.frozen, (self.images,), threads=1)
        self.model_bytes = session.model_bytes
        self.answers = session.outputs((self.images[:BATCH],))
        steps = []
        for _ in range(2 * STEPS):
            session.prepare()
            session.step()
            steps.append(session.traced_step())
        self.read = steps[-STEPS:]
        self.rows = session.executions(self.read)
        self.profile = session.profile(self.read, 0)
        session.close()

    def layers_of(self, op: str) -> list[str]:
        of_first = self.rows[self.rows["step"] == 0]
        return sorted(of_first.loc[of_first["op"] == op, "layer"])

    def stock_answers(self) -> Any:
        session = open_session(self.frozen, "stock", self.images, np.zeros(len(self.images), np.int32))
        answers = session.outputs((self.images[:BATCH],))
        session.close()
        return answers


NETWORKS = {
    "smoke": lambda: variant("smoke"),
    "resnet8": lambda: variant("resnet8"),
    "lrn": lambda: network("lrn", *LRN),
    "branches": lambda: network("branches", *BRANCHES),
    "residual": residual,
    "nested": nested,
}


@pytest.fixture(scope="module", params=list(NETWORKS))
def traced(request: pytest.FixtureRequest) -> Traced:
    return Traced(NETWORKS[request.param]())


def test_the_answers_are_those_of_stock(traced: Traced) -> None:
    expected = traced.stock_answers()
    np.testing.assert_allclose(traced.answers, expected, rtol=1e-3, atol=1e-5)
    assert np.abs(expected).max() > 1e-3  # alike because something was computed, not because all is zero


def test_every_layer_has_a_kernel_or_is_fused_into_one_that_has(traced: Traced) -> None:
    with_kernel, fused = set(traced.rows["layer"]), traced.profile.fused_into
    assert with_kernel | set(fused) == set(traced.frozen.owners.values())
    assert set(fused.values()) <= with_kernel
    assert not with_kernel & set(fused)
    assert traced.profile.unowned == frozenset()


def test_conversions_have_rows_and_serve_a_layer(traced: Traced) -> None:
    of_conversions = traced.rows[traced.rows["node"].isin(traced.profile.conversions)]
    assert set(of_conversions["node"]) == traced.profile.conversions
    assert {"Transpose"} <= set(of_conversions["op"]) <= {"Transpose", "Reshape", "ReorderInput", "ReorderOutput"}
    assert (of_conversions["layer"] != "").all()


def test_multiply_adds_are_their_layers(traced: Traced) -> None:
    kinds = {"Conv2D": "Conv2D", "DepthwiseConv2D": "DepthwiseConv2dNative", "Dense": "MatMul"}
    multiplying = {"Conv2D", "DepthwiseConv2dNative", "MatMul"}
    rows = traced.rows[(traced.rows["step"] == 0) & traced.rows["op"].isin(multiplying)]
    expected = {
        (f"inner/{layer.name}" if layer in inner else layer.name, kinds[type(layer).__name__])
        for model in (traced.model, *(found for found in traced.model.layers if isinstance(found, keras.Model)))
        for inner in [() if model is traced.model else model.layers]
        for layer in model.layers
        if type(layer).__name__ in kinds
    }
    assert set(zip(rows["layer"], rows["op"], strict=True)) == expected


def test_rows_are_as_records_hold_them_and_add_up(traced: Traced) -> None:
    rows = traced.rows
    assert list(rows) == list(EXECUTIONS)
    told = {name: kind for name, kind in EXECUTIONS.items() if kind != "str"}
    assert {name: str(rows[name].dtype) for name in told} == told
    assert rows[["requested_bytes", "persistent_bytes"]].isna().all(axis=None)
    assert set(rows["device"]) == {"CPUExecutionProvider"}
    assert sorted(rows["step"].unique()) == list(range(STEPS))
    assert rows.groupby("step")["node"].agg(list).map(tuple).nunique() == 1  # the same kernels in the same order
    assert (rows["start_ns"] > 0).all()
    np.testing.assert_allclose(rows["self_ns"], rows["duration_ns"])  # one after the other
    rest = executions.unattributed(rows, [60.0] * STEPS)
    np.testing.assert_allclose(rest.sum(axis=1) + rows.groupby("step")["self_ns"].sum() / 1e9, 60.0)


def test_a_network_with_lrn_leaves_the_layout_of_its_convolutions_and_says_so() -> None:
    traced = Traced(network("lrn", *LRN))
    assert traced.layers_of("LRN") == ["norm1", "norm2"]
    fell_back = traced.profile.fell_back
    if not any(traced.rows["kernel"].str.endswith("(NCHWc)")):
        pytest.skip("this processor has no kernels for blocks of channels")
    assert fell_back == {"norm2/LRN": "no kernel for NCHWc, so reorders before and after"} | {
        node: text for node, text in fell_back.items() if node == "norm1/LRN"
    }


def test_what_is_fused_is_told_and_booked_where_it_is_computed() -> None:
    traced = Traced(variant("resnet8"))
    if not any(traced.rows["kernel"].str.endswith("(NCHWc)")):
        pytest.skip("this processor has no kernels for blocks of channels")
    assert traced.profile.fused_into["stack1_bn1"] == "stack1_conv1"
    assert traced.profile.fused_into["stack1_add"] == traced.profile.fused_into["stack1_relu2"] == "stack1_conv2"
    assert traced.profile.fused_into["stack2_add"] == traced.profile.fused_into["stack2_relu2"] == "stack2_shortcut"
    of_layer = traced.rows.drop_duplicates("node").set_index("layer")["node"]
    assert traced.profile.fused_ops[of_layer["stack1_conv2"]] == ("BiasAdd", "Add", "Relu")


def test_the_size_is_that_of_the_models_file() -> None:
    traced = Traced(variant("smoke"))
    parameters = sum(value.nbytes for value in traced.frozen.weights.values())
    assert parameters < traced.model_bytes < parameters + 10_000


def test_kernels_belong_to_the_step_in_which_they_start_in_whatever_order_they_are_written() -> None:
    def event(name: str, ts: int, dur: int) -> dict[str, Any]:
        return {"name": name, "ts": ts, "dur": dur}

    written = [
        event("session_initialization", 1, 90),
        event("a_kernel_time", 101, 3),
        event("b_kernel_time", 104, 5),
        event("SequentialExecutor::Execute", 101, 9),
        event("model_run", 100, 11),
        event("a_kernel_time", 200, 3),
        event("model_run", 200, 9),
    ]
    for events in (written, sorted(written, key=lambda one: one["ts"]), written[::-1]):
        assert [[one["ts"] for one in step] for step in _kernels_by_step(events)] == [[101, 104], [200]]


def test_a_profile_that_was_cut_short_is_refused() -> None:
    built = variant("smoke")
    session = OnnxSession(freeze(built, BATCH), (np.zeros((BATCH, 24, 24, 3), np.float32),), threads=1)
    step = session.traced_step()
    session._traced._count += 1
    with pytest.raises(MeasureError) as caught:
        session.executions([step])
    assert str(caught.value) == (
        "onnxruntime: its profiler recorded 1 step, not 2; it keeps a million events. Choose a preset of fewer steps."
    )
    session.close()


def test_nothing_is_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    session = OnnxSession(freeze(variant("smoke"), BATCH), (np.zeros((BATCH, 24, 24, 3), np.float32),), threads=1)
    session.traced_step()
    assert len(list(tmp_path.iterdir())) == 1
    session.close()
    assert list(tmp_path.iterdir()) == []


def test_a_network_that_tf2onnx_cannot_convert_is_refused_in_a_line() -> None:
    inputs = keras.Input((8, 8, 3))
    built = keras.Model(inputs, keras.ops.erfinv(keras.layers.Flatten()(inputs)))
    with pytest.raises(MeasureError) as caught:
        OnnxSession(freeze(built, BATCH), (np.zeros((BATCH, 8, 8, 3), np.float32),), threads=1)
    assert str(caught.value) == "network: tf2onnx cannot convert Erfinv. Use another runtime."


def test_versions_and_threads() -> None:
    runtime = OnnxRuntime()
    assert set(runtime.versions()) == {"onnxruntime", "tf2onnx", "onnx"}
    runtime.limit_threads(1)
    built = variant("smoke")
    loaded = type("Loaded", (), {"frozen": freeze(built, BATCH)})
    images = type("Images", (), {"values": (np.zeros((BATCH, 24, 24, 3), np.float32),)})
    session = runtime.open(loaded, images)  # type: ignore[arg-type]
    assert session._session.get_session_options().intra_op_num_threads == 1
    session.close()


@pytest.mark.skipif(not REAL_IMAGES, reason="CNNPROF_DATA names no images")
def test_the_baseline_scores_the_same_in_every_runtime_on_real_images() -> None:
    """LRN's alpha and size mean other things in ONNX. All of 1,000 images get the same class."""
    spec, images, batch = load_variant("baseline", ROOT / "params"), 1000, 125
    project = Project(ROOT, ROOT / "outputs")
    network = load_network(spec, project.store, batch_size=batch, seed=1)
    dataset = load_dataset(REAL_IMAGES, ROOT / "params", spec)
    fed = prepare_images(dataset, network.network.inputs, batch, seed=1)
    frozen, labels = network.frozen, fed.labels[:images]
    sessions = {
        "stock": open_session(frozen, "stock", fed.values, fed.labels),
        "xla": CompiledSession(frozen, fed.values),
        "onnxruntime": OnnxSession(frozen, fed.values, threads=2),
    }
    answers = {
        name: np.concatenate(
            [session.outputs([value[i : i + batch] for value in fed.values]) for i in range(0, images, batch)]
        )
        for name, session in sessions.items()
    }
    for session in sessions.values():
        session.close()
    top1 = {name: float((values.argmax(axis=1) == labels).mean()) for name, values in answers.items()}
    assert top1 == dict.fromkeys(sessions, top1["stock"])
    assert top1["stock"] > 0.8
    for values in answers.values():
        np.testing.assert_allclose(values, answers["stock"], atol=1e-3)
