"""The ways to run a network in OpenVINO on a CPU, by the number format of the multiplications.

- ``openvino``: float32. It is stated, because OpenVINO takes bfloat16 by itself on processors that have it.
- ``openvino-bf16``: bfloat16 throughout.
- ``openvino-int8``: int8 where NNCF's post-training quantisation puts it, else float32.

All take the graph that TensorFlow runs, through ONNX: OpenVINO's own conversion loses the names of convolutions.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, ClassVar

from .contract import Runtime
from .environment import ONEDNN

if TYPE_CHECKING:
    from ..models.load import LoadedNetwork
    from ..prepare import Images
    from .openvino_session import OpenVinoSession


class OpenVino(Runtime):
    """OpenVINO in float32."""

    name = "openvino"
    environment = {ONEDNN: None}  # noqa: RUF012
    loads = "tensorflow"
    needs: ClassVar[Sequence[str]] = ("openvino", "tf2onnx", "onnx")
    extra = "openvino"
    precision = "f32"
    """Of all that is not quantised, in OpenVINO's words."""

    def open(self, network: LoadedNetwork, images: Images) -> OpenVinoSession:  # noqa: D102
        from .openvino_session import OpenVinoSession, openvino_of

        return OpenVinoSession(network.frozen, openvino_of(network.frozen), images.values, self.precision, self.threads)

    def versions(self) -> dict[str, str]:  # noqa: D102
        return {name: version(name) for name in self.needs}


class OpenVinoBf16(OpenVino):
    """OpenVINO in bfloat16."""

    name = "openvino-bf16"
    precision = "bf16"


class OpenVinoInt8(OpenVino):
    """OpenVINO with the multiplications in int8."""

    name = "openvino-int8"
    needs = (*OpenVino.needs, "nncf")
    _made: tuple[LoadedNetwork, Any] | None = None
    """The last network with what was made of it: another session of it needs no other quantisation."""

    def open(self, network: LoadedNetwork, images: Images) -> OpenVinoSession:  # noqa: D102
        from .openvino_int8 import quantised
        from .openvino_session import OpenVinoSession, openvino_of

        if self._made is None or self._made[0] is not network:
            self._made = network, quantised(openvino_of(network.frozen), network.frozen, images)
        model, calibration = self._made[1]
        session = OpenVinoSession(network.frozen, model, images.values, self.precision, self.threads)
        session.precision, session.calibration = "int8", calibration
        return session
