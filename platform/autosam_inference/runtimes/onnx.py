"""ONNX Runtime as the runtime: in fp32 on the CPU, wherever there is no OpenVINO."""

from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from autosam_inference.arrays import Array, to_numpy
from autosam_inference.bundle.card import ONNX, BundleError
from autosam_inference.bundle.opened import Bundle

_ERRORS = 3
"""Severity of what is logged. Warnings tell of nodes that constant folding leaves as they are, some in each session."""


@dataclass
class OnnxRuntime:
    """See ``runtimes.Runtime``; takes windows of the bundle's patch only.

    Attributes:
        model: the network as a file has it.
        place: of the bundle, for messages.
        threads: cores to compute with; 0 for all.
    """

    model: bytes = field(repr=False)
    place: str
    threads: int = 0
    device: str = "cpu"
    _session: Any = field(default=None, repr=False)

    @classmethod
    def load(cls, bundle: Bundle) -> Self:
        """The network of a bundle.

        Raises:
            BundleError: this ONNX Runtime cannot read it.
        """
        runtime = cls(bundle.read(ONNX), str(bundle.place))
        runtime._session = runtime._opened()
        return runtime

    def logits(self, patches_BCDHW: Array) -> NDArray[np.float32]:
        """See ``runtimes.Runtime``."""
        if self._session is None:
            self._session = self._opened()
        images = np.ascontiguousarray(to_numpy(patches_BCDHW), np.float32)
        name = self._session.get_inputs()[0].name
        return np.concatenate([self._session.run(None, {name: image[None]})[0] for image in images])

    def synchronize(self) -> None:
        """ONNX Runtime is done when it returns."""

    def use_threads(self, count: int) -> None:
        """See ``runtimes.Runtime``."""
        if count != self.threads:
            self.threads, self._session = count, None

    def _opened(self) -> Any:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self.threads
        options.log_severity_level = _ERRORS  # of this session alone
        try:
            return onnxruntime.InferenceSession(self.model, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # it has no one error
            raise BundleError(
                f"{self.place}: ONNX Runtime {onnxruntime.__version__} cannot read {ONNX} ({error})."
            ) from error
