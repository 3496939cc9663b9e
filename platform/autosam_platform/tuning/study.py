"""The trials of a sweep as an Optuna study: what the search remembers, and what importances are computed from."""

from collections.abc import Iterable

import optuna
from optuna.study import StudyDirection
from optuna.trial import TrialState, create_trial

from autosam_platform.tuning.space import Space
from autosam_platform.tuning.trials import DICE, Trial

_DIRECTIONS = {"max": StudyDirection.MAXIMIZE, "min": StudyDirection.MINIMIZE}


def as_study(space: Space, trials: Iterable[Trial], storage: optuna.storages.BaseStorage | None = None) -> optuna.Study:
    """A study that knows these trials: what has ended with its objectives, what waits as the next to be asked.

    A trial that was stopped early counts with the Dice it had, which is how Ray's search sees it too.

    Args:
        storage: keeps the study; memory of its own where none is given.
    """
    directions = [_DIRECTIONS[mode] for mode in space.objectives.values()]
    study = optuna.create_study(storage=storage, directions=directions)
    distributions = space.distributions()
    for trial in trials:
        if trial.state == "waiting":
            study.enqueue_trial(trial.values)
        elif trial.state == "failed":
            study.add_trial(create_trial(state=TrialState.FAIL, params=trial.values, distributions=distributions))
        elif trial.dice is not None:
            values = objectives(space, trial)
            study.add_trial(create_trial(values=values, params=trial.values, distributions=distributions))
    return study


def objectives(space: Space, trial: Trial) -> list[float]:
    """The objectives of a trial that has a Dice, in the order in which the space names them."""
    assert trial.dice is not None
    return [trial.dice if name == DICE else float(trial.trained_parameters or 0) for name in space.objectives]
