"""What the driver does as trials start, report and end: the ledger, a line on the screen, the record, the disk."""

import errno
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ray.cloudpickle
import ray.exceptions
import ray.tune
from pydantic import ValidationError
from ray.tune.experiment import Trial as TuneTrial

from autosam_inference.errors import reasons
from autosam_platform.tracking.reading import PARENT, STOPPED, flatten
from autosam_platform.tracking.writing import open_run, tag_run
from autosam_platform.training.fitting import TrainingLost
from autosam_platform.tuning.ledger import Ledger
from autosam_platform.tuning.leftovers import Leftovers
from autosam_platform.tuning.plan import prune
from autosam_platform.tuning.sweep import Sweep
from autosam_platform.tuning.trial import kept_dice
from autosam_platform.tuning.trials import DICE, SIZE, Point, Trial

_RECORDED = {"finished": "FINISHED", "stopped": STOPPED, "failed": "FAILED"}
_LONGEST_REASON = 500
_MOST_LOSSES = 3  # of a trial's process, as of a training's workers (compute.max_failures)


class Watcher(ray.tune.Callback):
    """Told by Ray Tune, in the driver, what happens to each trial."""

    def __init__(self, sweep: Sweep, ledger: Ledger) -> None:
        self._sweep, self._ledger = sweep, ledger
        self._trials: dict[str, Trial] = {}
        self._parent = ""
        self._disk_full: OSError | None = None
        self._leftovers = Leftovers()

    @contextmanager
    def record(self) -> Iterator[None]:
        """The sweep's own record, open while it runs; its trials' runs are recorded as its children.

        Raises:
            OSError: a trial found the disk full, which is no fault of the trial.
        """
        sweep = self._sweep
        tags = {
            "name": sweep.title,
            "role": "sweep",
            "model": sweep.base.model.name,
            "dataset": sweep.prepared.name,
            "data_fingerprint": sweep.prepared.fingerprint,
        }
        params = flatten(sweep.workspace.recorded_settings(sweep.base))
        run = open_run(sweep.workspace, sweep.name, tags=tags, params=params)
        self._parent = run.mlflow_id
        state = "FAILED"
        try:
            yield
            state = "FINISHED"
        except KeyboardInterrupt:
            state = STOPPED
            raise
        except ray.tune.TuneError:
            if self._disk_full is not None:
                raise self._disk_full from None
            raise
        finally:
            self._tidy()
            run.finish(state)

    def on_step_end(self, iteration: int, trials: list[TuneTrial], **info: Any) -> None:
        """Give back what Ray keeps of trials that were stopped."""
        self._leftovers.look()

    def on_trial_start(self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **info: Any) -> None:
        """Note which run it is, before anything is written into its folder."""
        ours = self._ledger.begin(trial.config)
        self._trials[trial.trial_id] = ours
        try:
            ours.run = self._sweep.experiment(ours.values).run_id(self._sweep.prepared.fingerprint)
            ours.made = ours.made or not self._sweep.workspace.run(ours.run).folder.exists()
        except ValidationError:
            pass  # the trial itself meets it, and fails with the reason
        self._ledger.save()
        self._say(ours, f"starts: {in_words(ours.values)}")

    def on_trial_result(
        self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, result: dict[str, Any], **info: Any
    ) -> None:
        """Note the Dice."""
        ours = self._trials[trial.trial_id]
        ours.dice, ours.trained_parameters = max(result[DICE], ours.dice or 0.0), result[SIZE]
        if "found" not in result:  # that is the trial's own report, at its end
            epoch = result["epoch"]  # comes twice where the checkpoint that went with it was lost
            ours.validations = [*(each for each in ours.validations if each[0] != epoch), (epoch, result[DICE])]
            self._say(ours, f"epoch {epoch}: Dice {result[DICE]:.4f}")
            self._tag(ours)
        self._ledger.save()

    def on_trial_complete(self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **info: Any) -> None:
        """It ended by itself, or was stopped early."""
        ours = self._trials[trial.trial_id]
        run = self._sweep.workspace.run(ours.run)
        ours.state = "finished" if run.finished else "stopped"
        ours.dice = kept_dice(run) if run.finished else ours.dice
        how = "has ended" if run.finished else f"is stopped early after epoch {ours.validations[-1][0]}"
        how = "was trained before and is found" if trial.last_result.get("found") else how
        self._end(ours, f"{how}: Dice {ours.dice:.4f}")

    def on_trial_error(self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **info: Any) -> None:
        """It failed, and stays failed; or its process was lost, which is no fault of the trial, and it waits.

        One whose process is lost again and again fails: it may be its own memory that the system kills it for. A full
        disk ends the sweep, and the trial waits as well.
        """
        ours = self._trials[trial.trial_id]
        cause = _cause(trial)
        if isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, errno.EDQUOT):
            self._disk_full = cause
            raise cause  # Tune ends with an error of its own
        ours.reason = _reason(cause)
        # Its own errors come without Ray's around them.
        lost = isinstance(cause, ray.exceptions.RayError | TrainingLost)
        ours.losses += lost
        if lost and ours.losses < _MOST_LOSSES:
            ours.state = "waiting"
            self._ledger.save()
            self._say(ours, f"was lost, and waits for the next start: {ours.reason}")
            return
        ours.state = "failed"
        self._end(ours, f"failed: {ours.reason}")

    def _end(self, trial: Trial, said: str) -> None:
        self._ledger.save()
        self._tag(trial)
        prune(self._ledger.trials, self._ledger.best(), self._sweep.workspace)
        self._say(trial, said)

    def _tidy(self) -> None:
        """Once more for all, since the workers of a stopped trial outlive it by a moment; and for the unfinished."""
        for trial in self._ledger.trials:
            self._tag(trial, STOPPED)
        prune(self._ledger.trials, self._ledger.best(), self._sweep.workspace)

    def _tag(self, trial: Trial, state: str | None = None) -> None:
        if not trial.run:
            return
        tags = {f"autosam.sweep.{name}": value for name, value in trial.values.items()} | {PARENT: self._parent}
        if trial.state == "stopped":
            tags["autosam.stopped"] = "early"
        tag_run(self._sweep.workspace, trial.run, tags, _RECORDED.get(trial.state, state))

    def _say(self, trial: Trial, text: str) -> None:
        print(f"trial {trial.number}/{self._sweep.trials} {trial.run or '(no run)'} {text}", flush=True)


def in_words(values: Mapping[str, Any] | Point) -> str:
    """``kd_lambda 0.2, learning_rate 0.001``."""
    return ", ".join(f"{name.rpartition('.')[2]} {_number(value)}" for name, value in values.items())


def _number(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _cause(trial: TuneTrial) -> Exception:
    """What the trial's process raised, or how Ray lost it; Tune has just written it into its own scratch."""
    if trial.pickled_error_file is None:
        return RuntimeError(f"see {trial.error_file}")
    error = ray.cloudpickle.loads(Path(trial.pickled_error_file).read_bytes())
    return getattr(error, "cause", error)


def _reason(error: Exception) -> str:
    """The first line of what went wrong; Ray's own reasons go on with a trace."""
    if isinstance(error, ValidationError):
        return "; ".join(reasons(error))[:_LONGEST_REASON]
    text = (str(error).strip() or type(error).__name__).splitlines()[0]
    return text[:_LONGEST_REASON]
