"""Painting solids front to back with soft edges: what is painted first hides what comes later.

A voxel on a surface holds part of two tissues (partial volume); its label is the one that fills most of it.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from autosam_platform.data.phantom.frame import Frame
from autosam_platform.data.phantom.shapes import Field, Points, Solid

FAR_MM = 1e3
MARGIN_MM = 6.0  # wider than any gap: distances must be known as far as a later neighbour asks for them


@dataclass(frozen=True)
class Spot:
    """The voxels that a solid is painted on: depth below its surface in mm, and the frame's fields there."""

    depth: Field
    points: Points
    bumps: Field
    lumps: Field
    grain: Field


Tissue = float | Callable[[Spot], Field]  # HU of a solid: one value, or one per voxel


class Canvas:
    """HU and organs of a case while it is painted, on the grid of ``frame``."""

    def __init__(self, frame: Frame, inside: Field) -> None:
        """``inside`` is the signed distance (mm) of the cavity that organs stay in."""
        self.frame = frame
        self.inside = inside
        self.hu: Field = np.zeros(frame.shape, np.float32)
        self.unseen: Field = np.ones(frame.shape, np.float32)
        self.label: NDArray[np.uint8] = np.zeros(frame.shape, np.uint8)
        self.largest_share: Field = np.zeros(frame.shape, np.float32)
        self.clearance: Field = np.full(frame.shape, FAR_MM, np.float32)

    def paint(
        self,
        solid: Solid,
        tissue: Tissue,
        *,
        label: int = 0,
        gap: float = -FAR_MM,
        contact: float = 0.0,
        halo: float = 0.0,
        rough: float = 0.0,
        lobed: float = 0.0,
        free: bool = False,
    ) -> None:
        """Paint ``solid`` behind everything painted so far.

        Args:
            solid: signed distance in template mm.
            tissue: its HU.
            label: the organ of its voxels, 0 for what is none.
            gap: fat kept towards what is there already, mm; far below zero it simply goes on behind it.
            contact: how much the gap varies from place to place, mm; where it falls below zero the two touch.
            halo: fat that later solids with a gap keep to this one on top of their own, mm.
            rough, lobed: amplitude of coarse and of fine surface bumps, mm.
            free: may leave the abdominal cavity.
        """
        frame = self.frame
        region = frame.region(solid.bounds, margin=MARGIN_MM + 2 * (rough + lobed) + halo)
        if any(part.start == part.stop for part in region):
            return  # outside the field of view
        points = frame.points[0][region], frame.points[1][region], frame.points[2][region]
        bumps, lumps, grain = frame.bumps[region], frame.lumps[region], frame.grain[region]
        distance = solid.distance(points) + rough * bumps + lobed * lumps
        if gap > -FAR_MM:
            distance = np.maximum(distance, gap + contact * lumps - self.clearance[region])
        if not free:
            distance = np.maximum(distance, self.inside[region])
        self._composite(region, Spot(-distance, points, bumps, lumps, grain), tissue, label)
        np.minimum(self.clearance[region], distance - halo, out=self.clearance[region])

    def _composite(self, region: tuple[slice, slice, slice], spot: Spot, tissue: Tissue, label: int) -> None:
        edge = 1 / float(self.frame.spacing[0])
        share = np.clip(0.5 + spot.depth * edge, 0, 1) * self.unseen[region]
        self.hu[region] += share * (tissue(spot) if callable(tissue) else tissue)
        self.unseen[region] -= share
        wins = share > self.largest_share[region]
        self.label[region][wins] = label
        self.largest_share[region][wins] = share[wins]
