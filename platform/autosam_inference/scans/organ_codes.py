"""SNOMED CT codes of organs, by which other systems know what a segment is whatever its label says."""

import hashlib
from dataclasses import dataclass

from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from autosam_inference.scans.colours import organ_key

ANATOMICAL_STRUCTURE: Code = codes.SCT.AnatomicalStructure
PRIVATE = "99AUTOSAM"
"""DICOM leaves designators that begin with 99 to everybody."""


@dataclass(frozen=True)
class OrganCode:
    """What a segment shows.

    Attributes:
        kind: the organ, or the kind of structure where one code does not name it.
        side: right, left, or both of a pair.
        parts: the structures that it is made of, where no code names them together.
        region: where it lies, for what has no better code.
    """

    kind: Code
    side: Code | None = None
    parts: tuple[Code, ...] = ()
    region: Code | None = None


# Names are those of pydicom's dictionary of SNOMED CT; a wrong one fails on import.
_SCT = codes.SCT
_CODES: dict[str, OrganCode] = {
    "liver": OrganCode(_SCT.Liver),
    "spleen": OrganCode(_SCT.Spleen),
    "stomach": OrganCode(_SCT.Stomach),
    "kidneys": OrganCode(_SCT.Kidney, _SCT.RightAndLeft),
    "right kidney": OrganCode(_SCT.Kidney, _SCT.Right),
    "left kidney": OrganCode(_SCT.Kidney, _SCT.Left),
    "gallbladder": OrganCode(_SCT.Gallbladder),
    "esophagus": OrganCode(_SCT.Esophagus),
    "aorta": OrganCode(_SCT.Aorta),
    "inferior vena cava": OrganCode(_SCT.InferiorVenaCava),
    "portal and splenic veins": OrganCode(_SCT.Vein, parts=(_SCT.PortalVein, _SCT.SplenicVein)),
    "pancreas": OrganCode(_SCT.Pancreas),
    "right adrenal gland": OrganCode(_SCT.AdrenalGland, _SCT.Right),
    "left adrenal gland": OrganCode(_SCT.AdrenalGland, _SCT.Left),
    "duodenum": OrganCode(_SCT.Duodenum),
    "bladder": OrganCode(_SCT.Bladder),
    "prostate": OrganCode(_SCT.Prostate),
    # One or the other, by the patient's sex, which the data's authors did not separate.
    "prostate/uterus": OrganCode(_SCT.Organ, region=_SCT.Pelvis),
    "rectum": OrganCode(_SCT.Rectum),
    "lungs": OrganCode(_SCT.Lung, _SCT.RightAndLeft),
    "bones": OrganCode(_SCT.Bone),
}


def organ_code(name: str) -> OrganCode:
    """Code of an organ. Case, ``_`` and ``-`` do not matter; an unknown organ gets a private code made from its name.

    >>> organ_code("Left_Kidney").kind.value, organ_code("left kidney").side.meaning
    ('64033007', 'Left')
    """
    key = organ_key(name)
    if key in _CODES:
        return _CODES[key]
    return OrganCode(Code(hashlib.sha256(key.encode()).hexdigest()[:16].upper(), PRIVATE, name[:64]))
