"""What a bundle's card tells beyond what a prediction needs: training data, scores, parity, codes of organs."""

from typing import Annotated, Literal

from pydantic import Field, FiniteFloat, NonNegativeInt

from autosam_inference.frozen import Frozen

Share = Annotated[float, Field(ge=0, le=1)]


class Code(Frozen):
    """A coded concept, such as SNOMED CT's 10200004, "Liver"."""

    scheme: str
    value: str
    meaning: str


class OrganCodes(Frozen):
    """What a class is for other systems; see ``scans.organ_codes``."""

    kind: Code
    side: Code | None = None
    parts: tuple[Code, ...] = ()
    region: Code | None = None


class TrainingData(Frozen):
    """What the model was trained on. Ids of cases are not told: they may lead to patients."""

    title: str
    licence: str
    cases: dict[str, NonNegativeInt]
    """Cases of each split: train, val, test."""
    synthetic: bool = False
    """Was every scan, with labels or without, drawn by a program? Then the model has seen no patient."""


class OrganScore(Frozen):
    """Scores of one organ over the test cases that annotate it; None where there are none."""

    dice: Share | None
    lowest_dice: Share | None
    nsd: Share | None
    hd95_mm: FiniteFloat | None
    n: NonNegativeInt
    """Cases with Dice and NSD: those that show the organ, and those in which it was invented."""
    not_found: NonNegativeInt
    """Cases that show the organ and in which not a voxel of it was found."""
    invented: NonNegativeInt
    """Cases that do not show it and in which it was found all the same."""
    absent: NonNegativeInt | None = None
    """Cases that do not show it; None in cards that were written before they were counted."""

    @property
    def shown(self) -> int:
        """Cases that show it."""
        return self.n - self.invented


class Scores(Frozen):
    """The run's evaluation on its test cases, which it was not trained on, each on its own grid."""

    n_cases: NonNegativeInt
    mean_dice: Share | None
    mean_nsd: Share | None
    nsd_tolerance_mm: float
    organs: dict[str, OrganScore]


class OtherScores(Scores):
    """An evaluation on a dataset that is not the run's own, which it was not trained on.

    Attributes:
        dataset: its name.
        fingerprint: beginning of its hash, by which two of one name are told apart.
        synthetic: whether its scans were drawn by a program; None where its description is not known any more.
    """

    dataset: str
    fingerprint: str
    split: str
    synthetic: bool | None


class RuntimeParity(Frozen):
    """How one runtime's answers, from the exported files, differ from torch's in fp32.

    Attributes:
        format: that the labels were computed in, as they are at the bedside: ``bf16`` or ``fp32``.
        logits: largest difference of a logit in fp32, with weights of the file's precision on both sides.
        largest_logit: that torch gave, to compare with.
        labels: share of the voxels of whole scans that have the same label; None where there was no scan.
        dice: difference of the mean Dice over these scans and their organs, in points (hundredths).
    """

    format: Literal["bf16", "fp32"]
    logits: FiniteFloat
    largest_logit: FiniteFloat
    labels: Share | None = None
    dice: FiniteFloat | None = None
    scans: NonNegativeInt = 0


def codes_of(name: str) -> OrganCodes:
    """The codes of a class by its name.

    >>> codes_of("left kidney").side.value, codes_of("liver").kind.scheme
    ('7771000', 'SCT')
    """
    from pydicom.sr.coding import Code as Dicom

    from autosam_inference.scans.organ_codes import organ_code

    def plain(code: Dicom | None) -> Code | None:
        return None if code is None else Code(scheme=code.scheme_designator, value=code.value, meaning=code.meaning)

    found = organ_code(name)
    kind = plain(found.kind)
    assert kind is not None
    parts = tuple(part for part in map(plain, found.parts) if part is not None)
    return OrganCodes(kind=kind, side=plain(found.side), parts=parts, region=plain(found.region))
