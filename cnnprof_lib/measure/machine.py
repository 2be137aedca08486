"""Facts of the machine and of the process, as a record keeps them."""

from __future__ import annotations

import platform
from pathlib import Path

import psutil

from ..records import MachineRecord

BUSY_PERCENT = 15.0
"""Processor time that others use above which a run says so. Own choice: an idle desktop stays well below."""


def describe(onednn: bool) -> MachineRecord:
    """Describes machine and libraries; loads TensorFlow and Keras.

    Args:
        onednn: Whether oneDNN kernels were executed.
    """
    import keras
    import tensorflow as tf

    return MachineRecord(
        cpu=_cpu_name(),
        logical_cores=psutil.cpu_count() or 1,
        memory_bytes=psutil.virtual_memory().total,
        system=f"{platform.system()} {platform.release()}",
        python=platform.python_version(),
        tensorflow=tf.__version__,
        keras=keras.__version__,
        onednn=onednn,
        gpus=tuple(device.name for device in tf.config.list_physical_devices("GPU")),
    )


def onednn_is_on() -> bool:
    """Whether this process may use TensorFlow's oneDNN kernels, which it does by itself on x86 since 2.9."""
    from tensorflow.python.util import _pywrap_util_port

    return bool(_pywrap_util_port.IsMklEnabled())


def _cpu_name() -> str:
    """The processor's name; Linux keeps it where `platform` does not look."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def busy_percent(seconds: float = 0.5) -> float:
    """How busy all processors are, in percent, while this process waits ``seconds``."""
    return float(psutil.cpu_percent(interval=seconds))


def resident_bytes() -> int:
    """Resident memory of this process."""
    return int(psutil.Process().memory_info().rss)
