"""A prompted model as a run."""

from autosam_platform.data.preparation import PreparedDataset
from autosam_platform.experiment import Experiment
from autosam_platform.prompted.predictor import told_of
from autosam_platform.training.fitting import FitResult, Supervision, find_fit, fit
from autosam_platform.training.untrained import Untrained
from autosam_platform.workspace import Workspace


def fit_prompted(
    experiment: Experiment,
    prepared: PreparedDataset,
    workspace: Workspace,
) -> FitResult:
    """The run of a prompted model; found where it is done."""
    found = find_fit(experiment, prepared, workspace)
    if found.found:
        return found
    if experiment.model.checkpoint is None:
        print("NOTE: no SAM checkpoint was given, so SAM's weights are random: --model.checkpoint sam_vit_b_01ec64.pth")
    supervision = Supervision(tags={"prompts": told_of(experiment.asking)})
    return fit(experiment, prepared, workspace, supervision, Untrained())
