"""Figures of a paper, to be shown beside ours and plainly marked as the paper's: data, a file per paper."""

import functools
from pathlib import Path
from typing import NamedTuple, Self

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from autosam_inference.errors import UserError, reasons

PAPERS = Path(__file__).parent / "papers"
OURS = "autosam_adapter"
"""The paper that this project builds."""


class PaperError(UserError):
    """A paper's figures that cannot be read; the message names the file and what is wrong with it."""


class PaperSplit(NamedTuple):
    """Cases that the paper trained, validated and tested on (Sec. 7.1)."""

    train: int
    val: int
    test: int


class Published(NamedTuple):
    """A model's result in the paper: mean Dice and NSD in percent over organs and test cases; ``None`` is not given."""

    model: str
    dice: float
    nsd: float | None
    table: int


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class PaperRow(_Part):
    """A row of a table, a number per column in percent; None is a number that the paper does not give.

    Attributes:
        parameters: that are tuned, in millions.
    """

    title: str
    parameters: float | None = None
    dice: tuple[float | None, ...] = ()
    nsd: tuple[float | None, ...] = ()


class PaperTable(_Part):
    """A table of a paper: rows by keys that a study's rows have, too."""

    number: int
    columns: tuple[str, ...]
    rows: dict[str, PaperRow]

    @model_validator(mode="after")
    def _rows_are_whole(self) -> Self:
        for key, row in self.rows.items():
            for metric in (row.dice, row.nsd):
                if len(metric) not in (0, len(self.columns)):
                    raise ValueError(f"{key} has {len(metric)} numbers for {len(self.columns)} columns")
        return self

    def percent(self, row: str, column: str, metric: str) -> float | None:
        """What the table prints there; None where it prints nothing."""
        if row not in self.rows or column not in self.columns:
            return None
        numbers: tuple[float | None, ...] = getattr(self.rows[row], metric)
        return numbers[self.columns.index(column)] if numbers else None


class Paper(_Part):
    """What a paper prints.

    Attributes:
        ours: what it calls its own model.
        splits: by the names of our descriptions of datasets.
    """

    title: str
    ours: str
    splits: dict[str, PaperSplit]
    tables: dict[str, PaperTable]


@functools.cache
def load_paper(name: str = OURS) -> Paper:
    """A paper's figures by the name of its file in ``papers/``.

    Raises:
        PaperError: there is no such file, or it does not hold what a paper's file holds.
    """
    path = PAPERS / f"{name}.yaml"
    known = sorted(each.stem for each in PAPERS.glob("*.yaml"))
    if name not in known:
        raise PaperError(f"no paper '{name}': there are {', '.join(known)}, and another one is a file in {PAPERS}")
    try:
        return Paper.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except ValidationError as error:
        raise PaperError(f"{path}: {'; '.join(reasons(error))}") from error


def published(dataset: str) -> list[Published]:
    """The paper's results on a dataset of ours (Tables 1 and 2), best Dice first; none where it is not in the paper.

    A model that both tables have counts once.
    """
    found: dict[str, Published] = {}
    for name in ("table1", "table2"):
        table = load_paper().tables[name]
        for key, row in table.rows.items():
            dice = table.percent(key, dataset, "dice")
            if dice is not None:
                found.setdefault(key, Published(row.title, dice, table.percent(key, dataset, "nsd"), table.number))
    return sorted(found.values(), key=lambda row: row.dice, reverse=True)


def dice_by_lambda() -> dict[float, float]:
    """Mean Dice in percent by λ: SwinUNETR-Small on BTCV's test cases (Table 4)."""
    table = load_paper().tables["table4"]
    return {float(row.title): row.dice[0] for row in table.rows.values() if row.dice and row.dice[0] is not None}
