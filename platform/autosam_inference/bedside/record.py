"""What is kept of a segmented scan: its record, by which it is found again, and the tables made from it."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import ValidationError

from autosam_inference.bedside.finding import RESULT
from autosam_inference.card import Frozen
from autosam_inference.files import DamagedError, content_hash, unsealed, write_sealed, write_text
from autosam_inference.measurements import Measurement
from autosam_inference.quality.verdict import Flag, OrganQuality

_DIGITS = 3


class OrganRecord(Frozen):
    """What was measured of one organ and is said of its quality: see ``Measurement`` and ``OrganQuality``.

    Attributes:
        flag: None where the model was not calibrated; then nothing is known of the quality.
    """

    id: int
    name: str
    voxels: int
    volume_ml: float
    mean_hu: float | None
    sd_hu: float | None
    expected_dice: float | None = None
    dice_low: float | None = None
    dice_high: float | None = None
    flag: Flag | None = None
    reasons: tuple[str, ...] = ()

    @classmethod
    def of(cls, measured: Measurement, quality: OrganQuality | None = None) -> Self:
        """Rounded to what anybody reads: a microlitre, a thousandth of a Hounsfield unit."""
        return cls(
            id=measured.organ.id,
            name=measured.organ.name,
            voxels=measured.voxels,
            volume_ml=round(measured.volume_ml, _DIGITS),
            mean_hu=_rounded(measured.mean_hu),
            sd_hu=_rounded(measured.sd_hu),
            **({} if quality is None else _said(quality)),
        )

    @property
    def words(self) -> str:
        """The flag and its reasons in one line; empty where nothing is known."""
        return ": ".join(each for each in (self.flag or "", ", ".join(self.reasons)) if each)


def _said(quality: OrganQuality) -> dict[str, Any]:
    low, high = quality.interval or (None, None)
    return {
        "expected_dice": _rounded(quality.expected_dice),
        "dice_low": _rounded(low),
        "dice_high": _rounded(high),
        "flag": quality.flag,
        "reasons": quality.reasons,
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, _DIGITS)


class ScanRecord(Frozen):
    """A segmented scan: ``<scan>.result.json`` in its folder. It names neither the patient nor where the scan lay.

    Attributes:
        state: ``writing`` while files are replaced: what stands in the folder is then of two predictions.
        made_of: hash of the scan's bytes, the model, the options and the version: what makes the same files again.
        content: hash of the scan's bytes.
        images: hashes of each file of a series, by which a scan is known that has all of them and more; none of NIfTI.
        series: SeriesInstanceUID of a DICOM scan, by which it is found in a PACS.
        files: names of all other files in the folder that are this record's, with hashes of their bytes.
        older: those of the record that it replaces, while ``writing``.
        notes: what was put right in the scan, what looks odd, and what its results replaced.
        model: which, with what it computed, and its ``warning`` where there is one to go with its results.
        missing: files that were asked for and could not be written, and why: a DICOM SEG, a report.
        seconds: that each phase took, and their total.
        searched: the part of the scan that the network was asked about, its windows, and those of the whole scan.
    """

    scan: str
    state: Literal["whole", "writing"] = "whole"
    made_of: str
    content: str
    images: tuple[str, ...] = ()
    series: str | None = None
    shape_xyz: tuple[int, int, int]
    spacing_xyz: tuple[float, float, float]
    organs: tuple[OrganRecord, ...]
    notes: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    seconds: dict[str, float]
    model: dict[str, Any]
    options: dict[str, Any]
    searched: dict[str, Any] = {}
    versions: dict[str, str]
    files: dict[str, str] = {}
    older: dict[str, str] = {}

    def write(self, folder: Path) -> None:
        """Write it into the scan's folder."""
        write_sealed(folder / f"{self.scan}{RESULT}", self.model_dump(mode="json"))

    @property
    def warnings(self) -> int:
        """How many of the notes are warnings."""
        return sum("WARNING" in each for each in self.notes)

    def flagged(self, flag: str) -> list[str]:
        """Names of the organs with this flag."""
        return [each.name for each in self.organs if each.flag == flag]


def read_record(folder: Path) -> ScanRecord | None:
    """The record of a scan's folder; None where there is none that can be read."""
    try:
        return ScanRecord.model_validate(unsealed((folder / f"{folder.name}{RESULT}").read_bytes()))
    except (OSError, DamagedError, ValidationError):
        return None


def is_whole(record: ScanRecord, folder: Path) -> bool:
    """Whether all its files are there, as they were written."""
    try:
        return record.state == "whole" and all(
            content_hash(folder / name) == expected for name, expected in record.files.items()
        )
    except OSError:
        return False


ORGAN_COLUMNS = (
    "organ", "voxels", "volume_ml", "mean_hu", "sd_hu", "expected_dice", "dice_low", "dice_high", "flag", "reasons",
)  # fmt: skip


def write_organ_table(path: Path, organs: Iterable[OrganRecord]) -> None:
    """Write a CSV with a line per organ; what was not found has no HU, and no quality a model that was not calibrated.

    Reasons have semicolons between them.
    """
    rows = [
        {name: getattr(each, name) for name in ORGAN_COLUMNS[1:-1]}
        | {"organ": each.name, "reasons": "; ".join(each.reasons)}
        for each in organs
    ]
    write_text(path, as_csv(ORGAN_COLUMNS, rows))


def as_csv(columns: Sequence[str], rows: Iterable[Mapping[str, object]]) -> str:
    """Rows as CSV; None is an empty field."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
