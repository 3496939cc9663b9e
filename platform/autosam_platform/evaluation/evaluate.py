"""Evaluate a trained model on cases with truth: predict, score, draw; one Ray task per case.

The folder (docs/design.md, "The workspace") holds ``metrics.csv``, ``seconds.csv``, ``summary.json``,
``organs.png``, and per case ``predictions/<case>.nii.gz``, ``pictures/<case>.png`` and ``cases/<case>.json``. The
last one is written last: it names what it was made from by a content hash, so a case counts as done only if model,
files and settings are the same, and is found then, with the times of when it was done, instead of being done again.
"""

import functools
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autosam_inference.card import ModelCard
from autosam_inference.errors import UserError
from autosam_inference.files import content_hash, write_json
from autosam_inference.scans.dicom_files import is_dicom
from autosam_inference.scans.grid import Volume
from autosam_inference.scans.label_files import write_nifti
from autosam_inference.scans.nifti import ScanError
from autosam_inference.scans.scan import Scan, read_grid
from autosam_inference.several import ModelFolders
from autosam_inference.stopwatch import Stopwatch
from autosam_platform.cluster import cores_per_task, map_tasks
from autosam_platform.data.checks import CheckedCase, load_checked
from autosam_platform.data.description import DatasetDescription
from autosam_platform.data.readers import Case
from autosam_platform.evaluation.metrics import ClassMetrics, case_metrics
from autosam_platform.evaluation.pictures import save_case_picture, save_organ_picture
from autosam_platform.evaluation.predictor import Predictor, SlidingWindow
from autosam_platform.evaluation.seconds import medians, with_total, write_seconds
from autosam_platform.evaluation.table import Row, Summary, summarise, write_rows
from autosam_platform.workspace import EvaluationFolder, workspace

VERSION = 3  # raise it whenever the same model and files would give other scores, pictures or phases

_BYTES_A_VOXEL = 20  # scan and its float32 copies, truth, prediction and its copy on the way to the file


class EvaluationError(UserError):
    """An evaluation that cannot be done as asked; the message says why and what to do."""


@dataclass(frozen=True)
class Plan:
    """What every case of one evaluation is told.

    Attributes:
        predictor: segments its scan.
        folder: where the results go.
        tolerance_mm: of the NSD.
        threads: that a case may compute with.
    """

    predictor: Predictor
    folder: EvaluationFolder
    description: DatasetDescription
    tolerance_mm: float
    threads: int = 1


@dataclass(frozen=True)
class Evaluated:
    """A case that was evaluated.

    Attributes:
        rows: of the table, one per class.
        seconds: of the phases ``read``, ``resample``, ``network``, ``write``, ``score`` and ``picture``, and their
            ``total``. Not in it: loading the model, once per process, and asking whether the case is done, which
            reads the files for the first time.
    """

    case_id: str
    rows: list[Row]
    seconds: dict[str, float]


def evaluate_cases(
    model: Path | ModelFolders | Predictor,
    cases: Sequence[Case],
    description: DatasetDescription,
    folder: EvaluationFolder | None = None,
    *,
    overlap: float | None = None,
    tolerance_mm: float | None = None,
    cpus: int | None = None,
) -> Summary:
    """Evaluate the model folder ``model`` on ``cases`` and write the results below ``folder``.

    Args:
        model: or those of several, whose mean is evaluated; or what else makes the label maps.
        description: of the dataset that the cases belong to; its classes must be the model's.
        folder: the one of the model's run for its test cases where not given.
        overlap: of neighbouring windows; the one of the model's run where not given. A predictor has its own.
        tolerance_mm: of the NSD; the dataset's where not given.
        cpus: cores per case, and a GPU where the cluster has any; cases run side by side on what there is.

    Raises:
        EvaluationError: nothing to evaluate, other classes than the model's, or cases that the checks reject;
            the other cases are evaluated then, and kept for the next run of the same command.
        ModelFolderError: there is no usable model.
    """
    if isinstance(model, Path):
        model = ModelFolders.of(model)
    predictor = SlidingWindow.of(model, overlap) if isinstance(model, ModelFolders) else model
    card = predictor.models.card
    _check_cases(cases, card, description)
    plan = Plan(
        predictor=predictor,
        folder=folder or workspace().run_at(predictor.models.folders[0].parent).evaluation(),
        description=description,
        tolerance_mm=description.nsd_tolerance_mm if tolerance_mm is None else tolerance_mm,
        threads=cpus or cores_per_task(len(cases)),
    )
    memory = functools.partial(_memory, predictor=predictor)
    task = functools.partial(_evaluate_or_explain, plan=plan)
    label = f"evaluating {card.run_id}"
    results = map_tasks(task, cases, label=label, memory=memory, cpus=plan.threads, gpu=True)
    problems = [each for each in results if isinstance(each, str)]
    if problems:
        listed = "\n".join(problems)
        raise EvaluationError(f"{len(problems)} of {len(cases)} cases could not be scored:\n{listed}")
    return _write_results(plan, card, [each for each in results if not isinstance(each, str)])


def evaluate_case(case: Case, plan: Plan) -> Evaluated:
    """Predict, score and draw one case, unless that is done.

    Raises:
        EvaluationError: the checks reject the case, or it has no truth.
    """
    content = _content_hash(case, plan)
    known = _read_record(case, plan)
    if known is not None and known["content"] == content:
        return Evaluated(case.case_id, [Row.from_json(each) for each in known["rows"]], known["seconds"])

    ready = plan.predictor.load(plan.threads)
    watch = Stopwatch(ready.settle)
    with watch.phase("read"):
        scan, truth_DHW = _scan_and_truth(load_checked(case, plan.description))
    prediction = ready.predict(case.case_id, scan, truth_DHW, watch)
    image, prediction_DHW = scan.volume, prediction.label_DHW
    with watch.phase("write"):
        write_nifti(prediction, plan.folder.prediction(case.case_id))
        if _has_own_ids(case, plan):
            write_nifti(replace(prediction, label_DHW=truth_DHW), plan.folder.truth(case.case_id))
    with watch.phase("score"):
        metrics = _score(case, plan, image, prediction_DHW, truth_DHW)
    with watch.phase("picture"):
        title = _title(f"{case.case_id} · {prediction.card.run_id}", plan.predictor)
        _draw(plan.folder.picture(case.case_id), plan, image, prediction_DHW, truth_DHW, metrics, title)
    rows = [Row.of(case.case_id, each, plan.tolerance_mm) for each in metrics]
    done = Evaluated(case.case_id, rows, with_total(watch.seconds))
    _write_record(plan, case, content, done)
    return done


def _has_own_ids(case: Case, plan: Plan) -> bool:
    """Are the files of the truth in other ids than the classes'? Whoever looks at them needs them in these."""
    label_ids = plan.description.for_case(case.case_id).label_ids
    return bool(case.masks or label_ids or (case.label is not None and is_dicom(case.label)))


def _read_record(case: Case, plan: Plan) -> dict[str, Any] | None:
    """The case's record, if it and what it stands for are there."""
    folder, case_id = plan.folder, case.case_id
    path = folder.record(case_id)
    files = [path, folder.prediction(case_id), folder.picture(case_id)]
    if not all(each.is_file() for each in files + [folder.truth(case_id)] * _has_own_ids(case, plan)):
        return None
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        return None  # not written by us, since ours are whole: evaluated anew
    return record if isinstance(record, dict) and {"content", "rows", "seconds"} <= record.keys() else None


def _write_record(plan: Plan, case: Case, content: str, done: Evaluated) -> None:
    """Write the case's record, which makes it count as done."""
    folder, relative = plan.folder, plan.folder.paths.relative
    label = folder.truth(case.case_id) if _has_own_ids(case, plan) else case.label
    record = {
        "case_id": case.case_id,
        "content": content,
        "image": relative(case.image),
        "label": relative(label) if label else None,
        "prediction": relative(folder.prediction(case.case_id)),
        "seconds": done.seconds,
        "rows": [row.as_json() for row in done.rows],
    }
    write_json(folder.record(case.case_id), record)


def _evaluate_or_explain(case: Case, plan: Plan) -> Evaluated | str:
    """What a case came to; the reason where it cannot be scored, so that it does not stop the others."""
    try:
        return evaluate_case(case, plan)
    except EvaluationError as error:
        return f"  {case.case_id}: {error}"


def _check_cases(cases: Sequence[Case], card: ModelCard, description: DatasetDescription) -> None:
    if not cases:
        raise EvaluationError(f"there is no case of {description.name} to evaluate: choose a split that has cases")
    if card.classes != description.classes:
        ours, theirs = ([each.name for each in classes] for classes in (card.classes, description.classes))
        raise EvaluationError(
            f"the model {card.run_id} knows the classes {ours}, but {description.name} has {theirs}: "
            "evaluate it on a dataset with its own classes"
        )


def _content_hash(case: Case, plan: Plan) -> str:
    """Hash of all that decides a case's results: the model, both files, the settings."""
    schema = plan.description.model_dump(mode="json", exclude={"licence"})
    return content_hash(VERSION, *plan.predictor.identity, plan.tolerance_mm, schema, *case.hashed)


def _scan_and_truth(checked: CheckedCase) -> tuple[Scan, NDArray[np.uint8]]:
    if checked.scan is None:
        raise EvaluationError(" ".join(checked.verdict.reasons))
    if checked.label_DHW is None:
        raise EvaluationError("has no truth to compare with: predict it with jobs/predict.py instead")
    return checked.scan, checked.label_DHW


def _score(
    case: Case, plan: Plan, image: Volume, prediction_DHW: NDArray[np.uint8], truth_DHW: NDArray[np.uint8]
) -> list[ClassMetrics]:
    annotated = plan.description.annotated_ids(case.case_id)
    classes = plan.description.classes
    return case_metrics(
        prediction_DHW, truth_DHW, image.spacing_DHW, classes, plan.tolerance_mm, annotated, threads=plan.threads
    )


def _draw(
    path: Path,
    plan: Plan,
    image: Volume,
    prediction_DHW: NDArray[np.uint8],
    truth_DHW: NDArray[np.uint8],
    metrics: Sequence[ClassMetrics],
    title: str,
) -> None:
    classes, window = plan.description.classes, plan.description.hu_window
    save_case_picture(path, image, prediction_DHW, truth_DHW, classes, hu_window=window, title=title, metrics=metrics)


def _write_results(plan: Plan, card: ModelCard, cases: Sequence[Evaluated]) -> Summary:
    rows = [row for each in cases for row in each.rows]
    sources = {each.case_id: plan.description.source_of(each.case_id) for each in cases}
    named = {case_id: source.name for case_id, source in sources.items() if source is not None}
    summary = replace(summarise(rows, medians([each.seconds for each in cases]), named), notice=plan.predictor.notice)
    write_rows(plan.folder.metrics, rows)
    write_seconds(plan.folder.seconds, {each.case_id: each.seconds for each in cases})
    save_organ_picture(plan.folder.organs, rows, _title(f"{card.run_id}: {summary.n_cases} cases", plan.predictor))
    write_json(plan.folder.summary, summary.as_json())
    return summary


def _title(told: str, predictor: Predictor) -> str:
    return f"{told} · {predictor.notice}" if predictor.notice else told


def _memory(case: Case, predictor: Predictor) -> int:
    """Bytes that a case needs at most, from its header."""
    try:
        grid = read_grid(case.image)
    except ScanError:
        return predictor.memory(None)  # the case will say so itself
    growth = math.prod(old / new for old, new in zip(grid.spacing_DHW, predictor.models.card.spacing_DHW, strict=True))
    voxels = math.prod(grid.shape_DHW) * max(1.0, growth)
    return predictor.memory(grid) + math.ceil(_BYTES_A_VOXEL * voxels)
