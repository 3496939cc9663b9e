"""A study from its plan to its report: what is done is found, what is missing is trained, and all of it is told."""

import functools
import json
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import filelock
import ray
import rich
import torch
from rich.box import SIMPLE_HEAD
from rich.table import Table

from autosam_inference.errors import UserError
from autosam_inference.files import content_hash, write_json
from autosam_models.sizes import bytes_text
from autosam_platform.cluster import map_tasks
from autosam_platform.data.preparation import PreparedDataset
from autosam_platform.distillation.fit import supervision_of
from autosam_platform.evaluation.statistics import case_means
from autosam_platform.evaluation.table import read_rows
from autosam_platform.experiment import ComputeSection, Experiment
from autosam_platform.locks import LOOK_SECONDS
from autosam_platform.measure import machine
from autosam_platform.pipeline.at_once import Work, at_once, computing_on, shared_cluster
from autosam_platform.pipeline.distilling import with_unlabelled
from autosam_platform.pipeline.ending import Outcome
from autosam_platform.pipeline.steps import evaluated, prepared_dataset, split_cases, trained
from autosam_platform.studies.asked import DEMO
from autosam_platform.studies.description import StudyError
from autosam_platform.studies.embeddings import embedding_map, organ_slices, save_map
from autosam_platform.studies.plan import Cell, Member, StudyPlan
from autosam_platform.studies.report import write_study
from autosam_platform.studies.results import CellResult, MemberResult, StudyResults, differences, merged
from autosam_platform.studies.slices import Shown, save_slices, telling_case
from autosam_platform.studies.table import headers, lines, notes, row_title, title_of
from autosam_platform.tracking.writing import open_study
from autosam_platform.training.fitting import find_fit
from autosam_platform.training.loop import build_network
from autosam_platform.training.pace import seconds_of_answers, seconds_of_fit, seconds_per_step, steps_of
from autosam_platform.training.size import count_parameters
from autosam_platform.tuning.plan import disk_needed, require_room
from autosam_platform.workspace import RunFolder, StudyFolder, workspace

_PICTURES = 120
"""Slices of each dataset, and natural images, on a map of embeddings."""


@dataclass(frozen=True)
class _Ready:
    """A training with all that it needs.

    Attributes:
        experiment: its teacher is the folder of a model.
        found: it has been made before.
    """

    label: str
    experiment: Experiment
    dataset: PreparedDataset
    found: bool


@dataclass(frozen=True)
class _ReadyCell:
    cell: Cell
    members: tuple[_Ready, ...]
    parameters: int | None

    @property
    def oracle(self) -> bool:
        """Is it asked by prompts from the labels?"""
        return any(each.experiment.prompted for each in self.members)

    @property
    def missing(self) -> list[_Ready]:
        return [each for each in self.members if not each.found]


def make_study(plan: StudyPlan, *, concurrent: int | None, natural: Path | None = None) -> Outcome:
    """Make all cells of a study that are not there yet, several at a time where the cluster has room, and its report.

    A cell that cannot be made does not stop the others: its place has a dash and the reason.

    Args:
        concurrent: cells at a time; where not said, as many as the cluster holds.
        natural: folder of natural images, for a map of embeddings.

    Raises:
        StudyError: another process makes the study.
        PlanError: cluster or disk are too small.
    """
    started = time.monotonic()
    folder = workspace().study(plan.name)
    folder.folder.mkdir(parents=True, exist_ok=True)
    try:
        with filelock.FileLock(folder.lock, timeout=LOOK_SECONDS):
            mapped = plan.study.figure == "embeddings"
            results = _mapped(plan, folder, natural) if mapped else _made(plan, folder, concurrent)
    except filelock.Timeout as error:
        raise StudyError(f"{folder.name} is being made by another process: wait for it, or stop it") from error
    _show(results)
    record = open_study(workspace(), plan.name, tags={"study": plan.key, "recipe": plan.recipe})
    for path in folder.files:
        record.add_file(path)
    record.finish()
    minutes = round((time.monotonic() - started) / 60, 2)
    print(f"This took {minutes:.1f} minutes. Report: {folder.report}", flush=True)
    asked = [cell for cell in plan.cells if not cell.reason] if results.has_table else []
    whole = all(results.cell(cell.row, cell.column).whole for cell in asked)
    numbers: dict[str, Any] = {"study": plan.name, "cells": len(asked), "done": results.done, "minutes": minutes}
    return Outcome(folder.folder, numbers, whole=whole)


def _made(plan: StudyPlan, folder: StudyFolder, concurrent: int | None) -> StudyResults:
    datasets = _datasets(plan)
    teachers = {column: _teacher(plan, column, experiment) for column, experiment in plan.teachers.items()}
    models = {column: str(run.model) for column, run in teachers.items()}
    ready = [_ready(cell, datasets, models) for cell in plan.cells]
    results = _begun(plan, ready, {column: run.name for column, run in teachers.items()})
    write_study(folder, results)
    for each in ready:
        if not each.missing and each.members:
            results = _with(plan, folder, results, _make(each))
    missing = [each for each in ready if each.missing]
    if missing:
        for cell in _make_all(missing, folder, concurrent):
            results = _with(plan, folder, results, cell)
    if plan.study.figure == "slices":
        _draw_slices(ready, folder, results)
    return results


def _draw_slices(ready: Sequence[_ReadyCell], folder: StudyFolder, results: StudyResults) -> None:
    """The figure of scans, a line for each dataset of which a system is there, and the report that has it."""
    datasets = {each.cell.column: each.members[0].dataset for each in ready if each.members}
    shown = [
        _shown(results, column, dataset)
        for column, dataset in datasets.items()
        if any(cell.column == column and cell.members for cell in results.cells)
    ]
    if shown:
        save_slices((folder.figure, folder.figure_svg), shown, results.study.title)
        write_study(folder, results)


def _shown(results: StudyResults, column: str, dataset: PreparedDataset) -> Shown:
    """The scan of a dataset that is shown, with the first training of each system."""
    found = {
        row_title(results, cell.row): workspace().run(cell.members[0].run).evaluation()
        for cell in results.cells
        if cell.column == column and cell.members
    }
    rows = {title: read_rows(evaluation.metrics) for title, evaluation in found.items()}
    case_id = telling_case(rows)
    case = next(each for each in split_cases(dataset, "test") if each.case_id == case_id)
    return Shown(
        title=title_of(results, column),
        case=case,
        description=dataset.description,
        predictions={title: evaluation.prediction(case_id) for title, evaluation in found.items()},
        dice={title: case_means(each)[case_id] for title, each in rows.items()},
    )


def _mapped(plan: StudyPlan, folder: StudyFolder, natural: Path | None) -> StudyResults:
    """The map of how the first row's image encoder sees the slices of each dataset beside natural images."""
    datasets = _datasets(plan)
    first = next(cell for cell in plan.cells if cell.members)
    experiment = first.members[0].experiment
    if not experiment.prompted:
        raise StudyError(f"a map of embeddings is of SAM itself, not of {experiment.model.name}: name a sam model")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    network: Any = build_network(experiment, num_classes=2).eval().to(device)
    slices, results = {}, _begun(plan, [], {})
    for cell in plan.cells:
        if cell.row == first.row and cell.members:
            dataset = datasets[_key(cell.members[0].experiment)]
            window = network.asking.grey(dataset.description.hu_window)
            shown = organ_slices(dataset.cases("all"), _PICTURES, window, network.side)
            slices[title_of(results, cell.column)] = shown
    print(f"Embedding {sum(map(len, slices.values()))} slices and {_PICTURES} natural images on {device}", flush=True)
    found = embedding_map(network, slices, natural, _PICTURES)
    save_map(found, (folder.figure, folder.figure_svg), folder.points, plan.study.title)
    weights = "of SAM's checkpoint" if experiment.model.checkpoint else "random, since no SAM checkpoint was given"
    remarks = *found.remarks, f"Image encoder: {experiment.model.name}, weights {weights}."
    results = results.model_copy(update={"remarks": remarks})
    write_study(folder, results)
    return results


def _datasets(plan: StudyPlan) -> dict[str, PreparedDataset]:
    """The prepared dataset of each experiment, by a hash of its section."""
    found: dict[str, PreparedDataset] = {}
    for _, experiment in plan.experiments:
        key = _key(experiment)
        if key not in found:
            found[key] = prepared_dataset(experiment.dataset)
            found[key].require_complete(allow_rejected=experiment.dataset.allow_rejected)
    return found


def _key(experiment: Experiment) -> str:
    return content_hash(experiment.dataset.model_dump(mode="json"))


def _teacher(plan: StudyPlan, column: str, experiment: Experiment) -> RunFolder:
    print(f"The teacher of {plan.columns[column].title or column}:", flush=True)
    return trained(experiment)[1].run


def _ready(cell: Cell, datasets: Mapping[str, PreparedDataset], teachers: Mapping[str, str]) -> _ReadyCell:
    members = tuple(_ready_member(cell, member, datasets, teachers) for member in cell.members)
    if not members:
        return _ReadyCell(cell, (), None)
    first = members[0]
    return _ReadyCell(cell, members, count_parameters(first.experiment, first.dataset.num_classes)[1])


def _ready_member(
    cell: Cell, member: Member, datasets: Mapping[str, PreparedDataset], teachers: Mapping[str, str]
) -> _Ready:
    experiment, dataset = member.experiment, datasets[_key(member.experiment)]
    if cell.taught:
        section = experiment.distillation.model_copy(update={"teacher": teachers[cell.column]})
        experiment = with_unlabelled(experiment.model_copy(update={"distillation": section}))
    return _Ready(member.label, experiment, dataset, find_fit(experiment, dataset, workspace()).found)


def _begun(plan: StudyPlan, ready: Sequence[_ReadyCell], teachers: Mapping[str, str]) -> StudyResults:
    cells = tuple(
        CellResult(
            row=each.cell.row,
            column=each.cell.column,
            wanted=max(len(each.members), 1),
            parameters=each.parameters,
            reason=each.cell.reason,
            oracle=each.oracle,
        )
        for each in ready
    )
    datasets = {each.cell.column: member.dataset for each in ready for member in each.members}
    return StudyResults(
        name=plan.name,
        recipe=plan.recipe,
        demo=plan.recipe == DEMO,
        study=plan.study,
        columns=dict(plan.columns),
        cells=cells,
        teachers=dict(teachers),
        tolerances={column: dataset.description.nsd_tolerance_mm for column, dataset in datasets.items()},
    )


def _make_all(missing: Sequence[_ReadyCell], folder: StudyFolder, concurrent: int | None) -> Iterator[CellResult]:
    """The cells as they are done, as many at a time as the cluster holds with all their workers."""
    widest = max((each.members[0].experiment.compute for each in missing), key=lambda compute: compute.workers)
    shared = shared_cluster(widest, len(missing), concurrent, "cell")
    ready = [_on(each, shared.compute) for each in missing]
    trainings = sum(len(each.missing) for each in ready)
    print(f"{trainings} trainings for {len(ready)} cells: {shared.said}", flush=True)
    _say_what_it_takes(ready, shared.at_a_time)
    for each in ready:
        _store_answers(each)
    if shared.at_a_time == 1:
        yield from map(_make, ready)
    else:
        yield from _several(ready, folder, shared.at_a_time)


def _several(ready: Sequence[_ReadyCell], folder: StudyFolder, at_a_time: int) -> Iterator[CellResult]:
    """The cells as they are done, each made beside others."""
    works = [_work(each, folder) for each in ready]
    left = len(ready)
    for index, result_of in at_once(works, at_a_time):
        result = _result(result_of, ready[index])
        left -= 1
        print(f"{result.row}, {result.column}: {result.reason or 'done'}; {left} to go", flush=True)
        yield result


def _work(each: _ReadyCell, folder: StudyFolder) -> Work[CellResult]:
    runs = tuple(find_fit(one.experiment, one.dataset, workspace()).run for one in each.missing)
    log = folder.log(each.cell.row, each.cell.column)
    return Work(_place(each.cell), functools.partial(_make, each), log, runs)


def _result(result_of: Callable[[], CellResult], each: _ReadyCell) -> CellResult:
    """What a cell has come to; a reason where its process was lost."""
    try:
        return result_of()
    except ray.exceptions.RayError as error:
        lost = f"its process was lost ({type(error).__name__}): the same command continues"
        wanted, parameters = len(each.members), each.parameters
        return CellResult(row=each.cell.row, column=each.cell.column, wanted=wanted, parameters=parameters, reason=lost)


def _on(each: _ReadyCell, compute: ComputeSection) -> _ReadyCell:
    members = [replace(one, experiment=computing_on(one.experiment, compute)) for one in each.members]
    return replace(each, members=tuple(members))


def _say_what_it_takes(ready: Sequence[_ReadyCell], at_a_time: int) -> None:
    """Print an estimate of time and disk, and refuse what the disk cannot hold.

    Raises:
        PlanError: names what is needed and what is free.
    """
    trainings = [one for each in ready for one in each.missing]
    counts = [count_parameters(one.experiment, one.dataset.num_classes) for one in trainings]
    needed = disk_needed(counts, len(trainings), at_a_time)
    require_room(needed, workspace().folder)
    teachers = {content_hash(str(one.experiment.distillation.teacher), _key(one.experiment)): one for one in trainings}
    asked = [one for one in teachers.values() if one.experiment.distils]
    paces = _paces([*trainings, *map(_asked_teacher, asked)])
    seconds, unknown = 0.0, 0
    for one in trainings:
        pace = paces[_pace_key(one)]
        unknown += pace is None
        seconds += 0.0 if pace is None else seconds_of_fit(one.experiment, one.dataset, pace)
    for one in asked:  # what is stored already is found, so it is less where another study asked before
        teacher, overlap = _asked_teacher(one), one.experiment.teacher_overlap
        pace = paces[_pace_key(teacher)]
        seconds += 0.0 if pace is None else seconds_of_answers(teacher.experiment, one.dataset, overlap, pace)
    left = f", {unknown} trainings not counted, since a step could not be timed" if unknown else ""
    time_said = f"about {_duration(seconds / at_a_time)} of training and evaluation{left}"
    print(f"Needed: {time_said}; {bytes_text(needed)} of disk at most.", flush=True)


def _asked_teacher(one: _Ready) -> _Ready:
    """The teacher of a training, as it computes there."""
    run = workspace().run_at(Path(one.experiment.distillation.teachers[0]).parent)
    return replace(one, experiment=computing_on(run.experiment, one.experiment.compute))


def _paces(trainings: Sequence[_Ready]) -> dict[str, float | None]:
    """Seconds per step by what decides them, each measured once on a machine."""
    different = {_pace_key(one): one for one in trainings}
    found: dict[str, float | None] = {}
    for key in different:
        kept = workspace().cost(key)
        if kept.exists():
            found[key] = json.loads(kept.read_text(encoding="utf-8"))["seconds_per_step"]
    unknown = [key for key in different if key not in found]
    gpu = any(different[key].experiment.compute.gpu for key in unknown)
    cores = max((different[key].experiment.compute.cpus_per_worker or 1 for key in unknown), default=1)
    task = functools.partial(_pace, different)
    for key, pace in zip(unknown, map_tasks(task, unknown, label="timing steps", cpus=cores, gpu=gpu), strict=True):
        write_json(workspace().cost(key), {"seconds_per_step": pace})
        found[key] = pace
    return found


def _pace(different: Mapping[str, _Ready], key: str) -> float | None:
    if different[key].experiment.prompted:  # it sees slices and organs, of which nobody knows the number yet
        return None
    return seconds_per_step(different[key].experiment, different[key].dataset.num_classes)


def _pace_key(one: _Ready) -> str:
    experiment = one.experiment
    model = experiment.model.model_dump(mode="json", exclude={"checkpoint"})
    training = experiment.training.model_dump(mode="json", include={"batch", "precision", "optimizer"})
    compute = experiment.compute.model_dump(
        mode="json", include={"gpu", "cpus_per_worker", "accumulate", "activation_checkpointing"}
    )
    return content_hash("pace", model, training, compute, one.dataset.num_classes, machine(torch.device("cpu")))


def _store_answers(each: _ReadyCell) -> None:
    """Ask a teacher now, once, and not in each of the cells that start together."""
    for one in each.missing:
        if one.experiment.distils:
            supervision_of(one.experiment, one.dataset, workspace())


def _make(each: _ReadyCell) -> CellResult:
    """Train and evaluate what of a cell is not there; the reason in its place where that fails."""
    cell = each.cell
    members: list[MemberResult] = []
    reason = ""
    for one in each.members:
        try:
            members.append(_member(one))
        except UserError as error:
            print(f"{_place(cell)}: {error}", flush=True)
            reason = f"{f'{one.label}: ' if one.label else ''}{error}"
        except Exception as error:  # one cell must not stop the others, and its log has the whole of it
            traceback.print_exc()
            reason = f"{type(error).__name__}: {error}"
    return CellResult(
        row=cell.row,
        column=cell.column,
        members=tuple(members),
        wanted=len(each.members),
        parameters=each.parameters,
        reason=reason.rstrip("."),
        oracle=each.oracle,
    )


def _member(one: _Ready) -> MemberResult:
    dataset, result = trained(one.experiment)
    summary = evaluated(result.run, dataset, "test")
    card = result.run.card
    return MemberResult(
        label=one.label,
        run=result.run.name,
        seed=one.experiment.training.seed,
        dice=_known(summary.mean_dice),
        nsd=_known(summary.mean_nsd),
        cases=(len(dataset.cases("train")), len(dataset.cases("val")), len(dataset.cases("test"))),
        split=content_hash(card.split),
        weights=card.weights_hash or "",
        steps=0 if one.experiment.untuned else steps_of(one.experiment, dataset),
        patch=one.experiment.model.patch_DHW,
        batch=one.experiment.training.batch * one.experiment.compute.workers,
        seconds=(card.model_extra or {}).get("training_seconds"),
    )


def _with(plan: StudyPlan, folder: StudyFolder, results: StudyResults, cell: CellResult) -> StudyResults:
    """The results with another cell, written at once: a study that is killed has lost nothing that was done."""
    cells = tuple(cell if (each.row, each.column) == (cell.row, cell.column) else each for each in results.cells)
    results = results.model_copy(update={"cells": cells})
    found = [
        each
        for column in plan.columns
        for each in differences(
            plan.study,
            column,
            {
                one.row: merged([read_rows(workspace().run(member.run).evaluation().metrics) for member in one.members])
                for one in cells
                if one.column == column and one.whole
            },
        )
    ]
    results = results.model_copy(update={"differences": tuple(found)})
    write_study(folder, results)
    return results


def _show(results: StudyResults) -> None:
    if results.has_table:
        rich.print(_as_table(results))
    for note in notes(results):
        print(note)


def _as_table(results: StudyResults) -> Table:
    table = Table(title=results.study.title, box=SIMPLE_HEAD)
    for index, name in enumerate(headers(results)):
        table.add_column(name, justify="right" if index else "left")
    for line in lines(results):
        table.add_row(*line)
    return table


def _place(cell: Cell) -> str:
    return f"{cell.row}, {cell.column}"


def _known(value: float) -> float | None:
    return None if value != value else value  # NaN is not equal to itself


def _duration(seconds: float) -> str:
    minutes = max(seconds / 60, 1)
    return f"{minutes:.0f} minute{'s' if minutes >= 1.5 else ''}" if minutes < 120 else f"{minutes / 60:.1f} hours"
