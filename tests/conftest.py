"""Settings for all tests: this process runs TensorFlow as runtime ``unfused``, quietly."""

from __future__ import annotations

from cnnprof_lib.measure.runtimes import environment as runtime

runtime.set_up("unfused")
runtime.quiet_tensorflow()
