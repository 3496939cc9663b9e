"""What cells come to: means and spreads, who is better, and the table that says so."""

import csv
import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

from autosam_platform.evaluation.table import Row
from autosam_platform.studies import figures
from autosam_platform.studies.description import Column, FigureKind, Study
from autosam_platform.studies.report import write_study
from autosam_platform.studies.results import (
    CellResult,
    Difference,
    MemberResult,
    StudyResults,
    differences,
    merged,
    read_results,
)
from autosam_platform.studies.table import as_latex, as_markdown, lines, notes, number
from autosam_platform.workspace import StudyFolder

STUDY = Study.model_validate(
    {
        "title": "A table",
        "about": "Of two.",
        "paper": {"name": "autosam_adapter", "table": "table1"},
        "starred": "autosam",
        "columns": {"btcv": {"title": "BTCV"}, "amos": {"title": "AMOS"}},
        "rows": {"nnunet": {"title": "nnU-Net"}, "autosam": {"title": "AutoSAM & more"}},
    }
)


def _member(dice: float, nsd: float | None = 0.5, **more: Any) -> MemberResult:
    values: dict[str, Any] = {"label": "", "run": "run-1", "seed": 0, "cases": (24, 0, 8), "split": "s", "weights": "w"}
    budget: dict[str, Any] = {"steps": 100, "patch": (64, 64, 64), "batch": 1}
    return MemberResult(dice=dice, nsd=nsd, **values | budget | more)


def _results(*cells: CellResult, found: tuple[Difference, ...] = (), **more: Any) -> StudyResults:
    known = {(each.row, each.column) for each in cells}
    empty = [
        CellResult(row=row, column=column, reason="not asked for")
        for row in STUDY.rows
        for column in STUDY.columns
        if (row, column) not in known
    ]
    values: dict[str, Any] = {"name": "t-demo-1", "recipe": "btcv", "demo": False, "study": STUDY}
    columns = {key: Column(title=column.title) for key, column in STUDY.columns.items()}
    return StudyResults(**values | more, columns=columns, cells=(*cells, *empty), differences=found)


def _cell(row: str, *members: MemberResult, **more: Any) -> CellResult:
    return CellResult(row=row, column="btcv", members=members, wanted=len(members), **more)


def _difference(p: float, gain: float = 0.02, n: int = 8, metric: str = "dice") -> Difference:
    values: dict[str, Any] = {"column": "btcv", "other": "nnunet", "metric": metric}
    return Difference(**values, n=n, difference=gain, p=p)


def test_a_cell_is_the_mean_of_its_trainings_with_their_standard_deviation() -> None:
    cell = _cell("autosam", _member(0.70, seed=0), _member(0.74, seed=1))
    assert cell.score("dice") == pytest.approx(0.72)
    assert cell.spread("dice") == pytest.approx(0.02 * math.sqrt(2))
    assert math.isnan(_cell("autosam", _member(0.7)).spread("dice"))
    assert cell.tested == 8  # seeds are tested on the same cases
    assert _cell("autosam", _member(0.7, split="a"), _member(0.7, split="b")).tested == 16  # folds on their own


def test_ours_stands_beside_the_papers() -> None:
    results = _results(_cell("autosam", _member(0.8815)), _cell("nnunet", _member(0.80, None)))
    assert str(number(results, "autosam", "btcv", "dice")) == "88.15 (87.15, +1.00)"
    assert str(number(results, "nnunet", "btcv", "nsd")) == "– (73.21)"
    assert number(results, "autosam", "btcv", "dice").best
    assert lines(results)[0] == ["nnU-Net", "– (31.18)", "80.00 (84.34, -4.34)", "– (73.21)", "– (87.43)", "– (77.12)"]


@pytest.mark.parametrize(
    ("found", "starred"),
    [
        (_difference(0.0078), True),
        (_difference(0.02), False),  # not below 0.01
        (_difference(0.0078, gain=-0.02), False),  # worse
        (_difference(0.0078, n=5), False),  # too few cases
        (_difference(0.0078, metric="nsd"), False),  # of the other metric
    ],
)
def test_a_star_is_for_who_is_better_than_each_other_row(found: Difference, starred: bool) -> None:
    results = _results(_cell("autosam", _member(0.9)), _cell("nnunet", _member(0.8)), found=(found,))
    assert results.starred("autosam", "btcv", "dice") is starred
    assert not results.starred("nnunet", "btcv", "dice")
    missing = _results(_cell("autosam", _member(0.9)), found=())
    assert not missing.starred("autosam", "btcv", "dice")


def test_differences_are_those_of_wilcoxons_test_over_cases() -> None:
    ours = [_row(f"case{index}", "liver", 0.80 + 0.01 * index) for index in range(8)]
    theirs = [_row(f"case{index}", "liver", 0.70) for index in range(8)]
    found = differences(STUDY, "btcv", {"nnunet": theirs, "autosam": ours})
    assert [(each.other, each.metric, each.n) for each in found] == [("nnunet", "dice", 8), ("nnunet", "nsd", 8)]
    assert found[0].difference == pytest.approx(0.135)
    assert found[0].p == pytest.approx(2 / 2**8)  # eight differences of one sign
    assert found[1].p is None  # no case differs
    assert differences(STUDY, "btcv", {"nnunet": theirs}) == []


def test_several_trainings_are_merged_case_by_case() -> None:
    one = [_row("a", "liver", 0.6), _row("b", "liver", math.nan)]
    other = [_row("a", "liver", 0.8), _row("b", "liver", 0.5), _row("c", "liver", 0.1)]
    assert {row.case: row.dice for row in merged([one, other])} == {"a": pytest.approx(0.7), "b": 0.5, "c": 0.1}


def test_what_is_not_there_is_a_dash_with_the_reason_and_conditions_are_named() -> None:
    results = _results(
        _cell("autosam", _member(0.9, cases=(20, 4, 8))),
        _cell("nnunet", _member(0.8, cases=(20, 4, 8), steps=50)),
        tolerances={"btcv": 2.0},
    )
    said = "\n".join(notes(results))
    assert "NSD at 2 mm; test cases: BTCV 8." in said
    assert "BTCV: 20 / 4 / 8 cases to train, validate and test; the paper's 24 / 0 / 6; " in said
    size = "(batch 1, patches of 64 × 64 × 64)"
    assert f"100 steps {size}: AutoSAM & more; 50 steps {size}: nnU-Net; seed 0." in said
    assert "– nnU-Net, AMOS; AutoSAM & more, AMOS: not asked for." in said
    few = _results(_cell("autosam", _member(0.9, cases=(24, 0, 5))), _cell("nnunet", _member(0.8, cases=(24, 0, 5))))
    assert "with fewer than 6 cases nothing is tested (BTCV)" in "\n".join(notes(few))
    seven = _results(_cell("autosam", _member(0.9, cases=(24, 0, 7))), _cell("nnunet", _member(0.8, cases=(24, 0, 7))))
    assert "with fewer than 8 cases no difference can have such a p (BTCV)" in "\n".join(notes(seven))
    assert "no difference can" not in said  # of eight, all of one sign have p = 0.0078


def test_at_demo_size_a_small_network_stands_under_its_own_name() -> None:
    rows = dict(STUDY.rows) | {"nnunet": STUDY.rows["nnunet"].model_copy(update={"demo": {"model.name": "unet_nano"}})}
    study = STUDY.model_copy(update={"rows": rows})
    cells = _cell("autosam", _member(0.9)), _cell("nnunet", _member(0.8))
    assert lines(_results(*cells, study=study, demo=True))[0][0] == "nnU-Net (here unet_nano)"
    assert lines(_results(*cells, study=study))[0][0] == "nnU-Net"


def test_an_oracle_is_called_one() -> None:
    results = _results(_cell("nnunet", _member(0.9), oracle=True))
    assert "Oracle: nnU-Net: the prompts come from the labels" in "\n".join(notes(results))


def test_the_tables_are_written_and_read_back(tmp_path: Path) -> None:
    starred = (_difference(0.0078), _difference(0.0078, metric="nsd"))
    cells = _cell("autosam", _member(0.9), parameters=2_141_806), _cell("nnunet", _member(0.8))
    results, folder = _results(*cells, found=starred), StudyFolder(tmp_path / "study")
    write_study(folder, results)
    assert read_results(folder.results) == results
    with folder.csv.open(encoding="utf-8") as file:
        read = {(line["row"], line["column"], line["metric"]): line for line in csv.DictReader(file)}
    line = read["autosam", "btcv", "dice"]
    assert (line["percent"], line["paper_percent"], line["difference"]) == ("90.0000", "87.1500", "2.8500")
    assert (line["starred"], line["trained_parameters"], line["runs"]) == ("1", "2141806", "run-1")
    assert read["autosam", "amos", "dice"]["percent"] == ""
    assert read["autosam", "amos", "dice"]["reason"] == "not asked for"
    assert r"| AutoSAM & more | 2.14 (26.53) | 90.00\* (87.15, +2.85) |" in folder.markdown.read_text(encoding="utf-8")
    page = folder.report.read_text(encoding="utf-8")
    assert "AutoSAM &amp; more" in page
    assert "data:image/png;base64," in page
    assert folder.figure_svg.read_text(encoding="utf-8").lstrip().startswith("<?xml")


@pytest.mark.parametrize("kind", ["dots", "bars"])
def test_titles_and_names_in_a_figure_are_seen_whole(kind: FigureKind, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[Figure] = []
    monkeypatch.setattr(figures, "save_figure", lambda figure, _: drawn.append(figure))
    rows = {
        name: row.model_copy(
            update={"title": f"A system with a name of {len(name)} letters", "demo": {"model.name": name}}
        )
        for name, row in STUDY.rows.items()
    }
    title = "A table whose title is longer than any of its panels are wide, and then goes on for a while"
    study = STUDY.model_copy(update={"title": title, "figure": kind, "rows": rows})
    figures.save_figures(_results(_cell("autosam", _member(0.9)), study=study, demo=True), [Path("one.png")])
    (figure,) = drawn
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    told = figure.findobj(lambda each: isinstance(each, Text) and title[:7] in each.get_text())
    (whole,) = [each.get_window_extent() for each in told if isinstance(each, Text)]
    assert 0 <= whole.x0 < whole.x1 <= figure.bbox.width
    for panel in figure.axes:
        names = [each.get_window_extent() for each in panel.get_xticklabels() if "system" in each.get_text()]
        assert all(before.x1 < after.x0 for before, after in pairwise(names))
    assert kind == "dots" or len(figure.axes[0].get_xticklabels()) == len(rows) > 1


def test_latex_has_no_sign_that_it_cannot_read() -> None:
    text = as_latex(_results(_cell("autosam", _member(0.9), _member(0.92, seed=1))))
    row = next(line for line in text.splitlines() if line.startswith("AutoSAM"))
    assert row.startswith(r"AutoSAM \& more & -- (26.53) & \textbf{91.00 $\pm$ 1.41} {\scriptsize (87.15)} & ")
    assert row.endswith(r"\\")
    assert all(ord(sign) < 128 for sign in text)
    assert as_markdown(_results()).startswith("## A table\n\nOf two.\n\n| ")


def _row(case: str, organ: str, dice: float) -> Row:
    return Row(case, 1, organ, dice, 0.5, 2.0, 3.0, 10.0, 10.0)
