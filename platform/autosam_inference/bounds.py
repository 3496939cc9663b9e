"""What a spacing and an overlap may be, wherever a person, a recipe or a file gives one."""

from typing import Annotated

from pydantic import Field

SPACING_LIMITS_MM = (0.1, 20.0)
"""Smallest and largest distance between voxels that a CT scan has; others are a mistake of units."""

Spacing = Annotated[float, Field(ge=SPACING_LIMITS_MM[0], le=SPACING_LIMITS_MM[1])]
"""Distance between voxels along an axis in mm."""

Overlap = Annotated[float, Field(ge=0, le=0.9)]
"""Share that neighbouring windows have in common; with more than nine tenths a scan would take days."""
