"""A fit that trains nothing: the model as it is built, with SAM's weights, becomes the run's."""

from autosam_platform.data.preparation import PreparedDataset
from autosam_platform.experiment import Experiment
from autosam_platform.training import checkpoints
from autosam_platform.training.checkpoints import Position
from autosam_platform.training.loop import FitTask, build_network
from autosam_platform.training.progress import Follower
from autosam_platform.workspace import Workspace


class Untrained:
    """See ``fitting.Runner``."""

    def with_resources(self, experiment: Experiment) -> Experiment:
        """It needs none."""
        return experiment

    def train(self, task: FitTask, workspace: Workspace, follower: Follower | None) -> None:
        """Leave the first and only checkpoint."""
        model = build_network(task.experiment, PreparedDataset.load(task.dataset).num_classes)
        folder = task.run.checkpoints / "checkpoint_000000"
        folder.mkdir(parents=True, exist_ok=True)
        checkpoints.save(folder, Position(0, 0), model, None)
