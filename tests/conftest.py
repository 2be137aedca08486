"""Settings for all tests: this process runs TensorFlow as runtime ``unfused``, quietly."""

from __future__ import annotations

from cnnprof_lib.measure.runtimes.contract import find_runtime
from cnnprof_lib.measure.runtimes.environment import quiet_tensorflow

find_runtime("unfused").set_up()
quiet_tensorflow()
