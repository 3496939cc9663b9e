"""A student with its teacher, its twin without one, and what came of both."""

import functools
import json
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import rich
import torch
from tqdm import tqdm

from autosam_inference.card import CARD, WEIGHTS, files_hash
from autosam_inference.files import content_hash, write_json
from autosam_inference.several import ModelFolders
from autosam_platform.command_line import parse_job
from autosam_platform.data.description import load_description
from autosam_platform.data.object_store import on_disk
from autosam_platform.data.preparation import PreparedDataset
from autosam_platform.distillation.answer_files import AnswerError
from autosam_platform.distillation.compared import Compared
from autosam_platform.distillation.file_scores import scored_files
from autosam_platform.distillation.file_teacher import FileTeacher
from autosam_platform.distillation.fit import supervision_of
from autosam_platform.distillation.labels import STUDENT, TEACHER, TWIN, Label
from autosam_platform.distillation.report import METRICS, Report, matched_report
from autosam_platform.distillation.unlabelled import REST, prepare_unlabelled
from autosam_platform.evaluation.cost import ModelCost, cost_of
from autosam_platform.evaluation.evaluate import evaluate_cases
from autosam_platform.evaluation.statistics import GainOverSeeds, Metric, PairedComparison, over_seeds
from autosam_platform.evaluation.table import Summary, read_rows
from autosam_platform.experiment import ConfigError, Experiment, answer_files
from autosam_platform.measure import machine
from autosam_platform.pipeline.at_once import Work, at_once, computing_on, shared_cluster
from autosam_platform.pipeline.ending import Outcome
from autosam_platform.pipeline.steps import evaluated, finished_run, prepared_dataset, split_cases, trained
from autosam_platform.places import StoreAddress
from autosam_platform.tracking.writing import open_run
from autosam_platform.training.fitting import FitResult, find_fit
from autosam_platform.training.size import count_parameters
from autosam_platform.tuning.plan import disk_needed, require_room
from autosam_platform.workspace import EvaluationFolder, workspace


def distil(experiment: Experiment, recipes: Path, seeds: int = 1, concurrent: int | None = None) -> Outcome:
    """Fit a student with its teacher, and its twin without one; compare the three on the test cases, if there are any.

    The twin has the same student, split, seeds and steps: it is the run of λ = 1. With several seeds, from the
    experiment's own on, each has its own pair; the teacher is the same for all, and so are the cases. What one seed
    says of a small gain is chance, so what they come to together is written into the first student's report.

    Args:
        concurrent: trainings at a time; where not said, as many as the cluster holds.

    Raises:
        ConfigError: no teacher is named, or there is none of this name.
        ModelSettingsError: the student cannot be built as described; said before its teacher is trained.
        PlanError: the cluster or the disk are too small.
    """
    started = time.monotonic()
    if experiment.distillation.teacher is None:
        raise ConfigError("no teacher is named: add --teacher RUN (a finished run, its folder, or a recipe)")
    count_parameters(experiment, load_description(experiment.dataset.name).num_classes)
    experiment = with_unlabelled(with_teacher(experiment, recipes))
    of_seeds = [_with_seed(experiment, experiment.training.seed + each) for each in range(seeds)]
    _train_at_once([each for student in of_seeds for each in (student, _alone(student))], concurrent)
    outcomes = [_distilled(student) for student in of_seeds]
    minutes = round((time.monotonic() - started) / 60, 2)
    first = replace(outcomes[0], numbers=outcomes[0].numbers | {"minutes": minutes})
    pair = f"{STUDENT} vs {TWIN}"
    if seeds > 1 and pair in first.numbers.get("wilcoxon", {}):
        found = _over_seeds([each.numbers for each in outcomes], pair)
        place = workspace().run(first.numbers["run"]).report_over_seeds
        write_json(place, found)
        print(f"Over the seeds: {place}", flush=True)
        first = replace(first, numbers=first.numbers | {"over_seeds": found})
    print(f"This took {minutes:.1f} minutes.", flush=True)
    return first


def _train_at_once(experiments: Sequence[Experiment], concurrent: int | None) -> None:
    """Train what is missing of students and twins beside one another, where the cluster holds more than one of them.

    Otherwise nothing is done: whoever asks for each in turn trains it. A failure is said when it happens, and is raised
    when the others are done.
    """
    dataset = prepared_dataset(experiments[0].dataset)
    dataset.require_complete(allow_rejected=experiments[0].dataset.allow_rejected)
    fits = [(each, find_fit(each, dataset, workspace())) for each in experiments]
    missing = {fit.run.name: (each, fit.run) for each, fit in fits if not fit.found}
    if len(missing) < 2:
        return
    shared = shared_cluster(experiments[0].compute, len(missing), concurrent, "training")
    if shared.at_a_time == 1:
        return
    print(f"{len(missing)} trainings: {shared.said}", flush=True)
    counts = [count_parameters(experiments[0], dataset.num_classes)]
    require_room(disk_needed(counts, len(missing), shared.at_a_time), workspace().folder)
    taught = next((each for each, _ in missing.values() if each.distils), None)
    if taught is not None:
        supervision_of(taught, dataset, workspace())  # the teacher is asked once, and not by each of them
    works = [
        Work(name, functools.partial(_trained, computing_on(each, shared.compute)), run.log, (run,))
        for name, (each, run) in missing.items()
    ]
    failure: Exception | None = None
    for index, result_of in at_once(works, shared.at_a_time):
        try:
            result_of()
            print(f"{works[index].place} is trained", flush=True)
        except Exception as error:  # raised below, when the others are done
            print(f"{works[index].place}: {error}", flush=True)
            failure = failure or error
    if failure is not None:
        raise failure


def _trained(experiment: Experiment) -> None:
    trained(experiment)


def _alone(student: Experiment) -> Experiment:
    """The student's twin."""
    section = student.distillation.model_copy(update={"kd_lambda": 1.0})
    return student.model_copy(update={"distillation": section})


def _distilled(experiment: Experiment) -> Outcome:
    """One seed's student and twin, compared where there are test cases."""
    dataset, student = trained(experiment)
    _, twin = trained(_alone(experiment))
    numbers: dict[str, Any] = {"run": student.run.name, "twin": twin.run.name}
    if dataset.cases("test"):
        report = _compared(experiment, dataset, student, twin)
        rich.print(report.as_table())
        print(f"Report: {student.run.report}", flush=True)
        numbers |= report.as_json()
    else:
        print(f"{dataset.name} has no test cases, so there is nothing to compare on.")
    return Outcome(student.run.folder, numbers)


def _over_seeds(numbers: Sequence[Mapping[str, Any]], pair: str) -> dict[str, Any]:
    """What ``pair`` comes to over the reports of several seeds, said and as JSON."""
    gains: dict[Metric, GainOverSeeds] = {
        metric: over_seeds([PairedComparison.of_json(each["wilcoxon"][pair][metric]) for each in numbers])
        for metric in METRICS
    }
    for metric, gain in gains.items():
        print(f"{pair} over {len(numbers)} seeds, {METRICS[metric]}: {gain}")
    return {"runs": [each["run"] for each in numbers]} | {name: gain.as_json() for name, gain in gains.items()}


def _with_seed(experiment: Experiment, seed: int) -> Experiment:
    return experiment.model_copy(update={"training": experiment.training.model_copy(update={"seed": seed})})


def with_teacher(experiment: Experiment, recipes: Path) -> Experiment:
    """The experiment with the folder of its teacher's model in place of a run's or a recipe's name; of several, all.

    A teacher that is named by the recipe that trains it is trained now, if that is not done.

    Raises:
        ConfigError: there is no such folder, run or recipe; two teachers are one, or one of several is files.
    """
    name = experiment.distillation.teacher
    if name is None:
        return experiment
    names = workspace().teachers(name)
    models = {each: str(_folder_of(each, recipes)) for each in names}
    if len(names) > 1:
        _require_different(names, models)
    section = experiment.distillation.model_copy(update={"teacher": ",".join(models.values())})
    return experiment.model_copy(update={"distillation": section})


def _folder_of(name: str, recipes: Path) -> Path:
    """The folder of a teacher's model, trained now where a recipe is named and that is not done; or that of files."""
    place = workspace().resolve(name)
    place = place.parent if place.name == WEIGHTS else place
    if (place / CARD).is_file() and (place / WEIGHTS).is_file():
        return place.absolute()
    if (recipes / f"{name}.yaml").is_file():
        return trained(parse_job(["--recipe", name], recipes, description="").experiment())[1].run.model
    if answer_files(place.expanduser()):
        return place.expanduser().absolute()
    if place.exists() and not any(run.finished for run in (workspace().run(name), workspace().run_at(place))):
        raise ConfigError(
            f"{name} is no teacher: it holds neither a model ({CARD} and {WEIGHTS}, or a finished run's model/) nor "
            "label maps called as the cases are (CASE.nii.gz)"
        )
    return finished_run(name).model


def _require_different(names: Sequence[str], models: Mapping[str, str]) -> None:
    """Refuse several teachers of which one would count twice, or whose folders cannot be told apart in a record."""
    known: dict[str, str] = {}
    for name in names:
        if "," in models[name]:
            raise ConfigError(f"{models[name]} has a comma, which stands between several teachers: rename the folder")
        if answer_files(Path(models[name])):
            raise ConfigError(f"the files in {name} can only teach alone: name one teacher, or several models")
        hashed = files_hash(Path(models[name]))
        if hashed in known:
            raise ConfigError(
                f"the teachers {known[hashed]} and {name} are the same model, which would count twice: name it once"
            )
        known[hashed] = name


def with_unlabelled(experiment: Experiment) -> Experiment:
    """The experiment with the manifest of its prepared scans without labels in place of their folder.

    Raises:
        ConfigError: there is neither a folder nor a source of that name.
        DatasetError, UnlabelledError: the folder's scans cannot be used.
    """
    name = experiment.distillation.unlabelled
    if name is None or experiment.distillation.teacher is None:
        return experiment
    dataset = prepared_dataset(experiment.dataset)
    sources = [each.name for each in dataset.description.sources if not each.labels]
    place = on_disk(workspace().resolve(name) if StoreAddress.parse(name) is None else name, workspace())
    if name in (REST, *sources) or (place.is_file() and place.suffix == ".json"):
        return experiment
    if not place.expanduser().is_dir():
        known = f"; its sources without labels are {', '.join(sources)}" if sources else ""
        raise ConfigError(f"--unlabelled {name} is no folder, not '{REST}' and no source of {dataset.name}{known}")
    found = prepare_unlabelled(dataset, place.expanduser().absolute(), workspace())
    section = experiment.distillation.model_copy(update={"unlabelled": str(found.manifest)})
    return experiment.model_copy(update={"distillation": section})


def _compared(experiment: Experiment, dataset: PreparedDataset, student: FitResult, twin: FitResult) -> Report:
    """The matched report in the student's folder and in its record."""
    assert experiment.distillation.teacher is not None  # there would be no distillation
    overlap = experiment.inference.overlap
    parts: dict[Label, ModelFolders] = {TWIN: ModelFolders.of(twin.run.model)}
    if student.run != twin.run:
        parts[STUDENT] = ModelFolders.of(student.run.model)
    teachers = [Path(each) for each in experiment.distillation.teachers]
    models: list[Compared] = []
    if answer_files(teachers[0]):
        models += _files_scored(teachers[0], dataset, student.run.evaluation_of(TEACHER))
    else:
        parts[TEACHER] = ModelFolders.of(*teachers)
    scan = split_cases(dataset, "test")[0].image
    for label, model in parts.items():
        folder, summary = _scored(model, dataset, student.run.evaluation_of(label), overlap)
        cost, rows = _cost(model, scan, overlap), read_rows(folder.metrics)
        models.append(Compared(label, model.card.run_id, rows, summary, cost, _lineage(model)))
    report = matched_report(student.run, models)
    record = open_run(workspace(), student.run.name, tags={}, params={})
    record.add_file(student.run.report, student.run.report.name)
    record.finish()
    return report


def _files_scored(files: Path, dataset: PreparedDataset, folder: EvaluationFolder) -> list[Compared]:
    """What a teacher of files scores; nothing where it does not have all test cases, which teach nobody."""
    try:
        teacher = FileTeacher.of(files, dataset, workspace())
        return [scored_files(teacher, split_cases(dataset, "test"), dataset.description, folder)]
    except AnswerError as error:
        print(f"The report has no column for the teacher, since {error}", flush=True)
        return []


def _scored(
    model: ModelFolders, dataset: PreparedDataset, other: EvaluationFolder, overlap: float
) -> tuple[EvaluationFolder, Summary]:
    """Evaluate a model, or the mean of several, on the test cases, and say where.

    A run's own evaluation stays what it is, and is found, in its record too; ours of it may have other cases or windows
    and goes to ``other``.
    """
    run = workspace().run_at(model.folders[0].parent)
    own = len(model.folders) == 1 and run == workspace().run(run.name)
    if own and model.card.data_fingerprint == dataset.fingerprint and model.card.overlap == overlap:
        return run.evaluation(), evaluated(run, dataset, "test", overlap)
    cases = split_cases(dataset, "test")
    return other, evaluate_cases(model, cases, dataset.description, other, overlap=overlap)


def _cost(model: ModelFolders, scan: Path, overlap: float) -> ModelCost:
    """What the model costs on this machine's CPU; measured once."""
    made_of = content_hash(model.hash, scan, overlap, machine(torch.device("cpu")))
    kept = workspace().cost(made_of)
    if kept.exists():
        return ModelCost.from_json(json.loads(kept.read_text(encoding="utf-8")))
    print(f"Measuring what {model.card.run_id} costs on a CPU", flush=True)
    with tqdm(desc="windows", file=sys.stdout, ascii=" =", mininterval=15) as bar:

        def show(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        cost = cost_of(model, scan, overlap, progress=show)
    write_json(kept, cost.as_json())
    return cost


def _lineage(model: ModelFolders) -> dict[str, str]:
    """What a model was made from: its teacher and λ if it had one, data and split; of several each one's data."""
    cards = model.cards
    data = ", ".join(dict.fromkeys(card.data_fingerprint or "" for card in cards))
    split = ", ".join(dict.fromkeys(content_hash(card.split) for card in cards))
    return {**model.card.lineage, "data_fingerprint": data, "split": split}
