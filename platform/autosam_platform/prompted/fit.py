"""A prompted model that is tuned, or kept as it is."""

from autosam_platform.data.preparation import PreparedDataset
from autosam_platform.experiment import Experiment
from autosam_platform.prompted.embeddings import stored_embeddings
from autosam_platform.prompted.predictor import told_of
from autosam_platform.prompted.training import MaskObjective, SliceSamples
from autosam_platform.training.fitting import FitResult, Runner, Supervision, find_fit, fit
from autosam_platform.training.untrained import Untrained
from autosam_platform.workspace import Workspace


def fit_prompted(
    experiment: Experiment,
    prepared: PreparedDataset,
    workspace: Workspace,
    runner: Runner | None = None,
    quiet: bool = False,
) -> FitResult:
    """The run of a prompted model, whose model is SAM tuned on ``prepared``, or SAM as it is; found where it is done.

    Args:
        runner, quiet: see ``training.fitting.fit``.
    """
    found = find_fit(experiment, prepared, workspace)
    if found.found:
        return found
    if experiment.model.checkpoint is None:
        print("NOTE: no SAM checkpoint was given, so SAM's weights are random: --model.checkpoint sam_vit_b_01ec64.pth")
    asking = experiment.asking
    tags = {"prompts": told_of(asking), "tuned": asking.tune}
    if asking.tune == "none":
        return fit(experiment, prepared, workspace, Supervision(tags=tags), Untrained(), quiet)
    stored = stored_embeddings(experiment, prepared, workspace) if asking.tune == "prompt_and_mask" else None
    supervision = Supervision(MaskObjective, SliceSamples(stored), tags)
    return fit(experiment, prepared, workspace, supervision, runner, quiet)
