"""What computes the logits: one module per library, each imported only when it is asked for."""

from typing import Protocol

from autosam_inference.arrays import Array


class Runtime(Protocol):
    """A network that some library runs.

    Windows are cut and labels found by this package's own code, for arrays of either kind: a runtime gives its answers
    as they are (numpy arrays, or torch tensors on its device), and what follows is computed there.
    """

    @property
    def device(self) -> object:
        """Where it computes; as text such as ``cpu`` or ``cuda:0``."""
        ...

    def logits(self, patches_BCDHW: Array) -> Array:
        """Logits B, K, D, H, W of prepared patches with one channel, float32, of either kind and in any memory order.

        The answer has the patches' depth, height and width, and any floating-point format: sums are float32.
        """
        ...

    def synchronize(self) -> None:
        """Wait until all that was asked for is computed, so that a clock tells the truth."""
        ...

    def use_threads(self, count: int) -> None:
        """Compute with so many of the CPU's cores from now on."""
        ...
