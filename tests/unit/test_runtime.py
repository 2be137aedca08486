"""A process is set up for one runtime, before TensorFlow."""

from __future__ import annotations

import os
import sys

import pytest

from cnnprof_lib.base.errors import MeasureError
from cnnprof_lib.measure.runtimes import environment
from cnnprof_lib.measure.runtimes.contract import find_runtime


def test_unfused_turns_onednn_off_training_on_and_stock_leaves_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "tensorflow", raising=False)
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", "1")
    find_runtime("unfused").set_up()
    assert os.environ["TF_ENABLE_ONEDNN_OPTS"] == "0"
    environment.set_up("Training", environment.TRAINING)
    assert os.environ["TF_ENABLE_ONEDNN_OPTS"] == "1"
    find_runtime("stock").set_up()
    assert "TF_ENABLE_ONEDNN_OPTS" not in os.environ


def test_a_process_with_tensorflow_cannot_change_its_runtime(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorflow", object())  # type: ignore[arg-type]
    monkeypatch.delenv("TF_ENABLE_ONEDNN_OPTS", raising=False)
    find_runtime("stock").set_up()
    with pytest.raises(MeasureError) as caught:
        find_runtime("unfused").set_up()
    assert str(caught.value) == (
        "Runtime unfused needs TF_ENABLE_ONEDNN_OPTS=0 before tensorflow is loaded. Received: None. "
        "Use a new process, as `cnnprof run` does."
    )
