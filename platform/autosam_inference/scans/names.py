"""How files of scans are named, for whoever needs no more than that."""

from pathlib import Path

SUFFIXES = (".nii.gz", ".nii")


def stem(path: Path) -> str:
    """The file's name without ``.nii`` or ``.nii.gz``."""
    return path.name.removesuffix(".gz").removesuffix(".nii")
