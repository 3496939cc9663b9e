"""The command line ``autosam-predict``."""

import argparse
import io
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

from autosam_inference.bedside.attempt import Ending
from autosam_inference.bedside.batch import print_table, run_batch
from autosam_inference.bedside.finding import Finder
from autosam_inference.bedside.naming import Names
from autosam_inference.bedside.options import Options, wanted
from autosam_inference.bedside.place import only_writer, require_apart
from autosam_inference.bedside.segmenting import Job
from autosam_inference.bedside.summary import SUMMARY, require_free_summary
from autosam_inference.bedside.watching import watch
from autosam_inference.errors import UserError
from autosam_inference.included import named_included
from autosam_inference.model import TrainedModel
from autosam_inference.runtimes.chosen import RuntimeName

ALL, SOME, NONE, LACKING, INTERRUPTED = 0, 1, 2, 3, 130
"""Exit status: all scans were segmented, some were not, none was (or the command was wrong), all were and a DICOM SEG
or report is missing, it was stopped."""

_DESCRIPTION = """\
Segment CT scans with a trained model: NIfTI or DICOM in, and of each scan a folder with its label map on the scan's own
grid (NIfTI, and DICOM SEG where it is DICOM), volumes and mean HU of the organs, a picture and a record."""

_EPILOG = """\
examples:
  autosam-predict student.zip scan.nii.gz --output results
  autosam-predict student.zip DICOM-FOLDER study.zip --output results --organs liver,spleen
  autosam-predict student.zip --watch export --output results --report
  autosam-predict included scan.nii.gz --output results

A scan that was segmented before (same bytes, model and options) is found and not done again. A scan that cannot be
used does not stop the others; results/summary.csv says why. Folders of DICOM series are called by a hash of their
SeriesInstanceUID, those of NIfTI files by the file's name, or by a hash with --names hash: nothing that is written
tells who the patient is, but the DICOM objects, which a PACS files under the patient. Nothing is sent anywhere.

A watched folder's scans are done once each, when they are whole. One that fails is tried again when it changes, five
times at most; results/watch.log says what happened. SIGTERM or Ctrl-C ends it; killed, it goes on where it was.

Where a series lacks what a DICOM SEG needs, that is said before the work, and the label map is written as NIfTI.

exit status: 0 all scans were segmented (or a watch was stopped), 1 some were not, 2 none was or the command is wrong,
3 all were, and a DICOM SEG or report of one cannot be written, 130 it was interrupted
"""


def parser() -> argparse.ArgumentParser:
    """What can be asked."""
    made = argparse.ArgumentParser(
        prog="autosam-predict",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    made.add_argument(
        "model",
        metavar="BUNDLE",
        help="the model: a bundle (folder or zip), model/ of a run, or 'included': the small one that comes with the "
        "project, if this version has one",
    )
    made.add_argument(
        "scans", type=Path, nargs="*", metavar="SCAN", help="NIfTI file; DICOM file, folder or zip; folder of scans"
    )
    made.add_argument(
        "--watch",
        type=Path,
        metavar="IN",
        help="watch this folder, which a scanner or PACS exports to, and segment each scan that comes, until stopped",
    )
    made.add_argument(
        "--settle",
        type=_seconds,
        default=30.0,
        metavar="SECONDS",
        help="with --watch: a scan is whole when nothing of it changed for so long (default: %(default)g)",
    )
    made.add_argument("--output", type=Path, required=True, metavar="FOLDER", help="where each scan gets a folder")
    made.add_argument(
        "--organs",
        type=_names,
        default=(),
        metavar="A,B",
        help="only these organs, by the model's names (default: all)",
    )
    made.add_argument("--series", metavar="UID", help="only the DICOM series of this SeriesInstanceUID")
    made.add_argument(
        "--straighten",
        action="store_true",
        help="resample DICOM slices that are tilted, shifted or unevenly spaced, instead of refusing them",
    )
    made.add_argument(
        "--dicom-seg",
        choices=("labelmap", "binary", "none"),
        default="labelmap",
        help="kind of DICOM SEG; binary is for older viewers, none writes none (default: %(default)s)",
    )
    made.add_argument(
        "--report",
        action="store_true",
        help="write volumes and HU as a DICOM structured report, too (of DICOM scans)",
    )
    made.add_argument(
        "--names",
        choices=("file", "hash"),
        help="what folders of NIfTI scans are called by: the file's name, or a hash, where that may be a patient's "
        "(default: file; with --watch: hash)",
    )
    made.add_argument(
        "--again",
        action="store_true",
        help="segment again what was segmented before; with --watch: try again what failed",
    )
    made.add_argument(
        "--overlap",
        type=_overlap,
        metavar="SHARE",
        help="that neighbouring windows have in common, 0 to 0.9 (default: the model's)",
    )
    made.add_argument(
        "--runtime",
        choices=get_args(RuntimeName),
        help="what computes (default: openvino for a bundle, torch for a run)",
    )
    made.add_argument(
        "--no-coarse",
        dest="coarse",
        action="store_false",
        help="compute every window of the scan, instead of looking for the organs roughly first",
    )
    made.add_argument("--threads", type=_threads, metavar="N", help="CPU cores to compute with; -1: all but one")
    made.add_argument("--json", action="store_true", help="the last line is the result as one JSON object")
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the exit status."""
    for stream in (sys.stdout, sys.stderr):  # Windows gives a pipe the letters of one language, and names have others
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    asked = _asked(arguments)
    try:
        return _run(asked) if asked.watch is None else _watch(asked)
    except UserError as error:
        print(f"autosam-predict: {error}", file=sys.stderr)
        return NONE
    except KeyboardInterrupt:
        print("\nInterrupted. What is finished stays; the same command goes on from there.", file=sys.stderr)
        return INTERRUPTED


def _asked(arguments: Sequence[str] | None) -> argparse.Namespace:
    made = parser()
    asked = made.parse_intermixed_args(arguments)
    if asked.watch is None and not asked.scans:
        made.error("name the scans, or a folder to --watch")
    if asked.watch is not None and (asked.scans or asked.series or asked.json):
        made.error("--watch takes a folder of its own, and neither scans, --series nor --json")
    if asked.report and asked.dicom_seg == "none":
        made.error("--report refers to the DICOM SEG: leave out --dicom-seg none")
    return asked


def _watch(asked: argparse.Namespace) -> int:
    require_apart(asked.output, [asked.watch])
    require_free_summary(asked.output)
    job = Job(_loaded(asked), asked.output, _options(asked, "hash"))
    with only_writer(asked.output):
        watch(job, asked.watch, asked.settle)
    return ALL


def _options(asked: argparse.Namespace, names: Names) -> Options:
    return Options(
        organs=asked.organs,
        coarse=asked.coarse,
        straighten=asked.straighten,
        dicom_seg=asked.dicom_seg,
        report=asked.report,
        runtime=asked.runtime,
        names=asked.names or names,
        again=asked.again,
    )


def _run(asked: argparse.Namespace) -> int:
    require_apart(asked.output, asked.scans)
    require_free_summary(asked.output)
    job = Job(_loaded(asked), asked.output, _options(asked, "file"))
    if job.model.card.warning:
        print(job.model.card.warning, flush=True)
    with only_writer(asked.output):
        findings = Finder(asked.output).find(asked.scans)
        if asked.series is not None:
            findings = findings.only(asked.series)
        if findings.left_out:
            print("Left out: " + ", ".join(f"{count} × {what}" for what, count in findings.left_out.most_common()))
        endings = run_batch(job, findings)
    print_table(endings)
    failed = sum(each.status == "failed" for each in endings)
    print(f"Results: {asked.output} ({len(endings) - failed} of {len(endings)} scans; all of them in {SUMMARY})")
    if asked.json:
        print(json.dumps(_told(endings, asked.output)))
    if failed:
        return SOME if failed < len(endings) else NONE
    return LACKING if any(each.record and each.record.missing for each in endings) else ALL


def _loaded(asked: argparse.Namespace) -> TrainedModel:
    place = named_included(asked.model) or asked.model
    model = TrainedModel.load(place, runtime=asked.runtime, overlap=asked.overlap)
    wanted(model.card, asked.organs)
    if asked.threads is not None:
        model.runtime.use_threads(asked.threads if asked.threads > 0 else max(1, _cores() - 1))
    return model


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _told(endings: Sequence[Ending], output: Path) -> dict[str, Any]:
    """The result for a program."""
    scans = [
        {"scan": each.scan, "status": each.status, "reason": each.reason}
        | ({"record": each.record.model_dump(mode="json")} if each.record else {})
        for each in endings
    ]
    return {"place": str(output), "summary": str(output / SUMMARY), "scans": scans}


def _names(text: str) -> tuple[str, ...]:
    names = tuple(each.strip() for each in text.split(",") if each.strip())
    if not names:
        raise argparse.ArgumentTypeError("name one organ or more, with commas between them")
    return names


def _overlap(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 0.9:
        raise argparse.ArgumentTypeError(f"{text!r} is no share from 0 to 0.9")
    return share


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= 86400:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds up to a day")
    return seconds


def _threads(text: str) -> int:
    try:
        count = int(text)
    except ValueError:
        count = 0
    if count == 0 or count < -1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of cores: 1 or more, or -1 for all but one")
    return count
