"""What data sets call the painted organs, and which parts of a body their scans show: one table per data set."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from autosam_platform.data.phantom.anatomy import Organ
from autosam_platform.data.phantom.parts import Part


@dataclass(frozen=True)
class Schema:
    """A data set's view of a body.

    Attributes:
        classes: organ → class id of the description of the same name; organs that are not in it are background.
        parts: part of the body → share of the scans.
        female_share: of the patients.
        in_plane_mm: smallest and largest voxel in a slice.
        slice_mm: smallest and largest distance of slices.
        most_voxels: a scan with more gets larger ones, so that no case takes long.
    """

    classes: Mapping[Organ, int]
    parts: Mapping[Part, float]
    female_share: float
    in_plane_mm: tuple[float, float]
    slice_mm: tuple[float, float]
    most_voxels: int

    def label(self, organs: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Class ids of a map of organs.

        >>> SCHEMAS["phantom_amos"].label(np.array([Organ.NONE, Organ.DUODENUM, Organ.HEART], np.uint8)).tolist()
        [0, 13, 0]
        """
        table = np.zeros(256, np.uint8)
        for organ, class_id in self.classes.items():
            table[organ] = class_id
        return table[organs]


_BTCV = {
    Organ.SPLEEN: 1,
    Organ.RIGHT_KIDNEY: 2,
    Organ.LEFT_KIDNEY: 3,
    Organ.GALLBLADDER: 4,
    Organ.ESOPHAGUS: 5,
    Organ.LIVER: 6,
    Organ.STOMACH: 7,
    Organ.AORTA: 8,
    Organ.CAVA: 9,
    Organ.PORTAL: 10,
    Organ.PANCREAS: 11,
    Organ.RIGHT_ADRENAL: 12,
    Organ.LEFT_ADRENAL: 13,
}
_AMOS = {
    Organ.SPLEEN: 1,
    Organ.RIGHT_KIDNEY: 2,
    Organ.LEFT_KIDNEY: 3,
    Organ.GALLBLADDER: 4,
    Organ.ESOPHAGUS: 5,
    Organ.LIVER: 6,
    Organ.STOMACH: 7,
    Organ.AORTA: 8,
    Organ.CAVA: 9,
    Organ.PANCREAS: 10,
    Organ.RIGHT_ADRENAL: 11,
    Organ.LEFT_ADRENAL: 12,
    Organ.DUODENUM: 13,
    Organ.BLADDER: 14,
    Organ.PROSTATE: 15,
    Organ.UTERUS: 15,
}
_CT_ORG = {
    Organ.LIVER: 1,
    Organ.BLADDER: 2,
    Organ.LUNGS: 3,
    Organ.RIGHT_KIDNEY: 4,
    Organ.LEFT_KIDNEY: 4,
    Organ.SPINE: 5,
    Organ.RIBS: 5,
    Organ.STERNUM: 5,
    Organ.SACRUM: 5,
    Organ.HIPS: 5,
    Organ.FEMURS: 5,
    Organ.ARM_BONES: 5,
}
_PELVIC = {Organ.PROSTATE: 1, Organ.BLADDER: 2, Organ.RECTUM: 3}

# The embedded demo learns 13 organs of the abdomen in minutes, so nearly all of its scans show all of them.
SCHEMAS: dict[str, Schema] = {
    "phantom": Schema(
        classes=_BTCV,
        parts={Part.ABDOMEN: 0.82, Part.CHEST_ABDOMEN: 0.08, Part.ABDOMEN_PELVIS: 0.10},
        female_share=0.5,
        in_plane_mm=(1.6, 2.4),
        slice_mm=(2.5, 5.0),
        most_voxels=1_700_000,
    ),
    "phantom_torso": Schema(
        classes=_BTCV,
        parts={Part.ABDOMEN: 0.35, Part.CHEST_ABDOMEN: 0.22, Part.ABDOMEN_PELVIS: 0.43},
        female_share=0.5,
        in_plane_mm=(1.6, 2.4),
        slice_mm=(2.5, 5.0),
        most_voxels=2_200_000,
    ),
    "phantom_amos": Schema(
        classes=_AMOS,
        parts={Part.ABDOMEN: 0.30, Part.CHEST_ABDOMEN: 0.10, Part.ABDOMEN_PELVIS: 0.60},
        female_share=0.5,
        in_plane_mm=(1.1, 1.8),
        slice_mm=(2.0, 5.0),
        most_voxels=4_000_000,
    ),
    "phantom_ct_org": Schema(
        classes=_CT_ORG,
        parts={Part.ABDOMEN: 0.20, Part.CHEST_ABDOMEN: 0.35, Part.ABDOMEN_PELVIS: 0.45},
        female_share=0.5,
        in_plane_mm=(1.3, 2.0),
        slice_mm=(2.0, 4.0),
        most_voxels=4_000_000,
    ),
    "phantom_pelvic": Schema(
        classes=_PELVIC,
        parts={Part.PELVIS: 1.0},
        female_share=0.0,
        in_plane_mm=(1.2, 1.6),
        slice_mm=(2.0, 4.0),
        most_voxels=4_000_000,
    ),
}
"""By the name of the description; all of one seed's scans are of one body, whatever a schema shows of it."""
