"""Sizes of volumes, patches and files, and how they are written for people."""

from collections.abc import Iterable

Size = tuple[int, int, int]
"""Depth, height, width in voxels."""


def gigabytes(size: int) -> str:
    """Bytes in words.

    >>> gigabytes(123_456_789), gigabytes(123_456_789_012)
    ('0.12 GB', '123.5 GB')
    """
    return f"{size / 1e9:.2g} GB" if size < 1e9 else f"{size / 1e9:.1f} GB"


def size_text(size: Iterable[float]) -> str:
    """The lengths along the axes, in the order in which they are given.

    >>> size_text((32, 64, 64)), size_text([0.8, 0.8, 1.5])
    ('32 × 64 × 64', '0.8 × 0.8 × 1.5')
    """
    return " × ".join(f"{length:g}" for length in size)
