"""Figures of the paper, to be shown beside ours and plainly marked as the paper's."""

from typing import NamedTuple


class Published(NamedTuple):
    """A model's result in the paper: mean Dice and NSD in percent over organs and test cases; ``None`` is not given."""

    model: str
    dice: float
    nsd: float | None
    table: int


class PaperSplit(NamedTuple):
    """Cases that the paper trained, validated and tested on (Sec. 7.1)."""

    train: int
    val: int
    test: int


SPLITS = {
    "btcv": PaperSplit(24, 0, 6),
    "amos": PaperSplit(200, 0, 100),
    "ct_org": PaperSplit(81, 0, 19),
    "pelvic": PaperSplit(225, 30, 45),
}
"""By the names of our descriptions of datasets."""

_COLUMNS = ("btcv", "amos", "ct_org", "pelvic")
_TABLE_1 = {
    "nnU-Net": ((84.34, 73.21), (87.43, 77.12), (85.51, 75.60), (88.04, 83.87)),
    "nnFormer": ((83.51, 71.65), (84.52, 70.06), (82.75, 70.31), (87.60, 82.13)),
    "UNETR": ((85.47, 74.35), (77.24, 60.58), (83.13, 71.56), (86.68, 81.54)),
    "SwinUNETR": ((86.58, 75.26), (86.19, 74.83), (84.34, 72.32), (89.12, 83.54)),
    "AutoSAM Adapter": ((87.15, 78.83), (88.65, 79.41), (85.12, 76.37), (91.30, 84.35)),
}
# Of Table 2 the rows that Table 1 lacks; it has BTCV and AMOS only.
_TABLE_2: dict[str, tuple[tuple[float, float | None], ...]] = {
    "SAM, no fine-tuning": ((54.86, None), (49.31, None)),
    "MedSAM, prompt encoder and mask decoder tuned": ((80.65, 66.82), (70.28, 59.61)),
    "MedSAM, all tuned": ((84.57, 73.76), (83.10, 70.26)),
}

TABLE_4 = {0.0: 78.54, 0.2: 82.45, 0.5: 83.27, 0.8: 81.14, 1.0: 79.63}
"""Mean Dice in percent by λ: SwinUNETR-Small on BTCV's test cases (Table 4)."""


def published(dataset: str) -> list[Published]:
    """The paper's results on a dataset of ours (Tables 1 and 2), best Dice first; none where it is not in the paper."""
    if dataset not in _COLUMNS:
        return []
    column = _COLUMNS.index(dataset)
    rows = [
        Published(model, *scores[column], number)
        for number, table in ((1, _TABLE_1), (2, _TABLE_2))
        for model, scores in table.items()
        if column < len(scores)
    ]
    return sorted(rows, key=lambda row: row.dice, reverse=True)
