"""A runtime that computes with numpy and scipy alone, and the same small network for torch."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import correlate

CLASSES = 4


@dataclass(frozen=True)
class NumpyConvolution:
    """One convolution of K filters of 3 × 3 × 3 with zeros around: an answer depends on where in the window it lies."""

    filters_KDHW: NDArray[np.float32]
    device: str = "cpu"
    batches: list[int] = field(default_factory=list)
    """Of how many windows each call was."""

    @classmethod
    def random(cls, classes: int = CLASSES, seed: int = 0) -> "NumpyConvolution":
        return cls(np.random.default_rng(seed).normal(size=(classes, 3, 3, 3)).astype(np.float32))

    def logits(self, patches_BCDHW: NDArray[np.float32]) -> NDArray[np.float32]:
        assert isinstance(patches_BCDHW, np.ndarray) and patches_BCDHW.dtype == np.float32
        self.batches.append(len(patches_BCDHW))
        return np.stack([np.stack(list(self._answer(patch_CDHW[0]))) for patch_CDHW in patches_BCDHW])

    def _answer(self, image_DHW: NDArray[np.float32]) -> Iterator[NDArray[np.float32]]:
        for filter_DHW in self.filters_KDHW:
            yield correlate(image_DHW, filter_DHW, mode="constant")

    def synchronize(self) -> None:
        """numpy is done when it returns."""

    def use_threads(self, count: int) -> None:
        """scipy computes with one."""
