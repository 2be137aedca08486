"""A process is set up for one runtime, before TensorFlow."""

from __future__ import annotations

import os
import sys

import pytest

from cnnprof_lib.base.errors import MeasureError
from cnnprof_lib.measure.runtimes import environment as runtime


def test_unfused_turns_onednn_off_training_on_and_stock_leaves_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "tensorflow", raising=False)
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", "1")
    runtime.set_up("unfused")
    assert os.environ["TF_ENABLE_ONEDNN_OPTS"] == "0"
    runtime.set_up("training")
    assert os.environ["TF_ENABLE_ONEDNN_OPTS"] == "1"
    runtime.set_up("stock")
    assert "TF_ENABLE_ONEDNN_OPTS" not in os.environ


def test_a_process_with_tensorflow_cannot_change_its_runtime(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorflow", object())  # type: ignore[arg-type]
    monkeypatch.delenv("TF_ENABLE_ONEDNN_OPTS", raising=False)
    runtime.set_up("stock")
    with pytest.raises(MeasureError) as caught:
        runtime.set_up("unfused")
    assert str(caught.value) == (
        "Runtime unfused needs TF_ENABLE_ONEDNN_OPTS=0 before TensorFlow is loaded. Received: None. "
        "Use a new process, as `cnnprof run` does."
    )
