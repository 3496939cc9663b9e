"""A dataset after its preparation: its cases, their splits and verdicts."""

import functools
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from autosam_inference.card import LabelClass
from autosam_inference.errors import UserError
from autosam_platform.data.checks import Status, Verdict
from autosam_platform.data.description import DatasetDescription
from autosam_platform.data.readers import Case
from autosam_platform.data.splits import Split
from autosam_platform.data.store import StoredCase, read_record, record_path
from autosam_platform.workspace import PreparedFolder


class IncompleteDatasetError(UserError):
    """A dataset that cannot be used as it is: cases were rejected, or its preparation did not end."""


class CaseEntry(BaseModel):
    """A case in a dataset's manifest."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    case_id: str
    splits: tuple[Split, ...]
    content: str
    status: Status
    reasons: tuple[str, ...]


class LeftOutEntry(BaseModel):
    """A file in the dataset's folder that is in no case."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    reason: str


class Manifest(BaseModel):
    """The file that says what a dataset consists of.

    Attributes:
        root: folder of the raw files, as records have it; empty where each source has its own.
        left_out: files there that are in no case, with the reason.
        notes: what a person should know of the dataset as a whole.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: int
    fingerprint: str
    root: str
    spacing_xyz: tuple[float, float, float]
    description: DatasetDescription
    cases: tuple[CaseEntry, ...]
    left_out: tuple[LeftOutEntry, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class PreparedDataset:
    """A dataset's folder after preparation.

    Attributes:
        manifest: the file that says which cases it has; it lies beside them.
        fingerprint: hash of all that decides what a training on it comes to: every case's content and split, the
            spacing, and of the description what training reads.
    """

    manifest: Path
    description: DatasetDescription
    spacing_xyz: tuple[float, float, float]
    fingerprint: str
    entries: tuple[CaseEntry, ...]
    left_out: tuple[LeftOutEntry, ...] = ()
    notes: tuple[str, ...] = ()

    @classmethod
    def load(cls, path: Path) -> "PreparedDataset":
        """Open a prepared dataset by its manifest.

        Raises:
            IncompleteDatasetError: it was never prepared to the end, is damaged or of another version.
        """
        if not path.exists():
            raise IncompleteDatasetError(f"{path} is missing: the preparation did not end; run it again.")
        try:
            manifest = Manifest.model_validate_json(path.read_bytes())
        except ValidationError:
            raise IncompleteDatasetError(
                f"{path} is damaged or of another version: prepare the dataset again."
            ) from None
        return cls(
            manifest=path,
            description=manifest.description,
            spacing_xyz=manifest.spacing_xyz,
            fingerprint=manifest.fingerprint,
            entries=manifest.cases,
            left_out=manifest.left_out,
            notes=manifest.notes,
        )

    @property
    def folder(self) -> Path:
        """Where its cases lie, with those that were prepared alike."""
        return self.manifest.parent

    @property
    def sheet(self) -> Path:
        """Where the page lies that shows its cases, once it is written."""
        return self._place.sheet(self.fingerprint)

    @property
    def name(self) -> str:
        """Name of the description."""
        return self.description.name

    @property
    def classes(self) -> tuple[LabelClass, ...]:
        """The organs, without the background."""
        return self.description.classes

    @property
    def num_classes(self) -> int:
        """K: the classes and the background."""
        return self.description.num_classes

    @property
    def verdicts(self) -> list[Verdict]:
        """One per case found, in the order of the ids."""
        return [Verdict(each.case_id, each.status, each.reasons) for each in self.entries]

    def cases(self, split: Split | Literal["all"]) -> list[StoredCase]:
        """The usable cases of a split."""
        return [self._stored[each.case_id] for each in self._usable() if split in ("all", *each.splits)]

    @property
    def apart(self) -> list[StoredCase]:
        """The usable cases that are in no split."""
        return [self._stored[each.case_id] for each in self._usable() if not each.splits]

    def raw(self, split: Split | Literal["all"]) -> list[Case]:
        """The files that the usable cases of a split were prepared from, wherever the workspace lies now."""
        return [self._raw(each) for each in self._usable() if split in ("all", *each.splits)]

    def _raw(self, entry: CaseEntry) -> Case:
        record, resolve = self._stored[entry.case_id].record, self._place.paths.resolve
        label = None if record.label is None else resolve(record.label)
        masks = tuple((organ, resolve(path)) for organ, path in record.masks.items())
        return Case(entry.case_id, resolve(record.image), label, entry.splits, masks)

    @property
    def _place(self) -> PreparedFolder:
        return PreparedFolder.of(self.manifest)

    def require_complete(self, allow_rejected: bool = False) -> None:
        """Refuse a dataset of which cases were rejected, or of which nothing is left to train on.

        Raises:
            IncompleteDatasetError: names the cases, the reasons and the setting that lets one go on.
        """
        rejected = [each for each in self.entries if each.status == "rejected"]
        if rejected and not allow_rejected:
            lines = "\n".join(f"  {each.case_id}: {' '.join(each.reasons)}" for each in rejected)
            raise IncompleteDatasetError(
                f"{len(rejected)} of {len(self.entries)} cases of {self.name} were rejected:\n{lines}\n"
                "Correct them and prepare again, or go on without them: --dataset.allow-rejected"
            )
        if not self.cases("train"):
            raise IncompleteDatasetError(f"no training case of {self.name} is usable: {_counts(self.entries)}.")

    def _usable(self) -> Iterable[CaseEntry]:
        return (each for each in self.entries if each.status != "rejected")

    @functools.cached_property
    def _stored(self) -> dict[str, StoredCase]:
        return {each.case_id: self._open(each) for each in self._usable()}

    def _open(self, entry: CaseEntry) -> StoredCase:
        folder = self._place.case(entry.case_id, entry.content)
        record = read_record(folder, entry.case_id)
        if record is None or record.content != entry.content:
            raise IncompleteDatasetError(
                f"{record_path(folder, entry.case_id)} is missing or damaged: prepare the dataset again."
            )
        return StoredCase(folder, record, self.description)


def verdict_table(prepared: PreparedDataset) -> str:
    """One line per case that is not plainly ok, what was left out, notes, counts, and where the dataset lies."""
    noted = [each for each in prepared.entries if each.status != "ok"]
    width = min(max((len(each.case_id) for each in noted), default=0), _WIDEST_ID)
    lines = [f"{each.case_id:<{width}}  {each.status:<8}  {' '.join(each.reasons)}" for each in noted]
    lines += _left_out_lines(prepared) + [f"note: {each}" for each in prepared.notes]
    return "\n".join([*lines, f"{prepared.name}: {_counts(prepared.entries)}; {prepared.folder}"])


_NAMES_A_LINE, _WIDEST_ID = 5, 40


def _left_out_lines(prepared: PreparedDataset) -> list[str]:
    """A line for each reason; the manifest has all the names."""
    names: dict[str, list[str]] = {}
    for each in prepared.left_out:
        names.setdefault(each.reason, []).append(each.name)
    lines = []
    for reason, found in names.items():
        more = len(found) - _NAMES_A_LINE
        rest = f" and {more} more (listed in {prepared.manifest})" if more > 0 else ""
        lines.append(f"left out: {', '.join(found[:_NAMES_A_LINE])}{rest}: {reason}")
    return lines


def _counts(entries: Iterable[CaseEntry]) -> str:
    entries = list(entries)
    status = Counter(each.status for each in entries)
    splits = Counter(split for each in entries if each.status != "rejected" for split in each.splits)
    apart = sum(not each.splits for each in entries if each.status != "rejected")
    return (
        f"{len(entries)} cases ({status['ok']} ok, {status['fixed']} fixed, {status['rejected']} rejected), "
        f"usable: {splits['train']} train, {splits['val']} val, {splits['test']} test"
        f"{f', {apart} without labels' if apart else ''}"
    )
