"""The matched report of three models whose scores are made by hand."""

import csv
import io
import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
from matplotlib.image import imread
from rich.console import Console

from autosam_platform.distillation.compared import Compared
from autosam_platform.distillation.labels import STUDENT, TEACHER, TWIN, Label
from autosam_platform.distillation.report import Report, matched_report
from autosam_platform.evaluation.cost import ModelCost
from autosam_platform.evaluation.metrics import ClassMetrics
from autosam_platform.evaluation.table import Row, summarise
from autosam_platform.workspace import Workspace

NAN = math.nan
COST = ModelCost(4_000_000, 44.79, (96, 96, 96), 2.5, 812.4, "one scan of 9 × 9 × 9 voxels, overlap 0.5; a CPU")
# Dice of liver and spleen in case 0; the student gains 0.0004 from case to case, so its means are 0.001 higher.
DICE: dict[Label, tuple[float, float]] = {TEACHER: (0.9, 0.7), TWIN: (0.8, 0.4), STUDENT: (0.85, 0.55)}
GAIN: dict[Label, float] = {TEACHER: 0.0, TWIN: 0.0, STUDENT: 0.0004}


def compared(label: Label) -> Compared:
    rows = [
        row(f"case {case}", organ, number, dice + GAIN[label] * case)
        for case in range(6)
        for number, (organ, dice) in enumerate(zip(("liver", "spleen"), DICE[label], strict=True), start=1)
    ] + [row("case 0", "gallbladder", 3, NAN)]
    cost = replace(COST, parameters=20_000_000, peak_mb=NAN) if label == TEACHER else COST
    return Compared(label, f"run-of-{label[:7]}", rows, summarise(rows, {}), cost, {"kd_lambda": "0.5"})


def row(case: str, organ: str, number: int, dice: float) -> Row:
    return Row.of(case, ClassMetrics(number, organ, dice, dice / 2, 1.0, truth_ml=10.0, predicted_ml=10.0), 2.0)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Report]:
    run = Workspace(tmp_path_factory.mktemp("workspace")).run("student-1")
    return run.report, matched_report(run, [compared(STUDENT), compared(TEACHER), compared(TWIN)])


def lines(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_the_file_has_a_line_per_model_and_organ_and_their_mean(made: tuple[Path, Report]) -> None:
    found = lines(made[0] / "report.csv")
    assert [each["model"] for each in found[::4]] == [TEACHER, TWIN, STUDENT]
    assert [each["organ"] for each in found[:4]] == ["liver", "spleen", "gallbladder", "mean over organs"]
    twin = found[4:8]
    assert [float(twin[place]["dice_percent"]) for place in (0, 1, 3)] == pytest.approx([80, 40, 60])
    assert [float(twin[place]["nsd_percent"]) for place in (0, 1, 3)] == pytest.approx([40, 20, 30])
    assert [float(twin[place]["retention_percent"]) for place in (0, 1, 3)] == pytest.approx(
        [100 * 8 / 9, 100 * 4 / 7, 100 * 6 / 8]
    )
    assert [each["n_cases"] for each in twin] == ["6", "6", "0", "6"]


def test_the_file_has_costs_with_the_mean_and_nothing_where_there_is_no_number(made: tuple[Path, Report]) -> None:
    found = lines(made[0] / "report.csv")
    assert found[2]["dice_percent"] == found[2]["retention_percent"] == found[2]["parameters"] == ""
    assert found[3]["parameters"] == "20000000"
    assert found[3]["peak_memory_mb"] == ""
    assert found[7]["patch_voxels"] == "96x96x96"
    assert [float(found[7][name]) for name in ("gflop_per_patch", "cpu_seconds_per_scan", "peak_memory_mb")] == [
        44.79,
        2.5,
        812.4,
    ]


def test_the_record_has_every_model_and_the_tests(made: tuple[Path, Report]) -> None:
    folder, report = made
    record = json.loads((folder / "report.json").read_text())
    assert record == json.loads(json.dumps(report.as_json(), allow_nan=False))
    assert list(record["models"]) == [TEACHER, TWIN, STUDENT]
    student = record["models"][STUDENT]
    assert student["retention_percent"] == pytest.approx(100 * 0.701 / 0.8)
    assert student["cost"]["parameters"] == 4_000_000
    assert student["lineage"] == {"kd_lambda": "0.5"}
    assert student["per_class"]["gallbladder"]["dice"] is None
    assert record["models"][TEACHER]["cost"]["peak_mb"] is None
    against_twin = record["wilcoxon"]["student vs student without distillation"]
    # Six gains, all different: of 2⁶ ways to sign them, two are as far from even.
    assert (against_twin["dice"]["n"], against_twin["dice"]["p_value"]) == (6, 2 / 64)
    assert against_twin["dice"]["mean_difference"] == pytest.approx(0.101)
    assert against_twin["nsd"]["mean_difference"] == pytest.approx(0.0505)
    assert record["wilcoxon"]["student vs teacher"]["dice"]["mean_difference"] == pytest.approx(-0.099)


def shown(report: Report) -> list[str]:
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(report.as_table())
    return [" ".join(line.split()) for line in console.export_text().splitlines()]


def test_the_table_shows_percent_costs_and_tests(made: tuple[Path, Report]) -> None:
    found = shown(made[1])
    assert "Dice % / NSD % (2 mm) teacher student without distillation student n" in found
    assert "liver 90.00 / 45.00 80.00 / 40.00 85.10 / 42.55 6" in found
    assert "gallbladder – / – – / – – / – 0" in found
    assert "mean over organs 80.00 / 40.00 60.00 / 30.00 70.10 / 35.05 6" in found
    assert "% of the teacher's Dice 100.0 75.0 87.6" in found
    assert "parameters, million 20.00 4.00 4.00" in found
    assert "peak memory, MB – 812 812" in found
    assert "student vs student without distillation, Dice: +10.10 points, n = 6, p = 0.0312" in found
    assert "CPU: one scan of 9 × 9 × 9 voxels, overlap 0.5; a CPU." in found


def test_the_picture_is_there_and_shows_the_organs_colours(made: tuple[Path, Report]) -> None:
    pixels = imread(made[0] / "report.png")[..., :3]
    assert pixels.shape[1] == 1200
    for colour in ((160, 0, 0), (96, 0, 192)):  # liver, spleen: the student with distillation
        assert (abs(pixels - [channel / 255 for channel in colour]).max(-1) < 0.02).sum() > 20


@pytest.mark.parametrize("labels", [[STUDENT], [TEACHER], [TWIN, TEACHER], [STUDENT, TEACHER]], ids=str)
def test_a_report_comes_with_the_models_there_are(tmp_path: Path, labels: list[Label]) -> None:
    run = Workspace(tmp_path).run("student-1")
    report = matched_report(run, [compared(label) for label in labels])
    assert len(lines(run.report_table)) == 4 * len(labels)
    assert set(report.as_json()["wilcoxon"]) == ({"student vs teacher"} if labels == [STUDENT, TEACHER] else set())
    assert run.report_picture.stat().st_size > 0
    kept = report.as_json()["models"][labels[0]]["retention_percent"]
    assert (kept is None) == (TEACHER not in labels)


def test_two_runs_with_one_label_are_refused(tmp_path: Path) -> None:
    run = Workspace(tmp_path).run("student-1")
    with pytest.raises(ValueError, match=r"these have \['student', 'student'\]"):
        matched_report(run, [compared(STUDENT), compared(STUDENT)])
    with pytest.raises(ValueError, match="these have"):
        matched_report(run, [])
    assert not list(tmp_path.iterdir())


def test_a_teacher_of_files_has_scores_and_no_costs(tmp_path: Path) -> None:
    run = Workspace(tmp_path).run("student-2")
    report = matched_report(run, [compared(STUDENT), replace(compared(TEACHER), cost=None), compared(TWIN)])
    teacher, student = (
        next(each for each in lines(run.report_table) if each["model"] == label and each["organ"] == "mean over organs")
        for label in (TEACHER, STUDENT)
    )
    assert float(teacher["dice_percent"]) == pytest.approx(80) and teacher["parameters"] == ""
    assert float(student["retention_percent"]) > 80 and student["parameters"] == "4000000"
    assert json.loads(run.report_json.read_text())["models"][TEACHER]["cost"] is None
    text = Console(width=200, file=io.StringIO())
    text.print(report.as_table())
    assert "parameters, million" in text.file.getvalue()  # type: ignore[attr-defined]
