"""The rules by which a dataset's cases are shared out to training, validation and test."""

from typing import Annotated, Literal, Self

from pydantic import Field, PositiveInt, model_validator

from autosam_inference.frozen import Frozen

Split = Literal["train", "val", "test"]


class SplitPart(Frozen):
    """So many of the cases, in the order of their ids, belong to ``split``."""

    split: Split
    cases: PositiveInt


class InOrder(Frozen):
    """Cases sorted by id, cut into consecutive parts.

    Of more cases than the parts name the surplus is for training; with fewer the parts shrink in proportion.
    """

    rule: Literal["in_order"]
    parts: tuple[SplitPart, ...]

    @model_validator(mode="after")
    def _one_part_a_split(self) -> Self:
        splits = [part.split for part in self.parts]
        if "train" not in splits or len(set(splits)) < len(splits):
            raise ValueError(f"the parts of a split need one 'train' and each name once, not {splits}")
        return self


class ByList(Frozen):
    """The dataset's own lists (of ``dataset.json``, or its folders imagesTr, imagesVa, imagesTs)."""

    rule: Literal["by_list"]
    lists: dict[Literal["training", "validation", "test"], Split]


class EveryCase(Frozen):
    """Every case is in all of ``splits``: for proofs on a single scan, whose figures are no test results."""

    rule: Literal["every_case"]
    splits: tuple[Split, ...]


class Folds(Frozen):
    """Cross-validation: the patients are dealt into ``folds`` groups, and each is the test group of one fold.

    In fold k group k tests, the next one validates and the others train, so that the weights that are kept are never
    chosen by the cases that are scored. All cases of a patient are in one group.
    """

    rule: Literal["folds"]
    folds: Annotated[int, Field(ge=3, le=100)]
    fold: Annotated[int, Field(ge=0)] = 0

    @model_validator(mode="after")
    def _is_one_of_them(self) -> Self:
        if self.fold >= self.folds:
            raise ValueError(f"fold {self.fold} of {self.folds} is not possible: they count from 0 to {self.folds - 1}")
        return self
