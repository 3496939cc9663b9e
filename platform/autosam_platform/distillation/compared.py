"""The models that a distillation compares: the teacher, the student, and the student that had no teacher."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, get_args

from autosam_platform.distillation.labels import MEAN, TEACHER, Label
from autosam_platform.evaluation.cost import ModelCost
from autosam_platform.evaluation.table import Row, Summary


class Overlap(NamedTuple):
    """Dice and NSD as shares, NaN where there is none, and the cases behind them."""

    dice: float
    nsd: float
    n: int


@dataclass(frozen=True)
class Compared:
    """A model that was evaluated on the test cases and measured.

    Attributes:
        label: its part in the comparison.
        run: name of its run.
        rows, summary: its scores.
        cost: measured with the same scan and overlap as the other models'; None of files, whose model is not here.
        lineage: what it was made from: λ, the teacher's hash, data, split.
    """

    label: Label
    run: str
    rows: Sequence[Row]
    summary: Summary
    cost: ModelCost | None
    lineage: Mapping[str, str]

    def overlap(self, organ: str) -> Overlap:
        """Of an organ, or of ``MEAN``; an organ that was not evaluated has no score."""
        if organ == MEAN:
            return Overlap(self.summary.mean_dice, self.summary.mean_nsd, self.summary.n_cases)
        score = self.summary.per_class.get(organ)
        return Overlap(score.dice, score.nsd, score.n) if score else Overlap(math.nan, math.nan, 0)


Models = Mapping[Label, Compared]


def by_label(models: Sequence[Compared]) -> dict[Label, Compared]:
    """The models in the order of ``Label``.

    Raises:
        ValueError: there are none, or two play the same part.
    """
    labels = [each.label for each in models]
    if not models or len(set(labels)) < len(labels):
        raise ValueError(f"a report compares models with one label each, these have {labels}: give each part one run")
    return {each.label: each for each in sorted(models, key=lambda each: get_args(Label).index(each.label))}


def organs(models: Models) -> list[str]:
    """Names of the organs that any of the models was evaluated on."""
    return list(dict.fromkeys(organ for each in models.values() for organ in each.summary.per_class))


def counts(models: Models, organ: str) -> str:
    """Cases behind an organ's scores: one number where the models agree, else theirs in turn such as ``6/5``."""
    found = [str(model.overlap(organ).n) for model in models.values()]
    return found[0] if len(set(found)) == 1 else "/".join(found)


def runs(models: Models) -> str:
    """Which runs the models are, in words."""
    return "Runs: " + ", ".join(f"{label} {model.run}" for label, model in models.items()) + "."


def retention(models: Models, label: Label, organ: str = MEAN) -> float:
    """A model's Dice in percent of the teacher's; NaN where the teacher is missing or has none."""
    if TEACHER not in models:
        return math.nan
    own, teachers = (models[each].overlap(organ).dice for each in (label, TEACHER))
    return 100 * own / teachers if teachers else math.nan
