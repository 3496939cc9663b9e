"""What a bundle's card tells of a run: its training data, its scores, and where not to trust it."""

import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from autosam_inference.bundle.contents import OrganScore, OtherScores, Scores, TrainingData
from autosam_inference.bundle.words import dice_text
from autosam_inference.card import ModelCard
from autosam_platform.data.description import DatasetDescription, DescriptionError, description_names, load_description
from autosam_platform.evaluation.table import Row, mean, read_rows
from autosam_platform.export.network import ExportError
from autosam_platform.tracking.reading import flatten
from autosam_platform.workspace import EvaluationFolder, RunFolder

UNKNOWN = "unknown: ask its owner"

_LOW_DICE = 0.7
_FEW_CASES = 20
_NOT_TOLD = ("dataset.root", "distillation.teacher")  # places on disk; the lineage has the teacher


def training_data(run: RunFolder) -> TrainingData:
    """Of the run's dataset, whose description may be gone by now."""
    card = run.card
    cases = {split: len(ids) for split, ids in card.split.items()}
    try:
        description = load_description(run.experiment.dataset.name)
    except DescriptionError:
        return TrainingData(title=card.dataset, licence=UNKNOWN, cases=cases)
    synthetic = description.synthetic and not _has_further_scans(run)
    return TrainingData(title=description.title, licence=_licence(description), cases=cases, synthetic=synthetic)


def _has_further_scans(run: RunFolder) -> bool:
    """Did a teacher tell it of scans that are not of its dataset? Those have a manifest of their own."""
    experiment = run.experiment
    named = experiment.distillation.unlabelled if experiment.distils else None
    return named is not None and (Path(named).suffix == ".json" or len(Path(named).parts) > 1)


def settings(run: RunFolder) -> dict[str, Any]:
    """The run's experiment by dotted names, as far as it differs from the defaults, and the seed.

    Of a file there is no more than its name, and nothing of what changes no result.
    """
    experiment = run.experiment
    told = flatten(experiment.model_dump(mode="json", exclude_defaults=True, exclude={"compute"}))
    told |= {"training.seed": experiment.training.seed}
    return {name: _without_place(value) for name, value in told.items() if name not in _NOT_TOLD}


def _without_place(value: Any) -> Any:
    return Path(value).name if isinstance(value, str) else value


def _licence(description: DatasetDescription) -> str:
    said = description.licence or UNKNOWN
    names = ", ".join(each.name for each in description.sources)
    return f"{said} (sources: {names})" if names else said


def scores(run: RunFolder) -> Scores | None:
    """Of the run's evaluation on its test cases; None where there is none.

    Raises:
        ExportError: its files are damaged, or of other classes than the model's.
    """
    evaluation = run.evaluation()
    if not evaluation.summary.is_file() or not evaluation.metrics.is_file():
        return None
    return Scores.model_validate(_scores_in(evaluation, run))


def other_scores(run: RunFolder) -> tuple[OtherScores, ...]:
    """Of the run's evaluations on datasets that are not its own.

    One of its own name is left out: it may be the very dataset, and hold the cases that the run was trained on.

    Raises:
        ExportError: the files of one are damaged, or of other classes than the model's.
    """
    return tuple(
        OtherScores.model_validate(
            _scores_in(each, run)
            | {"dataset": each.dataset, "fingerprint": each.fingerprint, "split": each.split}
            | {"synthetic": _synthetic(each.dataset)}
        )
        for each in run.other_evaluations
        if each.dataset != run.card.dataset
    )


def _synthetic(name: str) -> bool | None:
    """None of a dataset that was described in a file of its own, whose place is not known any more."""
    return load_description(name).synthetic if name in description_names() else None


def _scores_in(evaluation: EvaluationFolder, run: RunFolder) -> dict[str, Any]:
    """The fields of ``Scores``."""
    try:
        rows = read_rows(evaluation.metrics)
        summary = json.loads(evaluation.summary.read_text(encoding="utf-8"))
        told = {name: summary[name] for name in ("n_cases", "mean_dice", "mean_nsd", "nsd_tolerance_mm")}
        organs = {each.name: _organ([row for row in rows if row.class_id == each.id]) for each in run.card.classes}
        return Scores.model_validate(told | {"organs": organs}).model_dump()
    except (ValueError, KeyError, TypeError) as error:
        raise ExportError(
            f"the evaluation in {evaluation.folder} cannot be read ({error}): python jobs/evaluate.py --run {run.name}"
        ) from error


def _organ(rows: Sequence[Row]) -> OrganScore:
    scored = [row for row in rows if not math.isnan(row.dice)]
    return OrganScore(
        dice=_known(mean(row.dice for row in scored)),
        lowest_dice=min((row.dice for row in scored), default=None),
        nsd=_known(mean(row.nsd for row in scored)),
        hd95_mm=_known(mean(row.hd95_mm for row in scored)),
        n=len(scored),
        not_found=sum(row.truth_ml > 0 and row.predicted_ml == 0 for row in scored),
        invented=sum(row.truth_ml == 0 and row.predicted_ml > 0 for row in scored),
        absent=sum(row.truth_ml == 0 for row in rows),  # NaN where the case does not annotate it
    )


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value


def known_failures(
    card: ModelCard, told: Scores | None, data: TrainingData, others: Sequence[OtherScores]
) -> tuple[str, ...]:
    """Where not to trust the model, in plain sentences, the weightiest first."""
    found = list(_of_other_scans(data, others))
    if told is None:
        found += ["It was never evaluated on test cases: nothing is known of how good it is."]
    else:
        found += [sentence for name, organ in told.organs.items() for sentence in _of_organ(name, organ)]
        if told.n_cases < _FEW_CASES:
            found.append(f"Its scores are of {told.n_cases} cases only: other scans may fare much worse.")
    return (
        *found,
        f"Structures other than the {len(card.classes)} of its list are background to it, tumours and implants among "
        "them; it has no class for what is abnormal.",
        "Scans unlike those it was trained on (other scanner, phase, body part, age) may fail without a sign of it in "
        "the label map.",
    )


def _of_other_scans(data: TrainingData, others: Sequence[OtherScores]) -> Iterator[str]:
    """What a model of synthetic scans does with those of people, and any model with those of other datasets."""
    others = [each for each in others if not each.synthetic]
    if data.synthetic and others:
        yield "It has seen synthetic scans only: on scans of people expect what it reached on them, and no more."
    elif data.synthetic:
        yield "It has seen synthetic scans only, and nothing is known of what it does with scans of people."
    yield from map(_of_dataset, others)


def _of_dataset(scores: OtherScores) -> str:
    """One sentence, since there may be as much to say of every organ."""
    organs = scores.organs.items()
    low = [f"{name} {dice_text(each.dice)}" for name, each in organs if each.dice is not None and each.dice < _LOW_DICE]
    parts = {
        "too low to rely on": low,
        "missed": [name for name, each in organs if each.not_found],
        "found where it is not": [name for name, each in organs if each.invented],
    }
    cases = f"{scores.n_cases} case{'' if scores.n_cases == 1 else 's'}"
    said = "".join(f"; {what}: {', '.join(names)}" for what, names in parts.items() if names)
    return f"On {cases} of {scores.dataset} its mean Dice is {dice_text(scores.mean_dice)}{said}."


def _of_organ(name: str, organ: OrganScore) -> list[str]:
    found = []
    if organ.shown == 0:
        found.append(f"{name}: no test case shows it, so nothing is known of how good it is.")
    elif organ.dice is not None and organ.dice < _LOW_DICE:
        found.append(f"{name}: a mean Dice of {dice_text(organ.dice)} in {organ.n} test cases, too low to rely on.")
    if organ.not_found:
        found.append(f"{name}: not found in {organ.not_found} of {organ.shown} test cases that show it.")
    if organ.invented:
        known = "" if organ.absent is None else f" of {organ.absent}"
        of_absent = f"{organ.invented}{known} test cases"
        found.append(f"{name}: found in {of_absent} that do not show it.")
    return found
