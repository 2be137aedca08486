"""Settings for all tests: this process runs TensorFlow as runtime ``unfused``, quietly."""

from __future__ import annotations

from pathlib import Path

import pytest

from cnnprof_lib.base import locks
from cnnprof_lib.measure.runtimes.contract import find_runtime
from cnnprof_lib.measure.runtimes.environment import quiet_tensorflow

find_runtime("unfused").set_up()
quiet_tensorflow()


@pytest.fixture(autouse=True)
def own_timing_lock(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What else times something on this host keeps no test waiting."""
    path = tmp_path_factory.getbasetemp() / "timing.lock"
    monkeypatch.setattr(locks, "TIMING_LOCK", path)
    return path
