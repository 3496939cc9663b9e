"""Calibrate a model: predict validation cases, and what is made bad of them, and fit what the signals tell of Dice."""

from collections.abc import Callable, Iterator, Sequence

from autosam_inference.errors import UserError
from autosam_inference.model import TrainedModel
from autosam_inference.quality.calibration import Calibration, FittedOn
from autosam_platform.data.description import DatasetDescription
from autosam_platform.data.preparation import PreparedDataset
from autosam_platform.data.readers import Case
from autosam_platform.data.splits import Split
from autosam_platform.export.dice_regression import Example, fit
from autosam_platform.export.examples import Examiner, Planned, made_bad, planned, true_scan
from autosam_platform.export.references import references, thickest_mm

COVERAGE = 0.8
"""Share of organs whose Dice is to lie within the interval."""
SCANS = 96
"""Predictions that a calibration makes, if no argument says otherwise."""

_MOST_CASES = 24
_FEW_CASES = 5

Progress = Callable[[int, int], None]


class CalibrationError(UserError):
    """A model that cannot be calibrated; the message says why and what to do."""


def calibrate(
    model: TrainedModel, dataset: PreparedDataset, *, scans: int = SCANS, progress: Progress | None = None
) -> Calibration:
    """Fit how a model's signals tell its Dice.

    It is fitted on validation cases: test cases are to stay unseen, and on training cases a model is better than
    anywhere. A dataset without any takes those all the same, and the calibration says so.

    Args:
        dataset: that the model was trained on.
        scans: predictions to make, of good and bad scans together; at least one of each case, of 24 cases at most.
        progress: called with the scans done and the scans in all.

    Raises:
        CalibrationError: the dataset has no case with a truth, or the model finds nothing in them.
    """
    split: FittedOn = "val" if _with_truth(dataset, "val") else "train"
    cases = _with_truth(dataset, split)[:_MOST_CASES]
    if not cases:
        raise CalibrationError(f"{dataset.name} has no case with labels to calibrate {model.card.run_id} on.")
    examiner = Examiner(model, references(dataset, model.card), thickest_mm(dataset))
    plan = planned(len(cases), scans)
    examples = list(gathered(examiner, dataset.description, cases, plan, progress=progress))
    if not examples:
        raise CalibrationError(f"{model.card.run_id} finds no organ in {len(cases)} cases of {dataset.name}.")
    return calibration(examiner, examples, cases=len(cases), scans=len(plan), split=split)


def calibration(
    examiner: Examiner, examples: Sequence[Example], *, cases: int, scans: int, split: FittedOn
) -> Calibration:
    """The calibration of examples that were gathered."""
    fitted = fit(examples, [each.name for each in examiner.model.card.classes], COVERAGE)
    return Calibration(
        levels=fitted.levels,
        curves=fitted.curves,
        band=fitted.band,
        coverage=COVERAGE,
        organs=dict(examiner.references),
        thickest_mm=examiner.thickest_mm,
        cases=cases,
        scans=scans,
        split=split,
        warnings=tuple(_warnings(cases, split)),
    )


def gathered(
    examiner: Examiner,
    description: DatasetDescription,
    cases: Sequence[Case],
    plan: Sequence[Planned],
    *,
    seed: int = 0,
    progress: Progress | None = None,
) -> Iterator[Example]:
    """Predict the scans of a plan; each case is read once.

    Args:
        cases: that the plan counts.
        seed: of what is made bad.
    """
    at, scan = -1, None
    for number, each in enumerate(plan, start=1):
        case = cases[each.case]
        if each.case != at:
            at, scan = each.case, true_scan(case, description)
        if scan is not None:
            annotated = description.annotated_ids(case.case_id)
            yield from examiner.examples(case.case_id, each.kind, made_bad(scan, each, seed), annotated)
        if progress:
            progress(number, len(plan))


def _with_truth(dataset: PreparedDataset, split: Split) -> list[Case]:
    labelled = {case.case_id for case in dataset.cases(split) if case.record.contents is not None}
    return [case for case in dataset.raw(split) if case.case_id in labelled]


def _warnings(cases: int, split: FittedOn) -> Iterator[str]:
    if split == "train":
        yield "fitted on cases that the model was trained on, where it is better than anywhere: too hopeful"
    if cases < _FEW_CASES:
        yield f"fitted on {cases} case(s) and what was made bad of them: the figures are rough"
