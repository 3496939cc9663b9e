"""Sizes of volumes, patches and files, and how they are written for people."""

from collections.abc import Iterable

Size = tuple[int, int, int]
"""Depth, height, width in voxels."""


def bytes_text(size: int) -> str:
    """Bytes in words.

    >>> bytes_text(12), bytes_text(123_456), bytes_text(123_456_789), bytes_text(123_456_789_012)
    ('12 bytes', '123.5 kB', '123.5 MB', '123.5 GB')
    """
    for unit, many in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= many:
            return f"{size / many:.1f} {unit}"
    return f"{size} bytes"


def size_text(size: Iterable[float]) -> str:
    """The lengths along the axes, in the order in which they are given.

    >>> size_text((32, 64, 64)), size_text([0.8, 0.8, 1.5])
    ('32 × 64 × 64', '0.8 × 0.8 × 1.5')
    """
    return " × ".join(f"{length:g}" for length in size)
