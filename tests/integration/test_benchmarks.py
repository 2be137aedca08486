"""The benchmarks run: what they print is read by people and asserts nothing, so only its form is tested."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_overhead_compares_four_ways_to_profile_a_step() -> None:
    environment = {key: value for key, value in os.environ.items() if key != "TF_ENABLE_ONEDNN_OPTS"}
    command = [sys.executable, "benchmarks/overhead.py", "smoke", "--rounds", "6"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    kinds = re.findall(r"^  (\S.*?) +[\d.]+(?:us|ms|sec) +[\d.]+  \([\d.]+ to [\d.]+\)$", done.stdout, re.MULTILINE)
    assert kinds == ["unprofiled", "cnnprof", "tf.compat.v1.profiler, add_step", "tf.profiler.experimental"]
