"""ONNX Runtime on the CPU: the frozen graph as an ONNX model, which tf2onnx makes."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING

from .contract import Runtime
from .environment import ONEDNN

if TYPE_CHECKING:
    from ..models.load import LoadedNetwork
    from ..prepare import Images
    from .onnxruntime_session import OnnxSession


class OnnxRuntime(Runtime):
    """ONNX Runtime's kernels for the CPU, in float32, one after the other."""

    name = "onnxruntime"
    environment = {ONEDNN: None}  # noqa: RUF012
    loads = "tensorflow"
    needs = ("onnxruntime", "tf2onnx", "onnx")
    extra = "onnxruntime"

    def open(self, network: LoadedNetwork, images: Images) -> OnnxSession:  # noqa: D102
        from .onnxruntime_session import OnnxSession

        return OnnxSession(network.frozen, images.values, self.threads)

    def versions(self) -> dict[str, str]:  # noqa: D102
        return {name: version(name) for name in self.needs}
