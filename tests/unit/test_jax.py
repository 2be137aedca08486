"""JAX: what it answers, what it refuses, and how many threads it takes."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from test_executed import BRANCHES, network

from cnnprof_lib.base.errors import MeasureError
from cnnprof_lib.measure.models import build, weights
from cnnprof_lib.measure.models.load import freeze, load_network
from cnnprof_lib.measure.prepare import load_dataset, prepare_images
from cnnprof_lib.measure.runtimes.jax import Jax
from cnnprof_lib.params.reading import load_variant
from cnnprof_lib.records.project import Project
from tests.builders import open_session

pytest.importorskip("jax")

import jax

from cnnprof_lib.measure.runtimes.jax_session import JaxSession, exported

ROOT = Path(__file__).parents[2]
BATCH = 4
PRODUCTS = ("convolution", "dot")
REAL_IMAGES = os.environ.get("CNNPROF_DATA", "")
NETWORKS = {
    "smoke": lambda: variant("smoke"),
    "resnet8": lambda: variant("resnet8"),
    "lrn": lambda: variant("baseline"),
    "branches": lambda: network("branches", *BRANCHES),
}


def variant(name: str) -> keras.Model:
    return build.build(load_variant(name, ROOT / "params"), seed=1)


@pytest.fixture
def threads() -> Iterator[None]:
    """The number of threads as it was."""
    before = os.environ.pop("NPROC", None)
    yield
    os.environ.pop("NPROC", None)
    if before is not None:
        os.environ["NPROC"] = before


@pytest.mark.parametrize("name", NETWORKS)
def test_the_answers_are_those_of_stock(name: str) -> None:
    built = NETWORKS[name]()
    weights.fill_zero_weights(built)
    frozen = freeze(built, BATCH)
    images = np.random.default_rng(0).normal(size=(3 * BATCH, *built.input_shape[1:])).astype(np.float32)
    stock = open_session(frozen, "stock", images, np.zeros(len(images), np.int32))
    session = JaxSession(frozen, (images,))
    expected = stock.outputs((images[BATCH : 2 * BATCH],))
    np.testing.assert_allclose(session.outputs((images[BATCH : 2 * BATCH],)), expected, rtol=1e-3, atol=1e-5)
    assert np.abs(expected).max() > 1e-3  # alike because something was computed, not because all is zero
    session.close()
    stock.close()


def test_images_are_fed_in_turn_and_lie_on_the_device_before_a_step() -> None:
    built = variant("smoke")
    images = np.arange(2 * BATCH * 24 * 24 * 3, dtype=np.float32).reshape(2 * BATCH, 24, 24, 3)
    session = JaxSession(freeze(built, BATCH), (images,))
    first = [np.asarray(value) for value in session._batch]
    session.prepare()
    assert all(isinstance(value, jax.Array) for value in session._batch)
    np.testing.assert_array_equal(np.concatenate([*first, *session._batch]), images)
    session.step()
    session.close()


@pytest.mark.parametrize("platform", ["cpu", "cuda"])
def test_it_multiplies_in_float32_on_every_device(platform: str) -> None:
    """Exporting for a GPU needs none."""
    tf.config.experimental.enable_tensor_float_32_execution(True)
    ops = exported(freeze(variant("smoke"), BATCH), [platform]).mlir_module().splitlines()
    precisions = {op: [re.findall("HIGHEST", line) for line in ops if f"stablehlo.{op}" in line] for op in PRODUCTS}
    assert precisions == {op: [["HIGHEST", "HIGHEST"]] for op in PRODUCTS}
    assert tf.config.experimental.tensor_float_32_execution_enabled()


def test_the_size_is_that_of_the_exported_network() -> None:
    frozen = freeze(variant("smoke"), BATCH)
    session = JaxSession(frozen, (np.zeros((BATCH, 24, 24, 3), np.float32),))
    parameters = sum(value.nbytes for value in frozen.weights.values())
    assert session.model_bytes is not None
    assert parameters < session.model_bytes < parameters + 20_000
    session.close()


def test_a_network_of_an_unknown_op_is_refused_in_a_line() -> None:
    class Dilated(keras.layers.Layer):
        def call(self, x: Any) -> Any:
            ones = {"strides": [1, 1, 1, 1], "rates": [1, 1, 1, 1]}
            return tf.raw_ops.Dilation2D(input=x, filter=tf.ones((3, 3, 3)), padding="SAME", **ones)

    inputs = keras.Input((8, 8, 3))
    built = keras.Model(inputs, Dilated()(inputs))
    with pytest.raises(MeasureError) as caught:
        JaxSession(freeze(built, BATCH), (np.zeros((BATCH, 8, 8, 3), np.float32),))
    assert str(caught.value) == "network: JAX cannot run it (XLA has no Dilation2D). Use another runtime."


def test_it_tells_its_versions_and_its_device() -> None:
    assert Jax().versions() == {
        "jax": jax.__version__,
        "jaxlib": jax.lib.__version__,
        "jax device": jax.devices()[0].device_kind,
    }


def test_threads_come_too_late_once_it_has_started(threads: None) -> None:
    jax.devices()
    with pytest.raises(MeasureError) as caught:
        Jax().limit_threads(1)
    assert str(caught.value) == (
        "Runtime jax: threads must be set before JAX computes anything in the process. Received: 1. "
        "Use a new process, as `cnnprof run` does."
    )


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="the system does not name a process's threads")
@pytest.mark.parametrize("count", [1, 3])
def test_a_new_process_is_set_up_and_held_to_its_threads(count: int) -> None:
    """Counts the threads of the pool in which XLA runs parts of a kernel."""
    code = f"""if True:
        import os, sys
        from cnnprof_lib.measure.runtimes.jax import Jax
        runtime = Jax()
        runtime.set_up()
        runtime.limit_threads({count})
        too_early = [name for name in ("jax", "tensorflow") if name in sys.modules]
        print(os.environ["XLA_PYTHON_CLIENT_PREALLOCATE"], too_early)
        import jax
        jax.devices()
        names = [open(f"/proc/self/task/{{task}}/comm").read() for task in os.listdir("/proc/self/task")]
        print(sum("XLAEigen" in name for name in names))
    """
    clean = {key: value for key, value in os.environ.items() if key != "TF_ENABLE_ONEDNN_OPTS"}
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=clean, capture_output=True, text=True)
    assert done.stdout.splitlines() == ["false []", str(count)], done.stderr


@pytest.mark.skipif(not REAL_IMAGES, reason="CNNPROF_DATA names no images")
def test_the_baseline_tells_real_images_apart_as_stock_does() -> None:
    spec, images, batch = load_variant("baseline", ROOT / "params"), 500, 125
    loaded = load_network(spec, Project(ROOT, ROOT / "outputs").store, batch_size=batch, seed=1)
    fed = prepare_images(load_dataset(REAL_IMAGES, ROOT / "params", spec), loaded.network.inputs, batch, seed=1)
    sessions = [open_session(loaded.frozen, "stock", fed.values, fed.labels), JaxSession(loaded.frozen, fed.values)]
    stock, own = (
        np.concatenate([one.outputs([value[i : i + batch] for value in fed.values]) for i in range(0, images, batch)])
        for one in sessions
    )
    np.testing.assert_allclose(own, stock, atol=1e-3)
    np.testing.assert_array_equal(own.argmax(axis=1), stock.argmax(axis=1))
    assert (own.argmax(axis=1) == fed.labels[:images]).mean() > 0.8
