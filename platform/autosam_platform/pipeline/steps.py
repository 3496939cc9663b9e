"""What the jobs have in common: data prepared, a model fitted, cases evaluated; each step found where it is done."""

import functools
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import rich

from autosam_inference.bundle import is_bundle
from autosam_inference.card import ModelFolderError
from autosam_inference.files import content_hash
from autosam_inference.included import included_model, named_included
from autosam_platform.cluster import map_tasks
from autosam_platform.data.cases import listed
from autosam_platform.data.description import DatasetDescription, load_description
from autosam_platform.data.overview import same_scan
from autosam_platform.data.phantom import PHANTOM_VERSION, SCHEMAS, has_phantom, write_phantom
from autosam_platform.data.preparation import (
    IncompleteDatasetError,
    Preparation,
    PreparedDataset,
    prepare,
    with_labelled,
)
from autosam_platform.data.readers import Case
from autosam_platform.data.splits import Folds, Split
from autosam_platform.data.store import StoredCase
from autosam_platform.distillation.fit import fit_student
from autosam_platform.evaluation.evaluate import evaluate_cases
from autosam_platform.evaluation.seconds import as_line
from autosam_platform.evaluation.table import Summary, as_table, sources_table
from autosam_platform.experiment import ConfigError, DatasetSection, Experiment
from autosam_platform.locks import locked
from autosam_platform.pipeline.ending import Outcome
from autosam_platform.prompted.fit import fit_prompted
from autosam_platform.prompted.predictor import PromptedPredictor
from autosam_platform.tracking.writing import open_run, read_curves
from autosam_platform.training.curves import save_curves
from autosam_platform.training.fitting import FitResult
from autosam_platform.training.size import count_parameters
from autosam_platform.workspace import EvaluationFolder, NamedModel, RunFolder, Workspace, workspace


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
    numbers: dict[str, Any] = {"run": result.run.name}
    if dataset.cases("test"):
        numbers |= evaluated(result.run, dataset, "test").as_json()
    else:
        print(f"{dataset.name} has no test cases, so nothing was evaluated; jobs/evaluate.py --split val does.")
    numbers["minutes"] = round((time.monotonic() - started) / 60, 2)
    print(f"This took {numbers['minutes']:.1f} minutes.", flush=True)
    return Outcome(result.run.folder, numbers)


def trained(experiment: Experiment) -> tuple[PreparedDataset, FitResult]:
    """Prepare and fit; each found where it is done.

    Raises:
        ModelSettingsError: the model cannot be built as described; said before anything is made for it.
        TrainingStopped: the cluster is too small for it; said before, too, unless such a run may be there.
    """
    count_parameters(experiment, load_description(experiment.dataset.name).num_classes)
    known = (run for run in workspace().run_folders if run.name.startswith(f"{experiment.name}-"))
    if not experiment.untuned and not any(run.finished for run in known):
        from autosam_platform.training.on_ray import resources_of

        resources_of(experiment)
    dataset = prepared_dataset(experiment.dataset)
    dataset.require_complete(allow_rejected=experiment.dataset.allow_rejected)
    fitted = fit_prompted if experiment.prompted else fit_student
    result = fitted(experiment, dataset, workspace())
    done, before = ("is there", "was there") if experiment.untuned else ("is trained", "was trained")
    state = f"{before} before and is found" if result.found else done
    print(f"{result.run.name} {state}: {result.run.model}", flush=True)
    return dataset, result


def dataset_to_evaluate(
    run: RunFolder, other: str | None = None, root: Path | None = None
) -> tuple[PreparedDataset, str | None]:
    """The run's own dataset, or another one, at the run's spacing.

    Args:
        other: name or file of the description of another dataset.
        root: folder of its raw scans.

    Returns:
        The dataset; and, of another one, what its results are told apart by in the run's folder.
    """
    own = run.experiment.dataset
    if other is None:
        return prepared_dataset(own), None
    spacing_xyz = own.spacing_xyz or load_description(own.name).spacing_xyz
    dataset = prepared_dataset(DatasetSection(name=other, root=root, spacing_xyz=spacing_xyz))
    return dataset, f"{dataset.name}-{dataset.fingerprint[:8]}"


def evaluated(
    run: RunFolder, dataset: PreparedDataset, split: Split, overlap: float | None = None, other: str | None = None
) -> Summary:
    """Evaluate a finished run on a split: files in the run's folder, numbers in its record, a table on the screen.

    Args:
        other: of a dataset that is not the run's own, see ``dataset_to_evaluate``.

    Raises:
        ConfigError: see ``require_windows`` and ``require_unseen``.
    """
    require_windows(run, overlap)
    require_unseen(run, dataset, split, other)
    folder = run.evaluation(split, other)
    cases = split_cases(dataset, split)
    model = PromptedPredictor.of(run.model) if run.prompted else run.model
    with locked(folder.lock):  # by which pages tell that it goes on
        summary = evaluate_cases(model, cases, dataset.description, folder, overlap=overlap)
    _record(run, folder, f"{other}-{split}" if other else split, summary)
    rich.print(as_table(summary, f"{run.name}: {split} cases of {dataset.name}"))
    if summary.per_source:
        rich.print(sources_table(summary))
    print(f"Seconds per case, median of {summary.n_cases}: {as_line(summary.seconds_per_case)}")
    print(f"Predictions: {folder.predictions}\nPictures:    {folder.pictures}", flush=True)
    return summary


def require_windows(run: RunFolder, overlap: float | None) -> None:
    """Refuse an overlap of a run that has no windows.

    Raises:
        ConfigError: an overlap is given of a run that is asked slice by slice.
    """
    if run.prompted and overlap is not None:
        raise ConfigError(f"{run.name} is asked slice by slice, so no windows overlap: leave --overlap out")


_LEARNT: dict[Split, tuple[Split, ...]] = {"train": ("train",), "val": ("train",), "test": ("train", "val")}
"""By the split that is asked for: the parts of a run's own split that it has learnt from, in one way or another."""


def require_unseen(run: RunFolder, dataset: PreparedDataset, split: Split, other: str | None = None) -> None:
    """Refuse to score a run on cases that it was trained on or, where it is tested, that its weights were chosen by.

    A dataset is as it is now: scans that came or went since move others from one split into another. Of the run's own,
    cases are known by their names; of any, by their voxels, where the cases that the run was trained on are still
    prepared. What its own split has on both sides, as that of ``one_scan``, is there on purpose.

    Args:
        other: of a dataset that is not the run's own, see ``dataset_to_evaluate``.

    Raises:
        ConfigError: names the cases, and what to do.
    """
    card, own = run.card, other is None
    if own and card.data_fingerprint == dataset.fingerprint:
        return
    learnt = {case_id for name in _LEARNT[split] for case_id in card.split.get(name, ())}
    if own:
        learnt -= set(card.split.get(split, ()))
    asked = dataset.cases(split)
    seen = {case.case_id: case.case_id for case in asked if own and case.case_id in learnt}
    for known in _trained_on(run):
        if known.case_id in learnt:
            seen |= {case.case_id: known.case_id for case in asked if same_scan(case.record, known.record)}
    if not seen or run.experiment.untuned:
        return
    names = listed([now if now == then else f"{now} (its {then})" for now, then in sorted(seen.items())])
    learnt_by = "was trained on, or its weights were chosen by," if split == "test" else "was trained on"
    remedy = (
        "bring back the scans that it was trained with and leave out later ones (case_pattern in the description), or "
        "name the split there so that each case is where it was; or train again"
        if own
        else "take them out (case_pattern in the description), or name a dataset that it has not seen"
    )
    raise ConfigError(
        f"{run.name} {learnt_by} {len(seen)} of the {len(asked)} {split} cases that {dataset.name} has now: {names}. A "
        f"score on them would mean nothing: {remedy}."
    )


def _trained_on(run: RunFolder) -> list[StoredCase]:
    """All cases of the run's dataset as it was trained on; none, with a word, where they are not kept."""
    places = Workspace(run.paths.folder).prepared_folders
    paths = [place.manifest(run.card.data_fingerprint or "") for place in places]
    try:
        return next(PreparedDataset.load(path).cases("all") for path in paths if path.exists())
    except (StopIteration, IncompleteDatasetError):
        print(f"note: {run.name}'s own cases are not prepared any more, so none of them is known again by its voxels")
        return []


def split_cases(dataset: PreparedDataset, split: Split) -> list[Case]:
    """The scans and truths that the usable cases of a split were prepared from."""
    return [replace(case, splits=(split,)) for case in dataset.raw(split)]


def finished_run(name: str | None) -> RunFolder:
    """A finished run: by its name, with or without the hash, by a path, or the newest.

    A distilled student and its twin without a teacher have one name without the hash, which is then the student's.

    Raises:
        ConfigError: there is none, or several that differ by their hashes; the message says which there are.
    """
    ours = workspace()
    done = ours.finished_runs
    if name is None:
        if not done:
            raise ConfigError(f"there is no finished run in {ours}: python jobs/train_teacher.py makes one")
        return done[0]
    for run in (ours.run(name), ours.run_at(Path(name))):
        if run.finished:
            return run
    alike = [run for run in done if run.name.rpartition("-")[0] == name]
    for each in (alike, list(filter(_is_distilled, alike))):
        if len(each) == 1:
            return each[0]
    if alike:
        raise ConfigError(f"'{name}' may be any of {', '.join(run.name for run in reversed(alike))}: name one of them")
    names = ", ".join(run.name for run in reversed(done)) or "none"
    raise ConfigError(f"'{name}' is no finished run; in {ours} there are: {names}")


def _is_distilled(run: RunFolder) -> bool:
    try:
        return run.distilled
    except ModelFolderError:  # whoever takes it by its whole name is told
        return False


def named_model(name: str | None) -> NamedModel:
    """What to predict with: a finished run by its name or folder, a bundle by its folder or zip, the included model by
    its word; where none is named, the newest run that needs no prompts, or the included model where there is none. Of
    several runs, commas between them, the mean.

    Raises:
        ConfigError: there is no such run.
        ModelFolderError: several runs do not go together.
        BundleError: the bundle cannot be used.
    """
    newest = next((run for run in workspace().finished_runs if not run.prompted), None)
    by_default = name is None and newest is None
    included = included_model() if by_default else named_included(name or "")
    if included is not None:
        return NamedModel.of_bundle(included)
    if name is not None and len(workspace().teachers(name)) > 1:
        return NamedModel.of_runs([finished_run(each) for each in workspace().teachers(name)])
    if name is None and newest is not None:
        return NamedModel.of_run(newest)
    if name is None or workspace().run(name).finished or not is_bundle(Path(name)):
        return NamedModel.of_run(finished_run(name))
    return NamedModel.of_bundle(Path(name).expanduser().absolute())


def prepared_dataset(section: DatasetSection) -> PreparedDataset:
    """The dataset of an experiment, made and prepared where that is not done yet; looked at once in a job."""
    return _prepared(section, workspace())


@functools.lru_cache(maxsize=8)
def _prepared(section: DatasetSection, ours: Workspace) -> PreparedDataset:
    plain = load_description(section.name)
    root = section.root or (_phantoms(plain, section) if section.name in SCHEMAS else None)
    description = _with_folds(plain, section)
    prepared = prepare(description, root, Preparation(spacing_xyz=section.spacing_xyz), ours)
    return prepared if section.labelled is None else with_labelled(prepared, section.labelled)


def _with_folds(description: DatasetDescription, section: DatasetSection) -> DatasetDescription:
    """The description with the split that the experiment asks for.

    Raises:
        ConfigError: a fold is named of a dataset that has none.
    """
    own = description.split if description.split.rule == "folds" else None
    folds = section.folds or (own.folds if own else None)
    if folds is None and section.fold is None:
        return description
    if folds is None:
        raise ConfigError(f"{description.name} has a split of its own and no folds: add --dataset.folds 5")
    fold = section.fold if section.fold is not None else own.fold if own and not section.folds else 0
    if fold >= folds:
        raise ConfigError(f"fold {fold} of {folds} is not possible: they count from 0 to {folds - 1}")
    return description.model_copy(update={"split": Folds(rule="folds", folds=folds, fold=fold)})


def _phantoms(description: DatasetDescription, section: DatasetSection) -> Path:
    """Folder of the phantoms, as many as are asked for or the split names; those that are there are kept."""
    assert description.split.rule == "in_order"  # the phantoms' own descriptions say so
    count = section.phantoms or sum(part.cases for part in description.split.parts)
    seed, schema = section.phantom_seed, description.name
    folder = workspace().dataset(f"{schema}-{content_hash(PHANTOM_VERSION, seed, count)[:8]}")
    missing = [number for number in range(1, count + 1) if not has_phantom(folder, number)]
    map_tasks(functools.partial(_phantom, folder, schema, seed), missing, label="making phantoms")
    return folder


def _phantom(folder: Path, schema: str, seed: int, number: int) -> None:
    write_phantom(folder, number, seed * 10_000 + number, schema)


def _record(folder: RunFolder, evaluation: EvaluationFolder, split: str, summary: Summary) -> None:
    """Put the evaluation into the run's record, unless it is there."""
    run = open_run(workspace(), folder.name, tags={}, params={})
    made_of = content_hash(evaluation.metrics, evaluation.seconds)
    if run.tags().get(f"autosam.evaluation.{split}") != made_of:
        prefix = "test" if split == "test" else f"evaluation-{split}"  # val/dice/… are the curves of validation
        numbers = {f"{prefix}/mean_dice": summary.mean_dice, f"{prefix}/mean_nsd": summary.mean_nsd}
        numbers[f"{prefix}/mean_hd95_mm"] = summary.mean_hd95_mm
        for name, score in summary.per_class.items():
            numbers |= {f"{prefix}/dice/{name}": score.dice, f"{prefix}/nsd/{name}": score.nsd}
            numbers[f"{prefix}/hd95_mm/{name}"] = score.hd95_mm
        numbers |= {f"{prefix}/seconds/{name}": value for name, value in summary.seconds_per_case.items()}
        run.log(numbers, step=0)
        curves = read_curves(workspace(), folder.name)
        if "train/loss" in curves:  # of what was trained
            save_curves(folder.curves, curves, folder.name)
            run.add_file(folder.curves)
        run.add_file(evaluation.folder, evaluation.folder.name)
        run.tag({f"autosam.evaluation.{split}": made_of})
    run.finish()
