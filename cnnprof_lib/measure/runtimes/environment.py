"""Sets a process up for one runtime, before TensorFlow is loaded. The only module that knows how."""

from __future__ import annotations

import logging
import os
import sys
from typing import Literal

from ...base.errors import MeasureError
from ...base.processes import undisturbed
from ...base.stderr import stderr_aside
from ...params.settings import Runtime

_ONEDNN = "TF_ENABLE_ONEDNN_OPTS"


def set_up(runtime: Runtime | Literal["training"]) -> None:
    """Chooses the kernels TensorFlow will use in this process.

    Args:
        runtime: ``unfused`` turns oneDNN off; ``stock`` leaves TensorFlow's own choice, which is to use it on
            processors with AVX-512 VNNI; ``training``, which is to be fast and not to be measured, turns it on.

    Raises:
        MeasureError: TensorFlow is loaded already and was set up otherwise.
    """
    wanted = {"unfused": "0", "stock": None, "training": "1"}[runtime]
    if os.environ.get(_ONEDNN) == wanted:
        return
    if "tensorflow" in sys.modules:
        raise MeasureError(
            f"Runtime {runtime} needs {_ONEDNN}={wanted or 'unset'} before TensorFlow is loaded. "
            f"Received: {os.environ.get(_ONEDNN)}. Use a new process, as `cnnprof run` does."
        )
    if wanted is None:
        del os.environ[_ONEDNN]
    else:
        os.environ[_ONEDNN] = wanted


def limit_threads(threads: int | None) -> None:
    """Holds TensorFlow to ``threads`` threads within an op, and as many ops at a time; None leaves it the choice.

    To be called before anything is computed: the first op makes the process's thread pool, and a session's own
    setting is ignored from then on.
    """
    if threads is None:
        return
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)


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
