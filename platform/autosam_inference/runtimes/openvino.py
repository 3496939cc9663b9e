"""OpenVINO as the runtime: on CPUs, in bf16 where the processor computes in it."""

import functools
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Literal, Self

import numpy as np
import openvino
from numpy.typing import NDArray

from autosam_inference.arrays import Array, to_numpy
from autosam_inference.bundle.card import IR, IR_WEIGHTS, BundleError
from autosam_inference.bundle.opened import Bundle

Precision = Literal["auto", "fp32"]


@dataclass
class OpenVinoRuntime:
    """See ``runtimes.Runtime``; takes windows of the bundle's patch only.

    Attributes:
        model: the network as it was read.
        precision: ``auto`` is bf16 where the processor has it, else fp32.
        threads: cores to compute with; 0 for all.
    """

    model: Any
    precision: Precision = "auto"
    threads: int = 0
    device: str = "cpu"
    _compiled: tuple[dict[str, Any], Future[Any]] | None = field(default=None, repr=False)

    @classmethod
    def load(cls, bundle: Bundle, precision: Precision = "auto") -> Self:
        """The network of a bundle; it is compiled in the background, while a scan is read.

        Raises:
            BundleError: this OpenVINO cannot read it.
        """
        try:
            model = _core().read_model(bundle.read(IR), bundle.read(IR_WEIGHTS))
        except RuntimeError as error:
            raise BundleError(f"{bundle.place}: OpenVINO {openvino.__version__} cannot read {IR} ({error}).") from error
        runtime = cls(model, precision)
        runtime._request()
        return runtime

    def logits(self, patches_BCDHW: Array) -> NDArray[np.float32]:
        """See ``runtimes.Runtime``."""
        request = self._request().result()
        images = np.ascontiguousarray(to_numpy(patches_BCDHW), np.float32)
        answers = [request.infer([image[None]])[0] for image in images]  # copies
        return answers[0] if len(answers) == 1 else np.concatenate(answers)

    def synchronize(self) -> None:
        """OpenVINO is done when it returns."""

    def use_threads(self, count: int) -> None:
        """See ``runtimes.Runtime``."""
        self.threads = count
        self._request()

    @property
    def format(self) -> Literal["bf16", "fp32"]:
        """What it computes in: ``bf16`` or ``fp32``."""
        return "bf16" if self.precision == "auto" and has_bf16() else "fp32"

    def _request(self) -> Future[Any]:
        """What infers, compiled in the background for the settings as they are now."""
        settings = self._settings()
        if self._compiled is None or self._compiled[0] != settings:
            self._compiled = settings, _compiler.submit(_compiled, self.model, settings)
        return self._compiled[1]

    def _settings(self) -> dict[str, Any]:
        settings: dict[str, Any] = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": "bf16" if self.format == "bf16" else "f32",
        }
        return settings | ({"INFERENCE_NUM_THREADS": self.threads} if self.threads else {})


def has_bf16() -> bool:
    """Does this processor compute in bf16?"""
    return "BF16" in _core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def _compiled(model: Any, settings: dict[str, Any]) -> Any:
    return _core().compile_model(model, "CPU", settings).create_infer_request()


_compiler = ThreadPoolExecutor(1, "compile")


@functools.cache
def _core() -> Any:
    return openvino.Core()
