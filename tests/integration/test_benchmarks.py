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


@pytest.mark.skipif(not importlib.util.find_spec("jax"), reason="jax is not installed")
def test_a_network_packed_for_a_gpu_answers_as_stock_where_there_is_no_tensorflow(tmp_path: Path) -> None:
    output_of("benchmarks/on_gpu.py", "pack", str(tmp_path), "--variants", "smoke", "--batch-sizes", "16", "4")
    without = (
        "import sys, runpy; sys.modules['tensorflow'] = None; runpy.run_path(sys.argv.pop(1), run_name='__main__')"
    )
    printed = output_of("-c", without, "benchmarks/on_gpu.py", "step", str(tmp_path), "--rounds", "6", "--steps", "1")
    time = r"[\d.]+(?:us|ms|sec)"
    told = (
        rf"^  (\S+) +{time}  \({time} to {time}\) +[\d,]+ images/s +{time} with copies  ([\d.]+%) of classes as stock's"
    )
    assert re.findall(told, printed, re.MULTILINE) == [("smoke-4", "100.00%"), ("smoke-16", "100.00%")]
