"""How much of the differences in Dice each parameter of a sweep explains."""

from collections.abc import Sequence

from optuna.importance import FanovaImportanceEvaluator, get_param_importances

from autosam_platform.tuning.space import Space
from autosam_platform.tuning.study import as_study
from autosam_platform.tuning.trials import DICE, Trial

_FEWEST = 4  # trials: a forest over fewer says what its seed says


def importances(space: Space, finished: Sequence[Trial]) -> tuple[dict[str, float], str]:
    """Shares of the variance of Dice, which add up to 1, by parameter; or none, and why there are none.

    Optuna's fANOVA (Hutter et al. 2014), seeded. Trials that were stopped early are left out: their Dice is of an
    earlier epoch.
    """
    varied = [name for name in space.parameters if len({trial.values[name] for trial in finished}) > 1]
    if len(space.parameters) == 1:
        return {}, "the space has one parameter, which explains all"
    if len(finished) < _FEWEST:
        return {}, f"{len(finished)} finished trial(s) say too little, {_FEWEST} are the fewest"
    if not varied or len({trial.dice for trial in finished}) == 1:
        return {}, "all finished trials have the same values, or the same Dice"
    study = as_study(space, finished)
    evaluator = FanovaImportanceEvaluator(seed=0)
    dice = list(space.objectives).index(DICE)
    found = get_param_importances(study, evaluator=evaluator, target=lambda trial: trial.values[dice])
    return {name: float(share) for name, share in found.items()}, ""
