"""Whether what is said of an organ's Dice is true: on held-out cases, and on what is made bad of them on purpose."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import mannwhitneyu

from autosam_inference.files import write_json, write_text
from autosam_inference.model import TrainedModel
from autosam_inference.prediction import predict
from autosam_inference.quality.calibration import Calibration
from autosam_inference.quality.looking import Looking
from autosam_inference.quality.measures import measures
from autosam_inference.scans.grid import Volume
from autosam_inference.scans.scan import Scan
from autosam_platform.data.phantom import SCHEMAS, write_phantom
from autosam_platform.data.preparation import PreparedDataset
from autosam_platform.data.readers import Case
from autosam_platform.experiment import ConfigError
from autosam_platform.export.calibrating import calibration, gathered
from autosam_platform.export.degrading import DEGRADATIONS, TrueScan
from autosam_platform.export.dice_regression import AS_IT_IS, Example
from autosam_platform.export.examples import Examiner, planned, true_scan
from autosam_platform.export.references import references, thickest_mm
from autosam_platform.pipeline.steps import finished_run, prepared_dataset, split_cases
from autosam_platform.workspace import workspace
from benchmarks.comparison import Row
from benchmarks.job import BenchmarkJob
from benchmarks.quality_picture import save_picture

_FITTED_ON, _TESTED_ON = 600_000, 700_000
"""Seeds of phantoms that no run was trained on, and of what is made bad of them."""
_CLOSE = 0.1
_ALL, _BAD = "all", "all that were made bad"


@dataclass(frozen=True)
class Truth:
    """How true what was said of some organs is.

    Attributes:
        kind: how their scans were made bad.
        auroc: share of pairs, one with a Dice below ``Calibration.least_dice`` and one not, of which less was expected
            of the former; None where all are of one sort.
        close: share whose Dice is within 0.1 of the expected one.
        inside: share within the interval.
        precision, recall: of what is expected below the least Dice: how much is, and how much of what is was told.
        trusted: organs of which the least Dice or more was expected, and that have less than 0.5.
        unseen_auroc, unseen_close: of a calibration that was shown no scan made bad in this way.
    """

    kind: str
    organs: int
    dice: float
    expected: float
    auroc: float | None
    close: float
    inside: float
    precision: float | None
    recall: float | None
    trusted: int
    unseen_auroc: float | None = None
    unseen_close: float | None = None

    def __str__(self) -> str:
        return f"{self.kind}: {self.organs} organs, AUROC {_text(self.auroc)}, within 0.1 {self.close:.0%}"


def rows(job: BenchmarkJob, device: torch.device) -> list[Row]:
    """What the signals cost, of this process's processor time, and a row for each way to make a scan bad.

    A table and a picture lie beside the job's result.
    """
    run = finished_run(job.run)
    model = TrainedModel.load(run.model, device=str(device))
    dataset = prepared_dataset(run.experiment.dataset)
    examiner = Examiner(model, references(dataset, model.card), thickest_mm(dataset))
    fitted_on, tested_on = (_cases(dataset, job.cases, first) for first in (_FITTED_ON, _TESTED_ON))
    learned = _gathered(examiner, dataset, fitted_on, _FITTED_ON)
    held_out = _gathered(examiner, dataset, tested_on, _TESTED_ON)
    place = job.result(device).with_name(f"quality-{run.name}.md")
    truths = write_report(examiner, learned, held_out, place, f"{run.name}: {len(tested_on)} held-out cases")
    scan = true_scan(tested_on[0], dataset.description)
    costs = [] if scan is None else [_cost(model, scan, job.repeats)]
    return [*costs, *(Row(str(each), 0.0, None, None, None, None) for each in truths)]


def write_report(
    examiner: Examiner, learned: Sequence[Example], held_out: Sequence[Example], place: Path, title: str
) -> list[Truth]:
    """Fit on some examples, judge others by it, and write table, figures and picture."""
    fitted = _calibration(examiner, learned)
    truths = [_truth(kind, examples, fitted) for kind, examples in _by_kind(held_out)]
    truths = [_with_unseen(each, examiner, learned, held_out) for each in truths]
    write_text(place, as_markdown(truths))
    write_json(place.with_suffix(".json"), [asdict(each) for each in truths])
    expected_N, dice_N = _expected(fitted, held_out), np.array([each.dice for each in held_out])
    save_picture(place.with_suffix(".png"), expected_N, dice_N, [each.kind == AS_IT_IS for each in held_out], title)
    return truths


def as_markdown(truths: Sequence[Truth]) -> str:
    """A table for docs."""
    lines = [
        "| scans | organs | Dice | expected | AUROC | within 0.1 | in interval | precision | recall | trusted, < 0.5 "
        "| AUROC, unseen | within 0.1, unseen |",
        "|---|" + "---:|" * 11,
    ]
    for each in truths:
        numbers = [f"{each.organs}", f"{each.dice:.2f}", f"{each.expected:.2f}", _text(each.auroc), f"{each.close:.0%}"]
        numbers += [f"{each.inside:.0%}", _text(each.precision), _text(each.recall), f"{each.trusted}"]
        numbers += [_text(each.unseen_auroc), "–" if each.unseen_close is None else f"{each.unseen_close:.0%}"]
        lines.append(f"| {each.kind} | {' | '.join(numbers)} |")
    return "\n".join(lines) + "\n"


def _cases(dataset: PreparedDataset, count: int, first: int) -> list[Case]:
    """New phantoms, where a run was trained on phantoms; else the dataset's own validation and test cases.

    Raises:
        ConfigError: it has none.
    """
    split = "val" if first == _FITTED_ON else "test"
    if dataset.name in SCHEMAS:
        folder = workspace().dataset(f"{dataset.name}-{first}")
        for number in range(1, count + 1):
            write_phantom(folder, number, first + number, dataset.name)
        names = [f"{number:04d}.nii.gz" for number in range(1, count + 1)]
        return [
            Case(f"img{name[:4]}", folder / "imagesTr" / f"img{name}", folder / "labelsTr" / f"label{name}", (split,))
            for name in names
        ]
    cases = split_cases(dataset, split)[:count]
    if not cases:
        raise ConfigError(f"{dataset.name} has no {split} cases: name a run whose data has, with --run")
    return cases


def _gathered(examiner: Examiner, dataset: PreparedDataset, cases: Sequence[Case], seed: int) -> list[Example]:
    plan = planned(len(cases), len(cases) * (1 + len(DEGRADATIONS)))

    def say(done: int, scans: int) -> None:
        if done % (1 + len(DEGRADATIONS)) == 0:
            print(f"{done} of {scans} scans", flush=True)

    return list(gathered(examiner, dataset.description, cases, plan, seed=seed, progress=say))


def _calibration(examiner: Examiner, examples: Sequence[Example]) -> Calibration:
    return calibration(
        examiner, examples, cases=len({each.case for each in examples}), scans=len(examples), split="val"
    )


def _by_kind(examples: Sequence[Example]) -> Iterator[tuple[str, list[Example]]]:
    yield _ALL, list(examples)
    yield _BAD, [each for each in examples if each.kind != AS_IT_IS]
    for kind in (AS_IT_IS, *DEGRADATIONS):
        if found := [each for each in examples if each.kind == kind]:
            yield kind, found


def _with_unseen(truth: Truth, examiner: Examiner, learned: Sequence[Example], held_out: Sequence[Example]) -> Truth:
    """As one kind, but judged by a calibration that was shown all the others."""
    if truth.kind not in DEGRADATIONS:
        return truth
    without = _calibration(examiner, [each for each in learned if each.kind != truth.kind])
    unseen = _truth(truth.kind, [each for each in held_out if each.kind == truth.kind], without)
    return Truth(**asdict(truth) | {"unseen_auroc": unseen.auroc, "unseen_close": unseen.close})


def _truth(kind: str, examples: Sequence[Example], fitted: Calibration) -> Truth:
    expected_N, dice_N = _expected(fitted, examples), np.array([each.dice for each in examples])
    low_N, high_N = np.array([fitted.interval(each) for each in expected_N]).T
    bad_N, flagged_N = dice_N < fitted.least_dice, expected_N < fitted.least_dice
    return Truth(
        kind,
        len(examples),
        float(dice_N.mean()),
        float(expected_N.mean()),
        auroc(expected_N, bad_N),
        float((np.abs(expected_N - dice_N) <= _CLOSE).mean()),
        float(((low_N <= dice_N) & (dice_N <= high_N)).mean()),
        float(bad_N[flagged_N].mean()) if flagged_N.any() else None,
        float(flagged_N[bad_N].mean()) if bad_N.any() else None,
        int((~flagged_N & (dice_N < 0.5)).sum()),
    )


def _expected(fitted: Calibration, examples: Sequence[Example]) -> NDArray[np.float64]:
    return np.array([fitted.expected(each.organ, each.signals) for each in examples])


def auroc(expected_N: NDArray[np.float64], bad_N: NDArray[np.bool_]) -> float | None:
    """Area under the curve of telling what is bad by how little is expected; None where all are of one sort."""
    if bad_N.all() or not bad_N.any():
        return None
    pairs = bad_N.sum() * (~bad_N).sum()
    return float(mannwhitneyu(expected_N[~bad_N], expected_N[bad_N]).statistic / pairs)


def _cost(model: TrainedModel, truth: TrueScan, repeats: int) -> Row:
    """Processor seconds of a prediction with the signals, and without."""
    scan = Scan.of(Volume(truth.hu_DHW, truth.spacing_DHW))

    def watched() -> None:
        looking = Looking(model.card)
        prediction = predict(model, scan, observers=[looking])
        measures(looking, model.card, prediction.scan.volume, prediction.search.box if prediction.search else None)

    def alone() -> None:
        predict(model, scan)

    alone()  # what is made once is made
    seconds = [min(_processor_seconds(work) for _ in range(max(repeats, 3))) for work in (watched, alone)]
    return Row("processor seconds with the signals, and without", *seconds, None, None, None)


def _processor_seconds(work: Callable[[], None]) -> float:
    before = time.process_time()
    work()
    return time.process_time() - before


def _text(share: float | None) -> str:
    return "–" if share is None else f"{share:.2f}"
