"""The paper's figures as its tables have them."""

from pathlib import Path

import pytest

from autosam_platform.data.description import load_description
from autosam_platform.data.splits import InOrder
from autosam_platform.evaluation.paper import PAPERS, PaperError, PaperSplit, Published, load_paper, published


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
    assert PaperSplit(**{"val": 0, **ours}) == load_paper().splits[name]


def test_a_table_says_what_it_prints_and_nothing_else() -> None:
    table = load_paper().tables["table3"]
    assert table.percent("no_apg", "btcv", "nsd") == 74.12
    assert table.percent("no_apg", "amos", "nsd") is None
    assert table.percent("nobody", "btcv", "dice") is None
    assert load_paper().tables["table2"].percent("sam", "amos", "nsd") is None


def test_a_paper_that_is_not_there_or_not_whole_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(PaperError, match="no paper 'other': there are autosam_adapter"):
        load_paper("other")
    text = (PAPERS / "autosam_adapter.yaml").read_text(encoding="utf-8")
    (tmp_path / "short.yaml").write_text(text.replace("dice: [87.15, 88.65], nsd", "dice: [87.15], nsd"), "utf-8")
    monkeypatch.setattr("autosam_platform.evaluation.paper.PAPERS", tmp_path)
    with pytest.raises(PaperError, match=r"short\.yaml.*autosam has 1 numbers for 2 columns"):
        load_paper("short")
