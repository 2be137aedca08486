"""Sets a process up before TensorFlow is loaded. The only module that knows how."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Mapping

from ...base.errors import MeasureError
from ...base.processes import undisturbed
from ...base.stderr import stderr_aside

ONEDNN = "TF_ENABLE_ONEDNN_OPTS"
"""Turns oneDNN's kernels on and off; without it TensorFlow uses them on processors with AVX-512 VNNI."""
TRAINING = {ONEDNN: "1"}
"""For trainings, which are to be fast and not to be measured."""


def set_up(what: str, environment: Mapping[str, str | None], loads: str = "tensorflow") -> None:
    """Sets environment variables that a module reads once, at its import.

    Args:
        what: What needs them, for the message.
        environment: Their values; None is for unset.
        loads: The module.

    Raises:
        MeasureError: it is loaded already and was set up otherwise.
    """
    for name, wanted in environment.items():
        found = os.environ.get(name)
        if found == wanted:
            continue
        if loads in sys.modules:
            raise MeasureError(
                f"{what} needs {name}={wanted or 'unset'} before {loads} is loaded. "
                f"Received: {found}. Use a new process, as `cnnprof run` does."
            )
        if wanted is None:
            del os.environ[name]
        else:
            os.environ[name] = wanted


def quiet_tensorflow() -> None:
    """Keeps TensorFlow's warnings and its notices of old names out of the terminal; errors still show."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    logging.getLogger("tensorflow").setLevel(logging.ERROR)


def load_tensorflow() -> None:
    """Loads TensorFlow without its notices of missing accelerators, too, which no setting turns off."""
    quiet_tensorflow()
    with stderr_aside(), undisturbed():  # an import that fails raises, and that is told
        import tensorflow as tf

        tf.config.list_physical_devices()
