"""The paper's figures as its tables have them."""

import pytest

from autosam_platform.data.description import load_description
from autosam_platform.data.splits import InOrder
from autosam_platform.evaluation.paper import SPLITS, PaperSplit, Published, published


def test_the_papers_results_are_ordered_and_name_their_table() -> None:
    rows = published("btcv")
    assert rows[0] == Published("AutoSAM Adapter", 87.15, 78.83, 1)
    assert rows[-1] == Published("SAM, no fine-tuning", 54.86, None, 2)
    assert len(rows) == 8


def test_table_2_has_two_datasets_only() -> None:
    assert {row.table for row in published("amos")} == {1, 2}
    assert {row.table for row in published("ct_org")} == {row.table for row in published("pelvic")} == {1}
    assert published("pelvic")[0].dice == 91.30
    assert published("ct_org")[0].model == "nnU-Net"


def test_other_datasets_are_not_in_the_paper() -> None:
    assert published("phantom") == []


@pytest.mark.parametrize("name", ["btcv", "ct_org", "pelvic"])
def test_the_splits_are_those_of_our_descriptions(name: str) -> None:
    split = load_description(name).split
    assert isinstance(split, InOrder)
    ours = {part.split: part.cases for part in split.parts}
    assert PaperSplit(**{"val": 0, **ours}) == SPLITS[name]
