"""What becomes of a trial that ended with an error: its own, or that its process was lost."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import ray.cloudpickle
from ray.exceptions import ActorDiedError, RayTaskError
from ray.train import ControllerError, WorkerGroupError

from autosam_platform.training.fitting import TrainingLost, TrainingStopped
from autosam_platform.training.on_ray import _stopped
from autosam_platform.tuning.ledger import Ledger
from autosam_platform.tuning.watcher import Watcher
from autosam_platform.workspace import Workspace

POINT = {"training.learning_rate": 0.1}


class Trial:
    """A trial of a sweep, and how it ends."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        sweep: Any = SimpleNamespace(workspace=Workspace(folder), trials=1)
        self.ledger = Ledger(folder / "trials.json")
        self.watcher = Watcher(sweep, self.ledger)

    def ends_with(self, error: Exception) -> None:
        ended: Any = SimpleNamespace(trial_id="one", pickled_error_file=str(self.folder / "error.pkl"))
        Path(ended.pickled_error_file).write_bytes(ray.cloudpickle.dumps(error))
        self.watcher._trials["one"] = self.ledger.begin(POINT)
        self.ledger.save()
        self.watcher.on_trial_error(1, [], ended)

    @property
    def known(self) -> tuple[str, int, str]:
        """State, losses and reason, as the next start reads them."""
        (trial,) = Ledger(self.ledger.path).trials
        return trial.state, trial.losses, trial.reason


@pytest.fixture
def trial(tmp_path: Path) -> Trial:
    return Trial(tmp_path)


def test_an_error_of_its_own_ends_a_trial_for_good(trial: Trial, capsys: pytest.CaptureFixture[str]) -> None:
    trial.ends_with(RayTaskError("run_trial", "trace", ValueError("the loss is not finite")))
    assert trial.known == ("failed", 0, "the loss is not finite")
    assert "trial 1/1 (no run) failed: the loss is not finite" in capsys.readouterr().out


def test_a_trial_whose_process_was_lost_waits_until_that_comes_again_and_again(
    trial: Trial, capsys: pytest.CaptureFixture[str]
) -> None:
    reason = "The actor died unexpectedly before finishing this task."
    for times in (1, 2):
        trial.ends_with(ActorDiedError())
        assert trial.known == ("waiting", times, reason)
        assert "was lost, and waits for the next start" in capsys.readouterr().out
    trial.ends_with(ActorDiedError())
    assert trial.known == ("failed", 3, reason)


@pytest.mark.parametrize("cause", [ActorDiedError(), TrainingLost("the process that led the training was lost")])
def test_a_loss_that_the_trial_itself_met_is_one_too(trial: Trial, cause: Exception) -> None:
    trial.ends_with(RayTaskError("run_trial", "trace", cause))
    assert trial.known[:2] == ("waiting", 1)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ControllerError(ActorDiedError()), TrainingLost),
        (WorkerGroupError("both died", {0: ActorDiedError(), 1: ActorDiedError()}), TrainingLost),
        (WorkerGroupError("one raised", {0: ActorDiedError(), 1: ValueError("x")}), TrainingStopped),
        (
            WorkerGroupError("raised", {0: RayTaskError("fit_worker", "trace", ValueError("x"))}),
            TrainingStopped,
        ),
    ],
)
def test_a_training_is_lost_where_nothing_of_it_failed(error: Exception, kind: type[Exception]) -> None:
    stopped = _stopped(error, 3)
    assert type(stopped) is kind and str(stopped).endswith("The same command continues from the last checkpoint.")


def test_a_full_disk_leaves_the_trial_as_it_is(trial: Trial) -> None:
    full = OSError(28, "No space left on device")
    with pytest.raises(OSError, match="No space left"):
        trial.ends_with(RayTaskError("run_trial", "trace", full))
    assert trial.known[:2] == ("waiting", 0)
