"""Where the windows of a sliding window lie, and what each of their voxels weighs: as MONAI has it.

Written out, since MONAI's own (``dense_patch_slices``, ``compute_importance_map``) need torch and take seconds to
import. They are equal to them, voxel for voxel and weight for weight (tests/inference/test_windows.py).
"""

import itertools
from collections.abc import Sequence

from array_api_compat import array_namespace, device

from autosam_inference.arrays import Array
from autosam_models.sizes import Size

Window = tuple[slice, ...]
"""A box of voxels: where it starts and stops along three axes."""

_SIGMA = 0.125  # of the Gaussian, in edges of the window
_WORTH = 0.75  # of what sweeping along the depth holds
_LEAST_WEIGHT = 1e-3  # so that no voxel is divided by nothing


def sweep_order(size: Size, patch: Size) -> tuple[int, int, int]:
    """Axes of a volume in the order to sweep it: first the one that leaves the least to be held at a time.

    What is held is as deep as the patch and as wide as the volume: of 512 × 512 × 300 voxels, 300 × 512 in place
    of 512 × 512. The depth is kept to where another axis would spare less than a quarter: along the width, what follows
    one another in memory is torn apart, and sums take twice as long.

    >>> sweep_order((300, 512, 512), (128, 128, 128))
    (1, 0, 2)
    """
    shares = [patch[axis] / max(size[axis], patch[axis]) for axis in range(3)]
    least = min(shares)
    first = 0 if least > _WORTH * shares[0] else shares.index(least)
    second, third = (axis for axis in range(3) if axis != first)
    return first, second, third


def all_windows(size: Sequence[int], patch: Sequence[int], overlap: float) -> list[Window]:
    """The windows that cover a volume no smaller than they are, lowest first.

    The last one of each axis is moved back to end with the volume.

    >>> [window[2] for window in all_windows((8, 8, 20), (8, 8, 8), 0.25)]
    [slice(0, 8, None), slice(6, 14, None), slice(12, 20, None)]
    """
    places = [_along_axis(n, edge, overlap) for n, edge in zip(size, patch, strict=True)]
    return list(itertools.product(*places))


def _along_axis(size: int, edge: int, overlap: float) -> list[slice]:
    step = max(int(edge * (1 - overlap)), 1)
    last = size - edge
    count = -(-last // step) + 1
    starts = (min(number * step, last) for number in range(count))
    return [slice(start, start + edge) for start in starts]


def touch(one: Sequence[slice], other: Sequence[slice]) -> bool:
    """Have two boxes a voxel in common?"""
    return all(a.start < b.stop and b.start < a.stop for a, b in zip(one, other, strict=True))


def window_weights(patch: Size, like: Array) -> Array:
    """What each voxel of a window weighs in the mean: a Gaussian around its middle, float32.

    Args:
        like: an array of the kind, and on the device, that the weights shall have.
    """
    xp, place = array_namespace(like), device(like)
    weight: Array = None
    for edge in patch:
        from_middle_N = xp.arange(-(edge - 1) / 2, (edge - 1) / 2 + 1, dtype=xp.float32, device=place)
        gaussian_N = xp.exp(from_middle_N**2 / (-2 * (edge * _SIGMA) ** 2))
        weight = gaussian_N if weight is None else weight[..., None] * gaussian_N
    return xp.clip(weight, min=max(float(xp.min(weight)), _LEAST_WEIGHT))
