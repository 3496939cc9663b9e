"""All scans of a call, one after another; a bad one does not stop the others."""

import functools
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from autosam_inference.bedside.attempt import Ending, NoRoomError, attempt
from autosam_inference.bedside.finding import Findings, FoundScan
from autosam_inference.bedside.naming import disguise, public_name
from autosam_inference.bedside.segmenting import Job
from autosam_inference.bedside.summary import organ_table, scan_table, write_summary
from autosam_inference.progress import WindowProgress


def run_batch(job: Job, findings: Findings) -> list[Ending]:
    """Segment all scans and write the summary, whatever ends it."""
    endings: list[Ending] = []
    try:
        for ending in _endings(job, findings):
            endings.append(ending)
    finally:
        if endings:
            write_summary(job.output, endings)
    return endings


def print_table(endings: Sequence[Ending]) -> None:
    """The organs of a single scan, or a line for each of several."""
    if len(endings) == 1 and endings[0].record is not None:
        print(organ_table(endings[0].record))
    else:
        print(scan_table(endings))


def _endings(job: Job, findings: Findings) -> Iterator[Ending]:
    for path, reason in findings.faults:
        found = FoundScan(path)
        name = public_name(found, None, job.options.names)
        yield _told(Ending(name, "failed", reason=disguise(found, name)(reason)), path, "")
    full: NoRoomError | None = None
    for number, found in enumerate(findings.scans, start=1):
        where = f"scan {number} of {len(findings.scans)}"
        if full is None:
            try:
                ending = attempt(job, found, functools.partial(_progress, where), functools.partial(_warn, where))
            except NoRoomError as error:
                full = error
        if full is not None:
            ending = Ending(public_name(found, None, job.options.names), "failed", reason=f"not tried: {full}")
        yield _told(ending, found.path, where)


def _progress(where: str, name: str) -> WindowProgress:
    return WindowProgress(f"{where}, {name}")


def _warn(where: str, name: str, words: str) -> None:
    print(f"{where}, {name}: {words}", file=sys.stderr, flush=True)


def _told(ending: Ending, path: Path, where: str) -> Ending:
    """Say how it went. Where the scan lies is said to a person alone: a log is kept."""
    place = f" ({path})" if sys.stdout.isatty() else ""
    head = f"{where}, {ending.scan}{place}" if where else f"{ending.scan}{place}"
    if ending.record is None:
        print(f"{head}: FAILED: {ending.reason}", flush=True)
    elif ending.status == "found":
        print(f"{head}: was segmented before", flush=True)
    else:
        print(f"{head}: {ending.record.seconds['total']:.1f} s", flush=True)
    if ending.record is not None:
        new = ending.record.notes if ending.status == "done" else ()
        for note in (*new, *ending.record.missing):
            print(f"  {note}", flush=True)
    return ending
