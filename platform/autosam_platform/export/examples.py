"""Scans with truth, good ones and bad ones, and what a model's signals and its Dice are on them."""

import zlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from autosam_inference.model import TrainedModel
from autosam_inference.prediction import predict
from autosam_inference.quality.calibration import OrganReference
from autosam_inference.quality.looking import Looking
from autosam_inference.quality.measures import ScanMeasures, measures
from autosam_inference.quality.place import constellation
from autosam_inference.quality.signals import signals
from autosam_inference.scans.grid import Volume
from autosam_inference.scans.nifti import ScanError
from autosam_inference.scans.scan import Scan
from autosam_platform.data.checks import load_checked
from autosam_platform.data.description import DatasetDescription
from autosam_platform.data.readers import Case
from autosam_platform.export.degrading import DEGRADATIONS, TrueScan
from autosam_platform.export.dice_regression import AS_IT_IS, Example

_LEAST_STRENGTH = 0.1


@dataclass(frozen=True)
class Planned:
    """A scan to look at: of which case (its place in a list), made bad how, and the how manieth of that kind."""

    case: int
    kind: str
    repeat: int


def planned(cases: int, scans: int, kinds: Sequence[str] = tuple(DEGRADATIONS)) -> list[Planned]:
    """Each case as it is, then kinds in turn until there are so many scans; those of a case follow one another.

    >>> [f"{each.case} {each.kind}" for each in planned(2, 5, ["noise", "metal"])]
    ['0 as it is', '0 noise', '0 metal', '1 as it is', '1 metal']
    """
    plan = [Planned(case, AS_IT_IS, 0) for case in range(cases)]
    for number in range(max(scans - cases, 0)):
        round_, case = divmod(number, cases)
        plan.append(Planned(case, kinds[(round_ + case) % len(kinds)], round_ // len(kinds)))
    return sorted(plan, key=lambda each: each.case)


def true_scan(case: Case, description: DatasetDescription) -> TrueScan | None:
    """The case's scan and truth; None where the checks reject it, or it has no truth."""
    checked = load_checked(case, description)
    if checked.scan is None or checked.label_DHW is None:
        return None
    volume = checked.scan.volume
    return TrueScan(volume.array_DHW.astype(np.float32), checked.label_DHW, volume.spacing_DHW)


def made_bad(scan: TrueScan, each: Planned, seed: int = 0) -> TrueScan:
    """The scan as planned; the same plan and seed always give the same."""
    if each.kind == AS_IT_IS:
        return scan
    rng = np.random.default_rng([seed, each.case, zlib.crc32(each.kind.encode()), each.repeat])
    return DEGRADATIONS[each.kind](rng, scan, float(rng.uniform(_LEAST_STRENGTH, 1)))


@dataclass(frozen=True)
class Examiner:
    """Predicts scans with truth.

    Attributes:
        references, thickest_mm: what the training set is like.
    """

    model: TrainedModel
    references: Mapping[str, OrganReference]
    thickest_mm: float

    def examples(
        self, case: str, kind: str, scan: TrueScan, annotated: Collection[int] | None = None
    ) -> Iterator[Example]:
        """An example for each organ that is found; none of a scan that is refused as no CT.

        Args:
            annotated: ids of the organs that the truth tells of; all where not given.
        """
        try:
            found, label_DHW = self.look(scan)
        except ScanError:
            return
        dice = dice_by_id(label_DHW, scan.label_DHW)
        place = constellation(found.anatomy.organs, self.references)
        told = signals(found, place, self.references, self.thickest_mm)
        for each in self.model.card.classes:
            if each.name in told and each.id in dice and (annotated is None or each.id in annotated):
                yield Example(case, each.name, told[each.name], dice[each.id], kind)

    def look(self, scan: TrueScan) -> tuple[ScanMeasures, NDArray[np.uint8]]:
        """What is seen of the prediction, and its label map.

        Raises:
            ScanError: the scan's values cannot be Hounsfield units.
        """
        looking = Looking(self.model.card)
        prediction = predict(self.model, Scan.of(Volume(scan.hu_DHW, scan.spacing_DHW)), observers=[looking])
        box = prediction.search.box if prediction.search else None
        return measures(looking, self.model.card, prediction.scan.volume, box), prediction.label_DHW


def dice_by_id(label_DHW: NDArray[np.uint8], truth_DHW: NDArray[np.uint8]) -> dict[int, float]:
    """Dice of each class that either of two label maps has, the background left out."""
    ours, theirs, both = (
        np.bincount(each.ravel(), minlength=256) for each in (label_DHW, truth_DHW, label_DHW[label_DHW == truth_DHW])
    )
    present = np.flatnonzero(ours + theirs)
    return {int(each): float(2 * both[each] / (ours[each] + theirs[each])) for each in present if each}
