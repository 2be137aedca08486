"""The benchmarks run: what they print is read by people and asserts nothing, so only its form is tested."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def output_of(*command: str) -> str:
    environment = {key: value for key, value in os.environ.items() if key != "TF_ENABLE_ONEDNN_OPTS"}
    done = subprocess.run([sys.executable, *command], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_overhead_compares_four_ways_to_profile_a_step() -> None:
    printed = output_of("benchmarks/overhead.py", "smoke", "--rounds", "6")
    kinds = re.findall(r"^  (\S.*?) +[\d.]+(?:us|ms|sec) +[\d.]+  \([\d.]+ to [\d.]+\)$", printed, re.MULTILINE)
    assert kinds == ["unprofiled", "cnnprof", "tf.compat.v1.profiler, add_step", "tf.profiler.experimental"]


@pytest.mark.skipif(
    not all(map(importlib.util.find_spec, ("openvino", "onnxruntime", "tf2onnx"))), reason="a runtime is not installed"
)
def test_second_opinions_are_those_of_the_runtimes_own_benchmarks() -> None:
    printed = output_of("benchmarks/second_opinions.py", "smoke", "--rounds", "6", "--seconds", "0.01")
    time = r"[\d.]+(?:us|ms|sec)"
    row = rf"^  (\w+) +{time}  (\w+) +{time}  (\w+) +[\d.]+  \([\d.]+ to [\d.]+\)  (?:.*within 5%|undecided: .*)$"
    told = [("openvino", "benchmark_app", "median"), ("onnxruntime", "onnxruntime_test", "fmean")]
    assert re.findall(row, printed, re.MULTILINE) == told
