"""Sizes of volumes and patches, and how they are written for people."""

from collections.abc import Iterable

Size = tuple[int, int, int]
"""Depth, height, width in voxels."""


def size_text(size: Iterable[float]) -> str:
    """``128 × 128 × 128``: the lengths along the axes, as they are given."""
    return " × ".join(f"{length:g}" for length in size)
