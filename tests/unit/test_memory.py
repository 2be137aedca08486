"""How much memory a network needs at least, and that one this machine cannot hold is never built."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from cnnprof_lib.base.errors import MeasureError
from cnnprof_lib.measure import run
from cnnprof_lib.measure.images.cache import DataSet
from cnnprof_lib.measure.models import build as model
from cnnprof_lib.measure.models import evaluate
from cnnprof_lib.measure.runtimes import memory
from cnnprof_lib.measure.training import train
from cnnprof_lib.params.costs import least_bytes
from cnnprof_lib.params.reading import load_recipe, load_variant
from cnnprof_lib.params.settings import RunRequest
from cnnprof_lib.params.variant import VariantSpec
from cnnprof_lib.records.project import Project
from cnnprof_lib.records.store import Store

ROOT = Path(__file__).parents[2]
PARAMS = ROOT / "params"
SMOKE = load_variant("smoke", PARAMS)


def network(*layers: dict[str, Any], classes: int, channels: int = 3) -> VariantSpec:
    size = {"height": 10, "width": 10, "channels": channels}
    return VariantSpec.model_validate(
        {"name": "net", "title": "Net", "input": size, "classes": classes, "layers": layers}
    )


def test_the_least_is_all_weights_and_the_largest_input_with_its_output() -> None:
    baseline = load_variant("baseline", PARAMS)
    weights = 4 * 1_068_298
    pool1 = 4 * (24 * 24 * 64 + 12 * 12 * 64)  # more than conv1, whose input has 3 channels
    assert least_bytes(baseline.network, 1) == (weights + pool1, "local3")  # 884,736 weights
    assert least_bytes(baseline.network, 128) == (weights + 128 * pool1, "pool1")


def test_layers_that_may_work_in_place_or_in_two_steps_count_once() -> None:
    relu, gap = {"name": "relu1", "type": "relu"}, {"name": "gap", "type": "global_avg_pool"}
    assert least_bytes(network(relu, gap, classes=3).network, 1) == (4 * (300 + 3), "gap")
    flat = {"name": "flat", "type": "flatten"}
    assert least_bytes(network(relu, flat, classes=300).network, 2) == (4 * 2 * 300, "relu1")
    separable = {"name": "sep", "type": "separable_conv", "filters": 5, "kernel": 1, "use_bias": False}
    weights = 3 + 15
    assert least_bytes(network(separable, gap, classes=5).network, 1) == (4 * (weights + 500 + 5), "sep")


@pytest.fixture
def small_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine of 600 kB and 400 kB swap, on which no model is to be built."""
    monkeypatch.setattr(memory.psutil, "virtual_memory", lambda: SimpleNamespace(total=600_000))
    monkeypatch.setattr(memory.psutil, "swap_memory", lambda: SimpleNamespace(total=400_000))
    monkeypatch.setattr(memory.tf.config, "list_physical_devices", lambda kind: [])
    monkeypatch.setattr(model, "build", lambda *_: pytest.fail("a model was built"))


TOO_LARGE = (
    "smoke.yaml: needs at least {needed} of memory for {images} images, most of it for `conv1`. "
    "Received: 1.00MB in this machine. Make the layer or the batch smaller."
)
CONV1 = 4 * (24 * 24 * 3 + 12 * 12 * 8)


@pytest.mark.usefixtures("small_machine")
def test_what_fits_into_memory_and_swap_is_let_through(monkeypatch: pytest.MonkeyPatch) -> None:
    most = (1_000_000 - 4 * SMOKE.network.parameters) // CONV1
    memory.require_memory(SMOKE.network, most)
    with pytest.raises(MeasureError) as caught:
        memory.require_memory(SMOKE.network, most + 1)
    assert str(caught.value) == TOO_LARGE.format(needed="1.00MB", images=most + 1)
    monkeypatch.setattr(memory.psutil, "virtual_memory", lambda: SimpleNamespace(total=0))
    monkeypatch.setattr(memory.psutil, "swap_memory", lambda: SimpleNamespace(total=1))
    with pytest.raises(MeasureError, match="of memory for 1 image, most of it"):
        memory.require_memory(SMOKE.network, 1)
    monkeypatch.setattr(memory.tf.config, "list_physical_devices", lambda kind: [f"a {kind}"])
    memory.require_memory(SMOKE.network, 10**6)


@pytest.mark.usefixtures("small_machine")
def test_a_run_is_refused_before_anything_is_loaded(tmp_path: Path) -> None:
    request = RunRequest(
        variant="smoke", runtime="unfused", preset="smoke", source="nowhere", run_id="1", series="1", batch_size=1000
    )
    with pytest.raises(MeasureError) as caught:
        run.measure(request, Project(ROOT, tmp_path))
    assert str(caught.value) == TOO_LARGE.format(needed="11.53MB", images="1,000")


@pytest.mark.usefixtures("small_machine")
@pytest.mark.parametrize(("images", "batch_size", "counted"), [(700, 128, 500), (100, 2000, "1,000")])
def test_a_training_must_fit_its_steps_and_the_scoring_at_its_end(
    tmp_path: Path, images: int, batch_size: int, counted: object
) -> None:
    pixels, labels = np.zeros((images, 32, 32, 3), np.uint8), np.zeros(images, np.int32)
    dataset = DataSet("drawn", "0" * 64, tuple("abcdefghij"), pixels, labels, pixels, labels)
    recipe = load_recipe("short", PARAMS).model_copy(update={"batch_size": batch_size})
    with pytest.raises(MeasureError) as caught:
        train.train(SMOKE, recipe, dataset, Store(tmp_path))
    needed = {500: "5.77MB", "1,000": "11.53MB"}[counted]
    assert str(caught.value) == TOO_LARGE.format(needed=needed, images=counted)
    if images == 700:
        with pytest.raises(MeasureError) as caught:
            evaluate.evaluate(SMOKE, dataset, Store(tmp_path))
        assert str(caught.value) == TOO_LARGE.format(needed=needed, images=counted)
    assert list(tmp_path.iterdir()) == []


def test_images_are_no_part_of_what_a_model_adds(monkeypatch: pytest.MonkeyPatch) -> None:
    held = {"process": 100}
    monkeypatch.setattr(run.machine, "resident_bytes", lambda: sum(held.values()))

    def load(spec: Any) -> Any:
        held["network"] = 7
        return SimpleNamespace(network=SimpleNamespace(inputs=()))

    def images(dataset: Any, spec: Any, inputs: Any) -> str:
        held["images"] = 1000
        return "images"

    conditions: Any = SimpleNamespace(spec=None, load=load, images=images)
    _, fed, rss_start = run._loaded(conditions, None)
    assert (fed, rss_start) == ("images", 1100)
