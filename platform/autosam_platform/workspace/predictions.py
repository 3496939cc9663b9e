"""What jobs/predict.py leaves of a scan: a label map, and beside it files that share its name."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from pydantic import TypeAdapter, ValidationError

from autosam_inference.errors import UserError
from autosam_inference.files import write_json
from autosam_inference.quality.verdict import OrganQuality
from autosam_inference.scans.names import Reading, stem
from autosam_platform.workspace.paths import WorkspacePaths

_RECORD = ".scan.json"
_QUALITY = TypeAdapter(OrganQuality)


class PredictionFolderError(UserError):
    """A prediction that cannot be read back; the message names the file and what to do."""


@dataclass(frozen=True)
class PredictionFolder:
    """A segmented scan; nothing need be there yet.

    Attributes:
        label: the label map, on the scan's own grid.
        paths: the workspace that the record's paths start from.
    """

    label: Path
    paths: WorkspacePaths

    @classmethod
    def find(cls, folder: Path, paths: WorkspacePaths) -> Self | None:
        """The prediction that was recorded in ``folder``, the first of several."""
        record = next(iter(sorted(folder.glob(f"*{_RECORD}"))), None)
        return cls(folder / f"{record.name.removesuffix(_RECORD)}.nii.gz", paths) if record else None

    @property
    def folder(self) -> Path:
        return self.label.parent

    @property
    def organs(self) -> Path:
        """Names and colours of the organs by their ids in the label map (JSON)."""
        return self._beside(".label.json")

    @property
    def itk_snap_labels(self) -> Path:
        """Names and colours of the organs as ITK-SNAP and 3D Slicer read them."""
        return self._beside(".label.txt")

    @property
    def dicom_seg(self) -> Path:
        """The label map as DICOM SEG, where the scan was DICOM."""
        return self._beside(".seg.dcm")

    @property
    def picture(self) -> Path:
        return self._beside(".png")

    @property
    def seconds(self) -> Path:
        """Where the time went."""
        return self._beside(".seconds.csv")

    @property
    def record(self) -> Path:
        """Where the scan lies, and which run's model segmented it."""
        return self._beside(_RECORD)

    @property
    def whole(self) -> bool:
        """Is every file there that a prediction consists of? Not every scan has a DICOM SEG."""
        files = (self.label, self.organs, self.itk_snap_labels, self.picture, self.seconds, self.record)
        return all(each.is_file() for each in files) and not self._said().get("begun")

    def begin(self, scan: Path, run: str) -> None:
        """Note that what lies here from now on is a prediction, before there is any: one that was stopped between two
        of its files can be made again.
        """
        write_json(self.record, self._told(scan, run) | {"begun": True})

    def write_record(
        self,
        scan: Path,
        run: str,
        notes: Sequence[str] = (),
        reading: Reading | None = None,
        quality: Sequence[OrganQuality] = (),
    ) -> None:
        """Note the scan and the run, by which the prediction is found and shown over its scan.

        Args:
            notes: what was put right in the scan, and what looks odd.
            reading: how the DICOM scan was read.
            quality: where not to trust it, organ by organ.
        """
        told = self._told(scan, run) | {"notes": list(notes)}
        told |= {} if reading is None else {"reading": dict(reading)}
        write_json(self.record, told | ({"quality": [asdict(each) for each in quality]} if quality else {}))

    def require_free(self) -> None:
        """Refuse to replace a file that is no part of a prediction.

        Raises:
            PredictionFolderError: the label map's name, or that of a file beside it, is taken by something else.
        """
        beside = (self.organs, self.itk_snap_labels, self.dicom_seg, self.picture, self.seconds)
        taken = [each for each in (self.label, *beside) if each.exists()]
        # Records of earlier versions do not name their label map.
        if taken and (not self.record.exists() or self._said().get("label", self.label.name) != self.label.name):
            raise PredictionFolderError(
                f"{taken[0]} is there and is no prediction of ours, so it is not replaced: name another file, or "
                "remove it."
            )

    def scan_and_run(self) -> tuple[Path, str]:
        """The scan, wherever the workspace lies now, and the name of the run.

        Raises:
            PredictionFolderError: the record is missing or damaged.
        """
        told = self._read()
        return self.paths.resolve(str(told["scan"])), str(told["run"])

    @property
    def reading(self) -> Reading:
        """How ``read_scan`` gives the scan as it was segmented.

        Raises:
            PredictionFolderError: the record is missing or damaged.
        """
        told = self._read().get("reading", {})
        return Reading(series=told.get("series"), straighten=bool(told.get("straighten")))

    def class_names(self) -> dict[int, str]:
        """Names of the organs by their ids in the label map.

        Raises:
            PredictionFolderError: the file that names them is missing or damaged.
        """
        try:
            told = json.loads(self.organs.read_text(encoding="utf-8"))
            return {int(id_): str(organ["name"]) for id_, organ in told.items()}
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise PredictionFolderError(
                f"{self.organs} names no organs ({error!r}): predict the scan again."
            ) from error

    @property
    def notes(self) -> list[str]:
        """What was put right in the scan, and what looks odd in it.

        Raises:
            PredictionFolderError: the record is missing or damaged.
        """
        return [str(each) for each in self._read().get("notes", [])]

    @property
    def quality(self) -> list[OrganQuality]:
        """Where not to trust it, organ by organ; empty where the model was not calibrated.

        Raises:
            PredictionFolderError: the record is missing or damaged.
        """
        try:
            return [_QUALITY.validate_python(each) for each in self._read().get("quality", [])]
        except (ValidationError, TypeError) as error:
            raise PredictionFolderError(
                f"{self.record} does not tell the quality of the organs: predict the scan again."
            ) from error

    def _told(self, scan: Path, run: str) -> dict[str, Any]:
        return {"scan": self.paths.relative(scan), "run": run, "label": self.label.name}

    def _said(self) -> dict[str, Any]:
        """The record; empty where it cannot be read."""
        try:
            return self._read()
        except PredictionFolderError:
            return {}

    def _read(self) -> dict[str, Any]:
        try:
            told = json.loads(self.record.read_text(encoding="utf-8"))
            return {"scan": told["scan"], "run": told["run"]} | told
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise PredictionFolderError(
                f"{self.record} is no record of a prediction ({error!r}): predict the scan again."
            ) from error

    def _beside(self, ending: str) -> Path:
        return self.label.with_name(f"{stem(self.label)}{ending}")
