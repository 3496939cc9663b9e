"""What a bundle's card tells of a run: its training data, its scores, and where not to trust it."""

import json
import math
from collections.abc import Sequence

from autosam_inference.bundle.contents import OrganScore, Scores, TrainingData
from autosam_inference.card import ModelCard
from autosam_platform.data.description import DatasetDescription, DescriptionError, load_description
from autosam_platform.evaluation.table import Row, mean, read_rows
from autosam_platform.export.network import ExportError
from autosam_platform.workspace import RunFolder

UNKNOWN = "unknown: ask its owner"

_LOW_DICE = 0.7
_FEW_CASES = 20


def training_data(run: RunFolder) -> TrainingData:
    """Of the run's dataset, whose description may be gone by now."""
    card = run.card
    cases = {split: len(ids) for split, ids in card.split.items()}
    try:
        description = load_description(run.experiment.dataset.name)
    except DescriptionError:
        return TrainingData(title=card.dataset, licence=UNKNOWN, cases=cases)
    return TrainingData(title=description.title, licence=_licence(description), cases=cases)


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
    try:
        rows = read_rows(evaluation.metrics)
        summary = json.loads(evaluation.summary.read_text(encoding="utf-8"))
        told = Scores(
            n_cases=summary["n_cases"],
            mean_dice=summary["mean_dice"],
            mean_nsd=summary["mean_nsd"],
            nsd_tolerance_mm=summary["nsd_tolerance_mm"],
            organs={each.name: _organ([row for row in rows if row.class_id == each.id]) for each in run.card.classes},
        )
    except (ValueError, KeyError, TypeError) as error:
        raise ExportError(
            f"the evaluation in {evaluation.folder} cannot be read ({error}): python jobs/evaluate.py --run {run.name}"
        ) from error
    return told


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
    )


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value


def known_failures(card: ModelCard, told: Scores | None, data: TrainingData) -> tuple[str, ...]:
    """Where not to trust the model, in plain sentences, the weightiest first."""
    if told is None:
        found = ["It was never evaluated on test cases: nothing is known of how good it is."]
    else:
        found = [sentence for name, organ in told.organs.items() for sentence in _of_organ(name, organ)]
        if told.n_cases < _FEW_CASES:
            found.append(f"Its scores are of {told.n_cases} cases only: other scans may fare much worse.")
    if "synthetic" in data.title.lower():
        found.append("It has seen synthetic scans only, and nothing is known of what it does with scans of people.")
    return (
        *found,
        f"Structures other than the {len(card.classes)} of its list are background to it, tumours and implants among "
        "them; it has no class for what is abnormal.",
        "Scans unlike those it was trained on (other scanner, phase, body part, age) may fail without a sign of it in "
        "the label map.",
    )


def _of_organ(name: str, organ: OrganScore) -> list[str]:
    if organ.n == 0:
        return [f"{name}: no test case shows it, so nothing is known of how good it is."]
    found = []
    if organ.dice is not None and organ.dice < _LOW_DICE:
        found.append(f"{name}: a mean Dice of {organ.dice:.2f} in {organ.n} test cases, too low to rely on.")
    if organ.not_found:
        found.append(f"{name}: not found in {organ.not_found} of {organ.n} test cases.")
    if organ.invented:
        found.append(f"{name}: found in {organ.invented} of {organ.n} test cases that do not show it.")
    return found
