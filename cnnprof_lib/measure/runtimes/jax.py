"""JAX on its default device: a GPU where it finds one, else the CPU.

JAX's own `call_tf` lowers the frozen graph to XLA's ops, as TensorFlow does for ``xla``, and JAX compiles and runs
them. So all runs that runs in ``xla``: variants, Keras models, SavedModels, ONNX files. What differs is the version of
XLA and the device. Keras' backend for JAX would serve Keras models alone, in a process without the reference: a process
has one backend, and weights and reference need TensorFlow's.
"""

from __future__ import annotations

import os
from importlib.metadata import version
from typing import TYPE_CHECKING

from ...base.errors import MeasureError, received
from ..private import jax_has_started
from .contract import Runtime
from .environment import ONEDNN

if TYPE_CHECKING:
    from ..models.load import LoadedNetwork
    from ..prepare import Images
    from .jax_session import JaxSession

_SHARING = {"XLA_PYTHON_CLIENT_PREALLOCATE": "false", "TF_FORCE_GPU_ALLOW_GROWTH": "true"}
"""So that neither JAX nor TensorFlow takes the memory of a GPU whole. Source: JAX's "GPU memory allocation"."""
_THREADS = "NPROC"
"""Threads of XLA's pools on the CPU, read once. Source: ``DefaultThreadPoolSize``, xla/pjrt/utils.cc. No flag works."""


class Jax(Runtime):
    """The frozen graph compiled as a whole, as in ``xla``. It multiplies in float32 on a GPU, too."""

    name = "jax"
    environment = {ONEDNN: None}  # noqa: RUF012
    loads = "tensorflow"
    needs = ("jax", "jaxlib")
    extra = "jax"

    def set_up(self) -> None:
        """See `Runtime`. What shares a GPU's memory is read when JAX starts; TensorFlow may have imported it."""
        super().set_up()
        if not jax_has_started():
            os.environ.update(_SHARING)

    def limit_threads(self, threads: int) -> None:
        """Holds JAX to ``threads`` threads on the CPU.

        Raises:
            MeasureError: it has started with another number.
        """
        super().limit_threads(threads)
        if os.environ.get(_THREADS) == str(threads):
            return
        if jax_has_started():
            raise MeasureError(
                "Runtime jax: threads must be set before JAX computes anything in the process. "
                f"{received(threads)} Use a new process, as `cnnprof run` does."
            )
        os.environ[_THREADS] = str(threads)

    def open(self, network: LoadedNetwork, images: Images) -> JaxSession:  # noqa: D102
        from .jax_session import JaxSession

        return JaxSession(network.frozen, images.values)

    def versions(self) -> dict[str, str]:
        """See `Runtime`; also the device, which TensorFlow may not see."""
        import jax

        return {name: version(name) for name in self.needs} | {"jax device": jax.devices()[0].device_kind}
