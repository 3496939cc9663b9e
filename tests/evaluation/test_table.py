"""The file, the summary and the terminal's table, on scores whose means are checked by hand."""

import io
import json
import math
from pathlib import Path

import pytest
from rich.console import Console

from autosam_platform.evaluation.metrics import ClassMetrics
from autosam_platform.evaluation.table import Row, as_table, read_rows, sources_table, summarise, write_rows

NAN = math.nan
SECONDS = {"network": 2.0, "total": 2.5}


def row(case: str, class_id: int, name: str, dice: float, nsd: float, hd95: float, tolerance: float = 2.0) -> Row:
    return Row.of(case, ClassMetrics(class_id, name, dice, nsd, hd95, truth_ml=10.0, predicted_ml=11.0), tolerance)


ROWS = [
    row("a", 1, "liver", 0.9, 0.8, 3.0),
    row("a", 2, "gallbladder", NAN, NAN, NAN),
    row("a", 3, "esophagus", NAN, NAN, NAN),
    row("b", 1, "liver", 0.7, 0.6, 5.0),
    row("b", 2, "gallbladder", 0.2, 0.3, 12.0),
    row("b", 3, "esophagus", NAN, NAN, NAN),
]


def test_a_class_counts_once_however_many_cases_have_it() -> None:
    summary = summarise(ROWS, SECONDS)
    assert summary.per_class["liver"].dice == pytest.approx(0.8)
    assert [summary.per_class[name].n for name in ("liver", "gallbladder", "esophagus")] == [2, 1, 0]
    assert math.isnan(summary.per_class["esophagus"].nsd)
    assert summary.mean_dice == pytest.approx((0.8 + 0.2) / 2)
    assert summary.mean_nsd == pytest.approx((0.7 + 0.3) / 2)
    assert summary.mean_hd95_mm == pytest.approx((4.0 + 12.0) / 2)
    assert summary.n_cases == 2


def test_a_missed_organ_lowers_dice_and_is_left_out_of_hd95_with_its_own_n() -> None:
    summary = summarise([*ROWS, row("c", 1, "liver", 0.0, 0.0, NAN), row("c", 3, "esophagus", 0.0, 0.0, NAN)], SECONDS)
    liver, esophagus = summary.per_class["liver"], summary.per_class["esophagus"]
    assert (liver.dice, liver.hd95_mm) == pytest.approx((1.6 / 3, 4.0))
    assert (liver.n, liver.n_hd95) == (3, 2)
    assert (esophagus.dice, esophagus.n, esophagus.n_hd95) == (0.0, 1, 0)
    assert math.isnan(esophagus.hd95_mm)
    assert summary.mean_hd95_mm == pytest.approx((4.0 + 12.0) / 2)


def test_json_has_null_where_there_is_no_score() -> None:
    loaded = json.loads(json.dumps(summarise(ROWS, SECONDS).as_json(), allow_nan=False))
    means = {"mean_dice", "mean_nsd", "mean_hd95_mm"}
    assert set(loaded) == means | {"n_cases", "nsd_tolerance_mm", "per_class", "seconds_per_case"}
    assert loaded["seconds_per_case"] == SECONDS
    assert loaded["per_class"]["esophagus"] == {"dice": None, "nsd": None, "hd95_mm": None, "n": 0, "n_hd95": 0}
    assert loaded["per_class"]["gallbladder"] == {"dice": 0.2, "nsd": 0.3, "hd95_mm": 12.0, "n": 1, "n_hd95": 1}


def test_rows_come_back_from_the_file_as_they_were(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    rows = [*ROWS, row("c", 1, 'liver, "left" lobe', 1 / 3, 0.0, 7 / 3)]
    write_rows(path, rows)
    header = "case,class_id,class_name,dice,nsd,nsd_tolerance_mm,hd95_mm,truth_ml,predicted_ml"
    assert path.read_text().splitlines()[0] == header
    # repr: equal as numbers, NaN being equal to NaN
    assert repr(read_rows(path)) == repr(rows)
    assert [each.name for each in tmp_path.iterdir()] == ["metrics.csv"]


def test_rows_come_back_from_json_as_they_were() -> None:
    text = json.dumps([each.as_json() for each in ROWS], allow_nan=False)
    assert repr([Row.from_json(each) for each in json.loads(text)]) == repr(ROWS)


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    path.write_text("case,dice\na,0.5\n")
    with pytest.raises(ValueError, match=r"metrics\.csv has the columns"):
        read_rows(path)
    write_rows(path, ROWS)
    path.write_text(path.read_text()[:-12])
    with pytest.raises(ValueError, match=r"metrics\.csv is damaged at line 7"):
        read_rows(path)


def test_rows_of_different_tolerances_are_not_averaged() -> None:
    with pytest.raises(ValueError, match=r"one NSD tolerance, these have \[2\.0, 3\.0\]"):
        summarise([ROWS[0], row("b", 1, "liver", 0.7, 0.6, 5.0, tolerance=3.0)], SECONDS)
    with pytest.raises(ValueError, match="none"):
        summarise([], {})


def test_the_table_shows_percent_millimetres_and_n() -> None:
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(as_table(summarise(ROWS, SECONDS), "Test cases"))
    lines = [" ".join(line.split()) for line in console.export_text().splitlines()]
    assert "organ Dice % NSD % (2 mm) n HD95 mm n (HD95)" in lines
    assert "liver 80.00 70.00 2 4.00 2" in lines
    assert "esophagus – – 0 – 0" in lines
    assert "mean over organs 50.00 50.00 2 8.00" in lines


def test_each_of_several_sources_has_its_means() -> None:
    """Of source two: liver (0.7 + 0.5) / 2 = 0.6, gallbladder 0.2, mean (0.6 + 0.2) / 2 = 0.4."""
    rows = [*ROWS, row("c", 1, "liver", 0.5, 0.4, 5.0)]
    summary = summarise(rows, SECONDS, {"a": "one", "b": "two", "c": "two"})
    one, two = summary.per_source["one"], summary.per_source["two"]
    assert (one.mean_dice, one.mean_nsd, one.n_cases) == pytest.approx((0.9, 0.8, 1))
    assert (two.mean_dice, two.mean_nsd, two.n_cases) == pytest.approx((0.4, (0.5 + 0.3) / 2, 2))
    assert json.loads(json.dumps(summary.as_json()))["per_source"]["one"] == {
        "mean_dice": 0.9,
        "mean_nsd": 0.8,
        "n_cases": 1,
    }
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(sources_table(summary))
    lines = [" ".join(line.split()) for line in console.export_text().splitlines()]
    assert "source Dice % NSD % (2 mm) n" in lines
    assert "one 90.00 80.00 1" in lines and "two 40.00 40.00 2" in lines


def test_a_single_source_has_no_table_of_its_own() -> None:
    assert summarise(ROWS, SECONDS, {"a": "one", "b": "one"}).per_source == {}
    assert "per_source" not in summarise(ROWS, SECONDS).as_json()
