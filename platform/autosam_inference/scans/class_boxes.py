"""Where the classes of a label map lie."""

from collections.abc import Iterator

import cc3d
import numpy as np
from numpy.typing import NDArray


def class_boxes(label_DHW: NDArray[np.integer]) -> Iterator[tuple[int, tuple[slice, ...]]]:
    """Each id above 0 that occurs, in rising order, and the smallest box along D, H, W that holds it.

    >>> [(value, box[2]) for value, box in class_boxes(np.array([[[0, 7, 2, 7]]], np.uint8))]
    [(2, slice(2, 3, None)), (7, slice(1, 4, None))]
    """
    highest = int(label_DHW.max(initial=0))
    if label_DHW.size <= highest:  # cc3d wants more voxels than ids; background at an end changes no box
        label_DHW = np.pad(label_DHW, [(0, 0)] * (label_DHW.ndim - 1) + [(0, highest + 1)])
    found = cc3d.statistics(label_DHW)
    for value in np.flatnonzero(found["voxel_counts"]):
        if value > 0:
            yield int(value), tuple(slice(int(each.start), int(each.stop)) for each in found["bounding_boxes"][value])
