"""What was seen of a scan's prediction, before any comparison with the training set."""

import math
from dataclasses import dataclass

from autosam_inference.card import ModelCard
from autosam_inference.quality.anatomy import Anatomy, Frame, anatomy
from autosam_inference.quality.looking import Counts, Looking
from autosam_inference.scans.grid import Volume
from autosam_inference.scans.plausibility import common_share
from autosam_inference.windows import Window


@dataclass(frozen=True)
class Sureness:
    """How sure the network is of an organ.

    Attributes:
        agreement: Dice between what overlapping windows say; NaN where they did not meet in it.
        certainty: Dice to expect if the network's probabilities were true.
        margin: mean distance in probability of the class and the runner-up, at its border.
    """

    agreement: float
    certainty: float
    margin: float

    @classmethod
    def of(cls, counts: Counts, number: int) -> "Sureness":
        """Of a class, by what was counted."""
        return cls(
            agreement=_ratio(2 * counts.same[number], counts.ours[number] + counts.others[number]),
            certainty=_ratio(2 * counts.sure[number], counts.probable[number] + counts.labelled[number]),
            margin=_ratio(counts.margin[number], counts.border[number]),
        )


@dataclass(frozen=True)
class ScanMeasures:
    """Of a scan.

    Attributes:
        anatomy: of the result.
        sureness: of the organs that were found, by name.
        common: share of the tissue's HU that are spread as in the training scans; NaN where these are unknown.
        thickest_mm: its largest spacing.
    """

    anatomy: Anatomy
    sureness: dict[str, Sureness]
    common: float
    thickest_mm: float


def measures(looking: Looking, card: ModelCard, volume: Volume, box: Window | None = None) -> ScanMeasures:
    """Sum up what was looked at.

    Args:
        volume: the scan in HU.
        box: of the prepared voxels that were looked at; the whole scan where none is given.
    """
    seen = anatomy(looking.label_DHW, looking.image_DHW, card, Frame.of(volume, card, box))
    sureness = {each.name: Sureness.of(looking.counts, each.id) for each in card.classes if each.name in seen.organs}
    return ScanMeasures(seen, sureness, common_share(volume.array_DHW, card.histogram), max(volume.spacing_DHW))


def _ratio(part: float, whole: float) -> float:
    return float(part / whole) if whole else math.nan
