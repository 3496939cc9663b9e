"""One trial, in a process of its own: an ordinary fit, whose validations are told to Ray Tune."""

import json
from typing import Any

import ray.tune
from ray.tune.integration.ray_train import TuneReportCallback

from autosam_platform.distillation.fit import fit_student
from autosam_platform.training.on_ray import OnRay
from autosam_platform.training.reporter import NO_SCORE
from autosam_platform.training.size import count_parameters
from autosam_platform.tuning.plan import Computes
from autosam_platform.tuning.sweep import Sweep
from autosam_platform.tuning.trials import DICE, SIZE, Point
from autosam_platform.workspace import RunFolder


def run_trial(values: Point, sweep: Sweep, computes: Computes) -> None:
    """One trial, in a process of its own: fit, report each validation to Tune, and in the end the weights kept."""
    compute = next(compute for point, compute in reversed(computes) if point in (values, None))
    experiment = sweep.experiment(values).model_copy(update={"compute": compute})
    _, trained = count_parameters(experiment, sweep.prepared.num_classes)
    runner = OnRay([Validations(experiment.training.epochs, trained)])
    result = fit_student(experiment, sweep.prepared, sweep.workspace, runner, quiet=True)
    dice, epochs = kept_dice(result.run), experiment.training.epochs
    ray.tune.report({DICE: dice, "epoch": epochs, SIZE: trained, "found": result.found})


def kept_dice(run: RunFolder) -> float:
    """Mean Dice of the validation cases, of the weights that a finished run has kept."""
    return float(json.loads(run.model_card.read_text(encoding="utf-8"))["validation_dice"])


class Validations(TuneReportCallback):
    """Tells Tune of each validation but the last: on hearing that, ASHA would end the trial before its model is kept.

    Args:
        epochs: of the fit.
        trained: parameters, which the search wants to hear with every result.
    """

    def __init__(self, epochs: int, trained: int) -> None:
        super().__init__()
        self._epochs, self._trained = epochs, trained

    def after_report(self, run_context: Any, metrics: list[dict[str, Any]], checkpoint: Any) -> None:
        """Pass on what rank 0 found, if it validated."""
        report = metrics[0]
        if report.get("score", NO_SCORE) != NO_SCORE and report["epoch"] < self._epochs:
            validation = {DICE: report["score"], "epoch": report["epoch"], SIZE: self._trained}
            super().after_report(run_context, [validation], None)
