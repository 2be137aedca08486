"""The ways to run a network in LiteRT, once called TensorFlow Lite, on the CPU.

- ``litert``: as TensorFlow's own converter makes it, in float32.
- ``litert-int8``: the same, quantised after training by held-out training images. Inputs and output stay floats, and so
  does all that LiteRT has no int8 kernels for.

XNNPACK runs what it has kernels for, in as many threads as the process may use processors. A batch lies where LiteRT
reads it before a step begins, as TensorFlow takes an array without copying it. A step ends when its output is there.
"""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING

from ...records.conditions import CalibrationRecord
from .contract import Runtime
from .environment import ONEDNN

if TYPE_CHECKING:
    from ..models.load import LoadedNetwork
    from ..prepare import Images
    from .litert_session import Calibration, LiteRtSession

_PACKAGE = "ai-edge-litert"
_CALIBRATION_IMAGES = 384


class LiteRt(Runtime):
    """LiteRT in float32."""

    name = "litert"
    environment = {ONEDNN: None}  # noqa: RUF012
    loads = "tensorflow"
    needs = ("ai_edge_litert",)
    extra = "litert"

    def open(self, network: LoadedNetwork, images: Images) -> LiteRtSession:  # noqa: D102
        return self._opened(network, images)

    def _opened(self, network: LoadedNetwork, images: Images, calibration: Calibration | None = None) -> LiteRtSession:
        from .litert_session import LiteRtSession

        return LiteRtSession(network.frozen, images.values, self.threads, calibration)

    def versions(self) -> dict[str, str]:  # noqa: D102
        return {_PACKAGE: version(_PACKAGE)}


class LiteRtInt8(LiteRt):
    """LiteRT in int8."""

    name = "litert-int8"

    def open(self, network: LoadedNetwork, images: Images) -> LiteRtSession:  # noqa: D102
        import tensorflow as tf

        values, which = images.for_calibration(_CALIBRATION_IMAGES)
        record = CalibrationRecord(
            images=len(values[0]), which=which, tool=f"TensorFlow {tf.__version__}, tf.lite.TFLiteConverter"
        )
        return self._opened(network, images, (values, record))
