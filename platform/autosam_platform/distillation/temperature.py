"""At which temperature a teacher is as sure as it may be: fitted to the labels of the validation cases."""

import math

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from autosam_platform.data.preparation import PreparedDataset
from autosam_platform.data.probabilities import WHOLE
from autosam_platform.data.store import StoredCase
from autosam_platform.distillation.teacher import Answering, stored_answers
from autosam_platform.experiment import ConfigError
from autosam_platform.workspace import Workspace

_BOUNDS = math.log(0.25), math.log(4.0)


def calibrated_temperature(teacher: Answering, prepared: PreparedDataset, workspace: Workspace) -> float:
    """The temperature T at which the teacher's probabilities, to the power of 1 / T and normalised, say best what the
    labels of the validation cases are: the least mean negative log likelihood over their voxels.

    Source: Guo et al. 2017 (On Calibration of Modern Neural Networks), Sec. 4.2. Above 1 the teacher was too sure.

    Raises:
        ConfigError: no validation case tells it.
        AnswerError: a teacher of files has no answer to some of them.
    """
    cases = calibrating_cases(teacher, prepared)
    stored = stored_answers(teacher, prepared, cases, workspace).teacher
    telling = [
        telling_voxels(stored.probabilities(case, (0, 0, 0), case.shape_DHW), case.label().numpy()) for case in cases
    ]
    return fitted_temperature(np.concatenate([p for p, _ in telling], 1), np.concatenate([y for _, y in telling]))


def calibrating_cases(teacher: Answering, prepared: PreparedDataset) -> list[StoredCase]:
    """Validation cases with all organs annotated that the teacher was not trained on: of its own, as where folds teach
    one another's student, it is surer than of others.

    Raises:
        ConfigError: there are none.
    """
    description, learnt = prepared.description, teacher.learnt(prepared)
    whole = {each.id for each in prepared.classes}
    cases = [case for case in prepared.cases("val") if whole <= set(description.annotated_ids(case.case_id))]
    if not cases:
        raise ConfigError(
            f"{prepared.name} has no validation case with all its organs, by whose labels a teacher's temperature "
            "could be fitted: leave --distillation.calibrate out"
        )
    strange = [case for case in cases if case.case_id not in learnt]
    if not strange:
        raise ConfigError(
            f"the teacher {teacher.name} was trained on all validation cases of {prepared.name} by whose labels its "
            "temperature could be fitted: leave --distillation.calibrate out"
        )
    return strange


def telling_voxels(
    stored_KDHW: NDArray[np.uint8], label_DHW: NDArray[np.integer]
) -> tuple[NDArray[np.uint8], NDArray[np.integer]]:
    """Probabilities K × N and labels N of the voxels that say something of the temperature.

    Where the teacher is certain and right, and that is nearly everywhere, no temperature changes anything; nor where it
    gives the label no chance at all, since a 0 stays 0 (``distances.softened``). Counted as next to 0, the latter would
    call for ever higher temperatures: 3.3 for a teacher that is 2.5 times too sure.
    """
    flat_KN, label_N = stored_KDHW.reshape(len(stored_KDHW), -1), label_DHW.reshape(-1)
    said_N = flat_KN[label_N, np.arange(len(label_N))]
    telling_N = (said_N > 0) & (said_N < WHOLE)
    return flat_KN[:, telling_N], label_N[telling_N]


def fitted_temperature(stored_KN: NDArray[np.uint8], label_N: NDArray[np.integer]) -> float:
    """The temperature of the least mean negative log likelihood, from a quarter to 4; 1 where there is no voxel.

    Args:
        stored_KN: probabilities in 255ths of voxels that tell something, so that none gives its label a 0.
    """
    count = len(label_N)
    if not count:
        return 1.0
    with np.errstate(divide="ignore"):
        logs_KN = np.log(stored_KN.astype(np.float64) / WHOLE)
    at_N = label_N, np.arange(count)

    def likelihood(log_temperature: float) -> float:
        scaled_KN = logs_KN / math.exp(log_temperature)
        return float((np.logaddexp.reduce(scaled_KN, axis=0) - scaled_KN[at_N]).mean())

    return math.exp(minimize_scalar(likelihood, bounds=_BOUNDS, method="bounded").x)
