"""Seeing what a prediction is made of, while it is made: nothing of it is there afterwards."""

from autosam_inference.arrays import Array
from autosam_inference.sliding_window import Slab
from autosam_inference.windows import Window


class Observer:
    """Told of each step of a ``prediction.predict``; each method does nothing unless it is overridden.

    Arrays are of the runtime's kind, on its device, and lent: what is to outlive the call is copied.
    """

    def on_image(self, image_DHW: Array, order: tuple[int, int, int]) -> None:
        """The prepared scan, as the network will see it, and the order in which its axes are swept.

        Where not all of a scan is searched (``coarse``) it is a box of it; and where that is searched again, in more,
        everything begins anew with this.
        """

    def on_window(self, logits_KDHW: Array, window: Window) -> None:
        """One window's logits, not yet weighted, and where it lies.

        Both are in the order of the sweep: D is the axis that is swept. The window counts voxels of the prepared scan,
        padded to at least the patch. Windows come from the lowest to the highest.
        """

    def on_slab(self, slab: Slab) -> None:
        """Finished logits, in the order of the sweep; slabs follow one another and cover the scan once."""
