"""What a teacher of files scores: its label maps of the test cases on the scans' own grids, as those of a model."""

import functools
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from autosam_inference.files import write_json
from autosam_inference.scans.nifti import ScanError
from autosam_inference.scans.scan import read_grid
from autosam_platform.cluster import map_tasks
from autosam_platform.data.checks import load_checked
from autosam_platform.data.description import DatasetDescription
from autosam_platform.data.readers import Case
from autosam_platform.distillation.answer_files import AnswerError, answer_file, meaning_of, no_answers
from autosam_platform.distillation.answer_reading import classes_DHW
from autosam_platform.distillation.compared import Compared
from autosam_platform.distillation.file_teacher import FileTeacher
from autosam_platform.distillation.labels import TEACHER
from autosam_platform.evaluation.metrics import case_metrics
from autosam_platform.evaluation.table import Row, summarise, write_rows
from autosam_platform.workspace import EvaluationFolder

_BYTES_A_TASK, _BYTES_A_VOXEL = 1 << 30, 20


def scored_files(
    teacher: FileTeacher, cases: Sequence[Case], description: DatasetDescription, folder: EvaluationFolder
) -> Compared:
    """Score the files of the test cases, and write tables below ``folder``.

    Raises:
        AnswerError: not every case has a file that can be scored.
    """
    task = functools.partial(_rows, teacher.folder, description)
    made = map_tasks(task, cases, label="scoring the teacher's files", memory=_memory)
    problems = [each for each in made if isinstance(each, str)]
    if problems:
        raise no_answers(teacher.name, problems, len(cases))
    rows = [row for each in made if not isinstance(each, str) for row in each]
    summary = summarise(rows, {})
    write_rows(folder.metrics, rows)
    write_json(folder.summary, summary.as_json())
    return Compared(TEACHER, teacher.name, rows, summary, None, {"teacher_hash": teacher.identity})


def _rows(folder: Path, description: DatasetDescription, case: Case) -> list[Row] | str:
    """Scores of a case, or why there are none."""
    try:
        file = answer_file(folder, case.case_id)
        checked = load_checked(case, description)
        if checked.scan is None or checked.label_DHW is None:
            return f"  {case.case_id}: {' '.join(checked.verdict.reasons) or 'has no truth to compare with'}"
        scan = checked.scan
        said_DHW = classes_DHW(file, meaning_of(file.label, description), case.image, scan.grid, description)
    except (ScanError, AnswerError) as error:
        return f"  {case.case_id}: {error}"
    annotated, tolerance = description.annotated_ids(case.case_id), description.nsd_tolerance_mm
    spacing_DHW, classes = scan.volume.spacing_DHW, description.classes
    metrics = case_metrics(said_DHW, checked.label_DHW, spacing_DHW, classes, tolerance, annotated)
    return [Row.of(case.case_id, each, tolerance) for each in metrics]


def _memory(case: Case) -> int:
    return _BYTES_A_TASK + _BYTES_A_VOXEL * int(np.prod(read_grid(case.image).shape_DHW))
