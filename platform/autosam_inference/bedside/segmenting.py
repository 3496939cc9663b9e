"""One scan: from its file or series to the folder of its results."""

import functools
import platform
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from autosam_inference.bedside.finding import Content, FileState, FoundScan
from autosam_inference.bedside.folder import publish
from autosam_inference.bedside.naming import disguise, public_name
from autosam_inference.bedside.options import Options, wanted
from autosam_inference.bedside.record import OrganRecord, ScanRecord, is_whole, read_record
from autosam_inference.bedside.writing import no_segmentation, write_results
from autosam_inference.card import ModelCard
from autosam_inference.files import content_hash
from autosam_inference.model import TrainedModel
from autosam_inference.prediction import Prediction, predict
from autosam_inference.scans.label_files import require_writable
from autosam_inference.scans.nifti import ScanError
from autosam_inference.scans.plausibility import checked_ct
from autosam_inference.scans.scan import Scan
from autosam_inference.sliding_window import Progress
from autosam_inference.stopwatch import Stopwatch

PACKAGE = "autosam-adapter-platform"
_PARTS = (PACKAGE, "numpy", "nibabel", "pydicom", "highdicom", "openvino")
_DIGITS, _DIGITS_MM = 4, 6


@dataclass(frozen=True)
class Job:
    """What scans are segmented with, and where the results go.

    Attributes:
        output: folder in which every scan gets a folder.
    """

    model: TrainedModel
    output: Path
    options: Options

    @property
    def identity(self) -> str:
        """Hash of all that decides the results but the scan."""
        card = self.model.card.model_dump(mode="json")
        return content_hash(card, self.options.deciding, self.model.overlap, versions().get(PACKAGE))


def segment(
    job: Job,
    found: FoundScan,
    content: Content,
    folder: Path,
    state: FileState,
    progress: Progress | None = None,
    tell: Callable[[str], None] | None = None,
) -> tuple[ScanRecord, bool]:
    """Segment a scan and write its results into ``folder``, or find them there.

    Args:
        content: of the scan.
        state: of its files before that was made of them.
        tell: hears before the windows what cannot be written of the results.

    Returns:
        What is recorded of it, and whether it was there before.

    Raises:
        UserError: the scan cannot be used, or its results cannot be written; the message may name the scan's place
            (``naming.disguise``).
    """
    made_of = content_hash(content.hash, job.identity)
    before = read_record(folder)
    if before is not None and not job.options.again and before.made_of == made_of and is_whole(before, folder):
        return before, True
    scan, watch = _read(job, found, folder)
    if found.state() != state:
        raise ScanError(f"{found.path} was changed while it was read: segment it when it is whole.")
    public = disguise(found, folder.name)
    no_seg = _no_seg(job, scan, watch)
    if no_seg is not None and tell is not None:
        tell(public(no_seg))
    prediction = _predicted(job, scan, watch, progress)

    def write(place: Path) -> ScanRecord:
        organs, missing = write_results(prediction, place, job.options, watch, no_seg)
        known = {"scan": folder.name, "content": content.hash, "images": content.images, "made_of": made_of}
        said = {"notes": tuple(map(public, prediction.scan.notes)), "missing": tuple(map(public, missing))}
        record = _record(job, prediction, organs, watch, **known, **said)
        notes = (*record.notes, *_namesake(job, found, folder), *_replaced(before, record))
        return record.model_copy(update={"notes": notes})

    return publish(folder, write), False


def _read(job: Job, found: FoundScan, folder: Path) -> tuple[Scan, Stopwatch]:
    watch = Stopwatch(job.model.runtime.synchronize)
    with watch.phase("read"):
        scan = checked_ct(found.read(straighten=job.options.straighten), lower=job.model.card.hu_window[0])
    require_writable(scan, job.output / f"{folder.name}.nii.gz")  # said before the work
    return scan, watch


def _no_seg(job: Job, scan: Scan, watch: Stopwatch) -> str | None:
    if job.options.dicom_seg == "none":
        return None
    with watch.phase("read"):
        return no_segmentation(scan, job.model.card)


def _predicted(job: Job, scan: Scan, watch: Stopwatch, progress: Progress | None) -> Prediction:
    """The organs that are asked for; it has no others, and its card names no others."""
    card, options = job.model.card, job.options
    classes = wanted(card, options.organs)
    organs = [each.name for each in classes] if options.organs else None
    prediction = predict(job.model, scan, organs=organs, coarse=options.coarse, progress=progress, watch=watch)
    return replace(prediction, card=card.model_copy(update={"classes": classes}))


def _record(
    job: Job, prediction: Prediction, organs: tuple[OrganRecord, ...], watch: Stopwatch, **known: Any
) -> ScanRecord:
    scan, card = prediction.scan, job.model.card
    z, y, x = scan.grid.spacing_DHW
    seconds = {name: round(value, _DIGITS) for name, value in watch.seconds.items()}
    model = {"run_id": card.run_id, "network": card.model.name, "dataset": card.dataset, "weights": card.weights_hash}
    return ScanRecord(
        series=scan.series.uid if scan.series else None,
        shape_xyz=scan.grid.shape_xyz,
        spacing_xyz=(round(x, _DIGITS_MM), round(y, _DIGITS_MM), round(z, _DIGITS_MM)),
        organs=organs,
        seconds=seconds | {"total": round(sum(seconds.values()), _DIGITS)},
        model=model | {"device": str(job.model.runtime.device), "overlap": job.model.overlap} | _warning(card),
        options=job.options.deciding,
        searched=prediction.searched,
        versions=versions(),
        **known,
    )


def _namesake(job: Job, found: FoundScan, folder: Path) -> Iterator[str]:
    """What to tell where another scan has this series' UID."""
    if found.series is not None and folder.name != (name := public_name(found, None, job.options.names)):
        yield f"WARNING: another scan, {name}, has the SeriesInstanceUID of this one: do both have the right patient?"


def _replaced(before: ScanRecord | None, record: ScanRecord) -> Iterator[str]:
    """What to tell where a result is replaced with one that was made of more files, or in another way."""
    if before is None or before.state != "whole" or before.made_of == record.made_of:
        return
    newer = _made_with(record)
    older = newer | _made_with(before)
    changes = [f"{name} {newer[name]} in place of {older[name]}" for name in newer if newer[name] != older[name]]
    yield f"It replaces the result that was here: {', '.join(changes) or 'another card of the model'}."


def _made_with(record: ScanRecord) -> dict[str, str]:
    said = {"model": record.model.get("run_id"), "weights": record.model.get("weights")}
    said |= {"overlap": record.model.get("overlap"), "version": record.versions.get(PACKAGE)}
    said |= record.options | {"organs": ", ".join(record.options.get("organs", ())) or "all"}
    said |= {"files": len(record.images)} if record.images else {}  # older versions did not record them
    return {name: str(value) for name, value in said.items()}


def _warning(card: ModelCard) -> dict[str, str]:
    return {} if card.warning is None else {"warning": card.warning}


@functools.cache
def versions() -> dict[str, str]:
    """Of this package, of what it computes with, and of the machine."""
    found = {"python": platform.python_version(), "system": f"{platform.system()} {platform.machine()}"}
    for name in _PARTS:
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found
