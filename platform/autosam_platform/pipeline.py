"""What the jobs have in common: data prepared, a model fitted, cases evaluated; each step found where it is done."""

import errno
import functools
import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import rich
import torch
from tqdm import tqdm

from autosam_platform.cluster import map_tasks
from autosam_platform.config import CommandLine, ConfigError, DatasetSection, Experiment, parse_job
from autosam_platform.data.description import DatasetDescription, DescriptionError, Split, load_description
from autosam_platform.data.nifti import ScanError
from autosam_platform.data.phantom import PHANTOM_VERSION, write_phantom
from autosam_platform.data.preparation import IncompleteDatasetError, Preparation, PreparedDataset, prepare
from autosam_platform.data.readers import Case, DatasetError
from autosam_platform.distillation.compared import STUDENT, TEACHER, TWIN, Compared, Label
from autosam_platform.distillation.fit import fit_student
from autosam_platform.distillation.report import Report, matched_report
from autosam_platform.distillation.teacher import MismatchError
from autosam_platform.evaluation.cost import ModelCost, cost_of
from autosam_platform.evaluation.evaluate import EvaluationError, evaluate_cases
from autosam_platform.evaluation.seconds import as_line
from autosam_platform.evaluation.table import Summary, as_table, read_rows
from autosam_platform.files import content_hash, workspace, write_json
from autosam_platform.inference.model_folder import CARD, WEIGHTS, ModelCard, ModelFolderError, files_hash, read_card
from autosam_platform.measure import machine
from autosam_platform.tracking import TrackingError, open_run, read_curves
from autosam_platform.training.curves import save_curves
from autosam_platform.training.launch import FitResult, TrainingStopped
from autosam_platform.training.size import ModelSettingsError, count_parameters

# What a person can put right: shown without a traceback. Anything else is our fault and keeps its traceback.
_EXPLAINED = (
    ConfigError,
    ConnectionError,
    DatasetError,
    DescriptionError,
    EvaluationError,
    IncompleteDatasetError,
    MismatchError,
    ModelFolderError,
    ModelSettingsError,
    ScanError,
    TrackingError,
    TrainingStopped,
)


@dataclass(frozen=True)
class Outcome:
    """What a job leaves: the place to look at, and the numbers of its last line."""

    place: Path
    numbers: dict[str, Any]


def run_job(work: Callable[[], Outcome], told: CommandLine) -> None:
    """Do the work of a job; its last line says where the result is, or is the result as one JSON object.

    Args:
        told: the job's command line.

    Raises:
        SystemExit: status 1 after a message, where the job could not be done for a reason that can be put right.
    """
    try:
        outcome = work()
    except _EXPLAINED as error:
        print(f"\n{error}", file=sys.stderr)
        raise SystemExit(1) from error
    except OSError as error:
        cause = getattr(error, "cause", error)  # what a Ray task raised comes wrapped
        if cause.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        place = cause.filename or workspace()
        print(f"\nThe disk is full ({place}): make room, and the same command continues.", file=sys.stderr)
        raise SystemExit(1) from error
    except KeyboardInterrupt:
        print("\nInterrupted: the same command continues from here.", file=sys.stderr)
        raise SystemExit(130) from None
    if told.as_json:
        print(json.dumps(outcome.numbers | {"place": str(outcome.place)}, allow_nan=False))
    else:
        print(f"Result: {outcome.place}")


def prepared_dataset(section: DatasetSection) -> PreparedDataset:
    """The dataset of an experiment, made and prepared where that is not done yet."""
    description = load_description(section.name)
    root = section.root or _phantoms(description, section.phantom_seed)
    return prepare(description, root, Preparation(spacing_xyz=section.spacing_xyz), workspace())


def train_and_evaluate(experiment: Experiment) -> Outcome:
    """Prepare, fit and evaluate on the test cases, if there are any.

    Raises:
        ConfigError: a teacher is named, which is what jobs/distill_student.py is for.
    """
    if experiment.distils:
        raise ConfigError(
            f"a teacher is named ({experiment.distillation.teacher}), and this job trains without one: start "
            "jobs/distill_student.py, or add --kd-lambda 1"
        )
    started = time.monotonic()
    dataset, result = trained(experiment)
    numbers: dict[str, Any] = {"run": result.run_id}
    if dataset.cases("test"):
        numbers |= evaluated(result.folder, dataset, "test", experiment.inference.overlap).as_json()
    else:
        print(f"{dataset.name} has no test cases, so nothing was evaluated; jobs/evaluate.py --split val does.")
    numbers["minutes"] = round((time.monotonic() - started) / 60, 2)
    print(f"This took {numbers['minutes']:.1f} minutes.", flush=True)
    return Outcome(result.folder, numbers)


def distil(experiment: Experiment, recipes: Path) -> Outcome:
    """Fit a student with its teacher, and its twin without one; compare the three on the test cases, if there are any.

    The twin has the same student, split, seeds and steps: it is the run of λ = 1.

    Raises:
        ConfigError: no teacher is named, or there is none of this name.
    """
    started = time.monotonic()
    if experiment.distillation.teacher is None:
        raise ConfigError("no teacher is named: add --teacher RUN (a finished run, its folder, or a recipe)")
    experiment = with_teacher(experiment, recipes)
    dataset, student = trained(experiment)
    alone = experiment.distillation.model_copy(update={"kd_lambda": 1.0})
    _, twin = trained(experiment.model_copy(update={"distillation": alone}))
    numbers: dict[str, Any] = {"run": student.run_id, "twin": twin.run_id}
    if dataset.cases("test"):
        report = _compared(experiment, dataset, student, twin)
        rich.print(report.as_table())
        print(f"Report: {student.folder / 'report'}", flush=True)
        numbers |= report.as_json()
    else:
        print(f"{dataset.name} has no test cases, so there is nothing to compare on.")
    numbers["minutes"] = round((time.monotonic() - started) / 60, 2)
    print(f"This took {numbers['minutes']:.1f} minutes.", flush=True)
    return Outcome(student.folder, numbers)


def _compared(experiment: Experiment, dataset: PreparedDataset, student: FitResult, twin: FitResult) -> Report:
    """The matched report in the student's folder and in its record."""
    assert experiment.distillation.teacher is not None  # there would be no distillation
    overlap = experiment.inference.overlap
    parts: dict[Label, Path] = {TEACHER: Path(experiment.distillation.teacher), TWIN: twin.folder / "model"}
    if student.folder != twin.folder:
        parts[STUDENT] = student.folder / "model"
    scan = split_cases(dataset, "test")[0].image
    models = []
    for label, model in parts.items():
        card = read_card(model)
        # A run's own evaluation stays what it is; ours of it may have other cases or windows.
        own = model.parent.parent == workspace() / "runs" and card.data_fingerprint == dataset.fingerprint
        folder = (model.parent if own and card.overlap == overlap else student.folder / label) / "evaluation"
        summary = _scored(model, dataset, folder, overlap)
        cost, rows = _cost(model, scan, overlap), read_rows(folder / "metrics.csv")
        models.append(Compared(label, card.run_id, rows, summary, cost, _lineage(card)))
    place = student.folder / "report"
    report = matched_report(place, models)
    run = open_run(workspace(), student.run_id, tags={}, params={})
    run.add_file(place, place.name)
    run.finish()
    return report


def _scored(model: Path, dataset: PreparedDataset, folder: Path, overlap: float) -> Summary:
    """Evaluate a model on the test cases; in its run's record too, if that is where ``folder`` lies."""
    if folder == model.parent / "evaluation":
        return evaluated(model.parent, dataset, "test", overlap)
    return evaluate_cases(model, split_cases(dataset, "test"), dataset.description, folder, overlap=overlap)


def _cost(model: Path, scan: Path, overlap: float) -> ModelCost:
    """What the model costs on this machine's CPU; measured once."""
    made_of = content_hash(files_hash(model), scan, overlap, machine(torch.device("cpu")))
    kept = workspace() / "costs" / f"{made_of}.json"
    if kept.exists():
        return ModelCost.from_json(json.loads(kept.read_text(encoding="utf-8")))
    print(f"Measuring what {model.parent.name} costs on a CPU", flush=True)
    with tqdm(desc="windows", file=sys.stdout, ascii=" =", mininterval=15) as bar:

        def show(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        cost = cost_of(model, scan, overlap, progress=show)
    write_json(kept, cost.as_json())
    return cost


def _lineage(card: ModelCard) -> dict[str, str]:
    """What a model was made from: its teacher and λ if it had one, data and split."""
    return {**card.lineage, "data_fingerprint": card.data_fingerprint or "", "split": content_hash(card.split)}


def trained(experiment: Experiment) -> tuple[PreparedDataset, FitResult]:
    """Prepare and fit; each found where it is done.

    Raises:
        ModelSettingsError: the model cannot be built as described; said before anything is made for it.
    """
    count_parameters(experiment, load_description(experiment.dataset.name).num_classes)
    dataset = prepared_dataset(experiment.dataset)
    dataset.require_complete(allow_rejected=experiment.dataset.allow_rejected)
    result = fit_student(experiment, dataset, workspace())
    state = "was trained before and is found" if result.found else "is trained"
    print(f"{result.run_id} {state}: {result.folder / 'model'}", flush=True)
    return dataset, result


def with_teacher(experiment: Experiment, recipes: Path) -> Experiment:
    """The experiment with the folder of its teacher's model in place of a run's or a recipe's name.

    A teacher that is named by the recipe that trains it is trained now, if that is not done.

    Raises:
        ConfigError: there is no such folder, run or recipe.
    """
    name = experiment.distillation.teacher
    if name is None:
        return experiment
    place = Path(name).parent if Path(name).name == WEIGHTS else Path(name)
    if (place / CARD).is_file() and (place / WEIGHTS).is_file():
        model = place.absolute()
    elif (recipes / f"{name}.yaml").is_file():
        model = trained(parse_job(["--recipe", name], recipes, description="").experiment())[1].folder / "model"
    else:
        model = finished_run(name) / "model"
    section = experiment.distillation.model_copy(update={"teacher": str(model)})
    return experiment.model_copy(update={"distillation": section})


def evaluated(run_folder: Path, dataset: PreparedDataset, split: Split, overlap: float | None = None) -> Summary:
    """Evaluate a finished run on a split: files in the run's folder, numbers in its record, a table on the screen."""
    folder = run_folder / ("evaluation" if split == "test" else f"evaluation-{split}")
    cases = split_cases(dataset, split)
    summary = evaluate_cases(run_folder / "model", cases, dataset.description, folder, overlap=overlap)
    _record(run_folder, folder, split, summary)
    rich.print(as_table(summary, f"{run_folder.name}: {split} cases of {dataset.name}"))
    print(f"Seconds per case, median of {summary.n_cases}: {as_line(summary.seconds_per_case)}")
    print(f"Predictions: {folder / 'predictions'}\nPictures:    {folder / 'pictures'}", flush=True)
    return summary


def split_cases(dataset: PreparedDataset, split: Split) -> list[Case]:
    """The scans and truths that the usable cases of a split were prepared from."""
    return [
        Case(each.case_id, Path(each.record.image), Path(each.record.label) if each.record.label else None, (split,))
        for each in dataset.cases(split)
    ]


def finished_run(name: str | None) -> Path:
    """The folder of a finished run: by its name, by a path, or the newest.

    Raises:
        ConfigError: there is none; the message says which there are.
    """
    runs = workspace() / "runs"
    done = sorted(runs.glob("*/model/model.json"), key=lambda path: path.stat().st_mtime)
    if name is None:
        if not done:
            raise ConfigError(f"there is no finished run in {runs}: python jobs/train_teacher.py makes one")
        return done[-1].parent.parent
    for folder in (runs / name, Path(name)):
        if (folder / "model" / "model.json").exists():
            return folder.absolute()
    names = ", ".join(path.parent.parent.name for path in done) or "none"
    raise ConfigError(f"'{name}' is no finished run; in {runs} there are: {names}")


def _phantoms(description: DatasetDescription, seed: int) -> Path:
    """Folder of the phantoms, as many as the description's split names; those that are there are kept."""
    assert description.split.rule == "in_order"  # the phantom's own description says so
    count = sum(part.cases for part in description.split.parts)
    folder = workspace() / "datasets" / f"phantom-{content_hash(PHANTOM_VERSION, seed, count)[:8]}"
    map_tasks(functools.partial(_phantom, folder, seed), range(1, count + 1), label="making phantoms")
    return folder


def _phantom(folder: Path, seed: int, number: int) -> None:
    write_phantom(folder, number, seed * 10_000 + number)


def _record(run_folder: Path, folder: Path, split: Split, summary: Summary) -> None:
    """Put the evaluation into the run's record, unless it is there."""
    run = open_run(workspace(), run_folder.name, tags={}, params={})
    made_of = content_hash(folder / "metrics.csv", folder / "seconds.csv")
    if run.tags().get(f"autosam.evaluation.{split}") != made_of:
        prefix = "test" if split == "test" else f"evaluation-{split}"  # val/dice/… are the curves of validation
        numbers = {f"{prefix}/mean_dice": summary.mean_dice, f"{prefix}/mean_nsd": summary.mean_nsd}
        numbers[f"{prefix}/mean_hd95_mm"] = summary.mean_hd95_mm
        for name, score in summary.per_class.items():
            numbers |= {f"{prefix}/dice/{name}": score.dice, f"{prefix}/nsd/{name}": score.nsd}
            numbers[f"{prefix}/hd95_mm/{name}"] = score.hd95_mm
        numbers |= {f"{prefix}/seconds/{name}": value for name, value in summary.seconds_per_case.items()}
        run.log(numbers, step=0)
        save_curves(run_folder / "curves.png", read_curves(workspace(), run_folder.name), run_folder.name)
        run.add_file(run_folder / "curves.png")
        run.add_file(folder, folder.name)
        run.tag({f"autosam.evaluation.{split}": made_of})
    run.finish()
