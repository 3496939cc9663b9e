"""What the pages of runs are made of, on values that can be checked by hand."""

import csv
import json
import math
import runpy
import shlex
import sys
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from example_runs import write_card
from safetensors.numpy import save_file

from autosam_platform.evaluation.table import Row
from autosam_platform.experiment import Experiment
from autosam_platform.locks import is_locked
from autosam_platform.pipeline import distilling, ending, steps, sweeping
from autosam_platform.tracking.reading import PARENT, RunSummary
from autosam_platform.workspace import Workspace
from dashboard.components.charts import case_boxes, curve_charts
from dashboard.components.jobs.repeat_command import repeating, terminal
from dashboard.components.record import comparison, leaderboard, lineage, run_files

JOBS = Path(__file__).parents[2] / "jobs"
NAN = math.nan


def _run(run_id: str, dice: float | None = None, **tags: str) -> RunSummary:
    metrics = {} if dice is None else {"test/mean_dice": dice}
    known = {"autosam.run_id": run_id, "autosam.dataset": "phantom"} | tags
    return RunSummary.of(f"mlflow-{run_id}", "FINISHED", 60_000, known, metrics)


def _row(case: str, organ: str, dice: float, number: int = 1) -> Row:
    return Row(case, number, organ, dice, dice / 2, 2.0, NAN, 1.0, 1.0)


def test_a_row_has_its_start_from_milliseconds() -> None:
    assert _run("demo-1").started == datetime(1970, 1, 1, 0, 1, tzinfo=UTC)


def test_curves_are_grouped_and_results_of_evaluations_left_out() -> None:
    point = [(1, 0.5)]
    curves = {
        "train/learning_rate": point,
        "train/loss": point,
        "train/dice_loss": point,
        "train/wait_share": point,
        "train/epoch": point,
        "train/seconds": point,
        "val/dice/liver": [(0, 0.9), (10, 0.7)],
        "val/dice/mean": point,
        "test/mean_dice": [(0, 0.8)],
    }
    loss, dice, rate, wait = curve_charts.grouped(curves)
    assert (loss.title, list(loss.curves)) == ("Loss", ["Dice loss", "Loss"])
    assert (dice.title, list(dice.curves), dice.kind) == ("Validation Dice %", ["liver", "mean"], "organs")
    assert dice.curves["liver"] == [(10, pytest.approx(70))]
    assert [chart.title for chart in curve_charts.grouped(curves, 2)][:2] == ["Loss", "Validation Dice %, n = 2 cases"]
    assert (rate.title, list(rate.curves), rate.kind) == ("Learning rate", ["Learning rate"], "planned")
    assert wait.title == "Share of time waiting for data"


def test_curves_of_several_runs_are_in_one_chart() -> None:
    dice = {"val/dice/mean": [(10, 0.5)]}
    chart = curve_charts.together("Validation Dice %", "val/dice/mean", {"a": dice, "b": {}, "c": dice})
    assert chart.curves == {"a": [(10, 50.0)], "c": [(10, 50.0)]}


def test_a_noisy_curve_has_a_running_mean_and_a_planned_one_has_none() -> None:
    points = [(step, float(step % 2)) for step in range(1, 101)]
    noisy = curve_charts.table(curve_charts.Chart("Loss", {"Loss": points}, "measured"))
    assert noisy["value"].tolist() == [value for _, value in points]
    assert noisy["smooth"].tolist()[:3] == pytest.approx([2 / 3, 1 / 2, 3 / 5])  # of 3, 4, 5 values around the point
    assert noisy["smooth"].iloc[-1] == pytest.approx(1 / 3)
    planned = curve_charts.table(curve_charts.Chart("Rate", {"Rate": points}, "planned"))
    assert planned["smooth"].tolist() == planned["value"].tolist()


def test_few_points_are_marked_and_of_many_some_tell_their_value() -> None:
    few, many = (
        curve_charts.table(curve_charts.Chart("Loss", {"Loss": [(step, 0.0) for step in range(number)]}, "planned"))
        for number in (59, 600)
    )
    assert few["marked"].all() and few["told"].all()
    assert not many["marked"].any() and many["told"].sum() == 200


def test_a_growing_curve_is_the_same_chart_with_other_points() -> None:
    """Only then does it keep its zoom in the browser."""
    short, long = (
        curve_charts.Chart("Loss", {"Loss": [(step, 0.0) for step in range(number)]}, "measured") for number in (2, 500)
    )
    assert curve_charts.spec(short, lambda _: (0, 0, 0)) == curve_charts.spec(long, lambda _: (0, 0, 0))


def test_long_curves_are_thinned_evenly_and_keep_their_end() -> None:
    table = pd.DataFrame({"step": range(2001)})
    steps = curve_charts.thinned(table)["step"].tolist()
    assert len(steps) <= 1000
    assert steps[-1] == 2000
    assert set(np.diff(steps)) == {3}
    assert len(curve_charts.thinned(table[:1000])) == 1000


def test_organs_have_their_colours_in_curves() -> None:
    chart = curve_charts.Chart("Validation Dice", {"liver": [(1, 0.5)], "mean": [(1, 0.5)]}, "organs")
    scale = curve_charts.spec(chart, lambda name: (31, 119, 180))["encoding"]["color"]["scale"]
    assert scale["domain"] == ["liver", "mean"]
    assert scale["range"][0] == "rgb(31, 119, 180)" != scale["range"][1]


def test_the_spread_has_a_box_per_class_and_counts_defined_values() -> None:
    rows = [("<i>a", 6, "<b>liver", 0.9), ("b", 6, "<b>liver", NAN), ("<i>a", 4, "gallbladder", NAN)]
    table = pd.DataFrame(rows, columns=["case", "class_id", "class_name", "dice"])
    liver, empty = case_boxes.scores(table, "dice", "Dice", lambda name: (0, 0, 0)).data
    assert (empty.y[0], liver.y[0]) == ("gallbladder (0)", "&lt;b&gt;liver (1)")
    assert list(liver.x) == [90]
    assert list(liver.customdata[0]) == ["&lt;i&gt;a", "<i>a", "<b>liver"]  # shown, and what the viewer is told


OURS = [_row("a", "liver", 0.9), _row("b", "liver", 0.7), _row("a", "spleen", 0.5, 2), _row("c", "liver", 0.1)]
THEIRS = [_row("a", "liver", 0.8), _row("b", "liver", 0.5), _row("a", "spleen", NAN, 2)]


def test_runs_are_compared_on_what_all_of_them_have() -> None:
    shared = comparison.in_common({"ours": OURS, "theirs": THEIRS})
    assert comparison.cases(shared["ours"]) == {"a", "b"}
    found = comparison.compare(shared["ours"], shared["theirs"], "dice")
    table = found.table().set_index("organ")
    assert table["n"].to_dict() == {"liver": 2, "spleen": 0, "all organs": 2}
    assert table["difference"].tolist() == pytest.approx([15, NAN, 15], nan_ok=True)
    assert table.loc["liver", ["p", "corrected"]].tolist() == ["0.5", "0.5"]  # two of one sign: 2 / 2²; one test
    assert found.points()["liver"] == pytest.approx({"a": 10, "b": 20})
    assert comparison.compare(shared["ours"], shared["theirs"], "nsd").points()["liver"] == pytest.approx(
        {"a": 5, "b": 10}
    )


def test_means_of_runs_are_over_the_same_cases() -> None:
    """The spleen of a, which only one run has a score for, is in no mean, so means and differences agree."""
    ours, theirs = [*OURS, _row("b", "spleen", 0.6, 2)], [*THEIRS, _row("b", "spleen", 0.4, 2)]
    shared = comparison.in_common({"ours": ours, "theirs": theirs})
    even, uneven = comparison.equally_scored(shared, "dice")
    means = comparison.means(even, "dice").set_index("organ")
    assert means["ours"].tolist() == pytest.approx([80, 60, 70])
    assert means["theirs"].tolist() == pytest.approx([65, 40, 52.5])
    assert means["n"].tolist()[:2] == [2, 1] and means["n"].isna().tolist()[2]
    assert uneven == {"spleen": 1}
    differences = comparison.compare(even["ours"], even["theirs"], "dice").table().set_index("organ")["difference"]
    assert differences[["liver", "spleen"]].tolist() == pytest.approx([15, 20])


def test_an_organ_that_no_case_scores_in_all_runs_has_no_mean() -> None:
    even, uneven = comparison.equally_scored(comparison.in_common({"ours": OURS, "theirs": THEIRS}), "dice")
    means = comparison.means(even, "dice").set_index("organ")
    assert means["ours"].tolist() == pytest.approx([80, NAN, 80], nan_ok=True)
    assert (means.loc["spleen", "n"], uneven) == (0, {"spleen": 1})


def test_p_is_written_in_the_table_as_in_the_text() -> None:
    gains = (0.1, 0.2, 0.05, 0.3, 0.01, 0.15)
    ours = [_row(str(case), "liver", 0.5 + gain) for case, gain in enumerate(gains)]
    found = comparison.compare(ours, [_row(str(case), "liver", 0.5) for case in range(6)], "dice")
    table = found.table().set_index("organ")
    assert table["p"].tolist() == ["0.0312", "0.0312"] and f"p = {table.loc['all organs', 'p']}" in str(found.together)
    assert table["corrected"].tolist() == ["0.0312", "–"]


def test_validations_say_over_how_many_cases_they_are(tmp_path: Path) -> None:
    """By the model's card, else by the manifest of the dataset that the run is recorded with."""
    root = Workspace(tmp_path)
    run = root.run("demo-1")
    entry = {"content": "0", "reasons": [], "status": "ok"}
    told = [("a", ["train"], "ok"), ("b", ["val"], "ok"), ("c", ["val"], "fixed"), ("d", ["val"], "rejected")]
    cases = [entry | {"case_id": name, "splits": splits, "status": status} for name, splits, status in told]
    fingerprint = "0123456789abcdef"
    manifest = root.prepared("phantom-00000001").manifest(fingerprint)
    manifest.parent.mkdir(parents=True)
    manifest.write_text(json.dumps({"fingerprint": fingerprint, "cases": cases}))
    assert run_files.validation_cases(run, root, fingerprint) == 2
    assert run_files.validation_cases(run, root, "other") is None
    write_card(run, split={"train": ["a"], "val": ["b"]})
    assert run_files.validation_cases(run, root, fingerprint) == 1


def test_settings_that_differ_and_how_many_do_not() -> None:
    one = {"name": "x", "training": {"epochs": 3, "seed": 0}}
    table, same = comparison.differing({"a": one, "b": {"name": "x", "training": {"epochs": 4}, "new": True}})
    assert same == 1
    assert table.to_numpy().tolist() == [
        ["training.epochs", "3", "4"],
        ["training.seed", "0", "–"],
        ["new", "–", "True"],
    ]


def test_the_leaderboard_is_by_dice_and_counts_parameters(tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "good-1"
    (folder / "evaluation").mkdir(parents=True)
    (folder / "evaluation" / "summary.json").write_text('{"n_cases": 6}')
    write_card(Workspace(tmp_path).run("good-1"), split={"train": ["a", "b"], "test": ["c"]})
    tensors = {"weight": np.zeros((1000, 20), np.float32), "index": np.zeros(7, np.int64)}
    save_file(tensors, folder / "model" / "model.safetensors")
    runs = [_run("bad-1", 0.5), _run("none-1"), _run("good-1", 0.75)]
    table = leaderboard.ours(Workspace(tmp_path), runs, "phantom")
    assert table["run"].tolist() == ["good-1", "bad-1"]
    assert table.loc[0, ["dice", "cases", "parameters", "split"]].tolist() == [75.0, 6, 0.02, "2 / – / 1"]
    assert table.loc[1, ["cases", "parameters", "split"]].isna().all()
    assert leaderboard.evaluated_datasets(runs) == ["phantom"]


def test_a_students_relatives_are_its_sweep_teacher_and_twin(tmp_path: Path) -> None:
    report = tmp_path / "runs" / "student-1" / "report"
    report.mkdir(parents=True)
    parts = {"teacher": "teacher-1", "student": "student-1", "student without distillation": "twin-1"}
    report.joinpath("report.json").write_text(
        json.dumps({"models": {name: {"run": run} for name, run in parts.items()}})
    )
    taught = {"autosam.teacher": "teacher-1", "autosam.teacher_hash": "abc", "autosam.kd_lambda": "0.5"}
    sweep = _run("sweep-1")
    student = _run("student-1", **taught, **{PARENT: sweep.mlflow_id})
    runs = [student, sweep, _run("teacher-1"), _run("twin-1")]

    def found(run_id: str) -> dict[str, str]:
        return {each.relation: each.run_id for each in lineage.relatives(Workspace(tmp_path), run_id, runs)}

    assert found("student-1") == {
        "part of the sweep": "sweep-1",
        "learned from the teacher": "teacher-1",
        "twin without a teacher": "twin-1",
    }
    assert found("teacher-1") == {"taught": "student-1"}
    assert found("twin-1") == {"twin with a teacher": "student-1"}


def test_several_teachers_are_relatives_each(tmp_path: Path) -> None:
    runs = [_run("student-1", **{"autosam.teacher": "one-1, two-2"}), _run("one-1"), _run("two-2")]
    found = [each.run_id for each in lineage.relatives(Workspace(tmp_path), "student-1", runs)]
    assert found == ["one-1", "two-2"]
    assert [each.run_id for each in lineage.relatives(Workspace(tmp_path), "two-2", runs)] == ["student-1"]


def test_of_the_matched_report_the_means_are_shown(tmp_path: Path) -> None:
    run = Workspace(tmp_path).run("student-1")
    run.report.mkdir(parents=True)
    with run.report_table.open("w", newline="") as file:
        lines = [["model", "run", "organ", "dice_percent", "parameters"], ["student", "s-1", "liver", 90, ""]]
        csv.writer(file).writerows([*lines, ["student", "s-1", "mean over organs", 80, 4]])
    table = lineage.report_means(run)
    assert table is not None
    assert table.to_dict("records") == [{"model": "student", "run": "s-1", "dice_percent": 80, "parameters": 4}]
    assert lineage.report_means(Workspace(tmp_path).run("nowhere-1")) is None


@pytest.fixture
def teacher(tmp_path: Path) -> Path:
    """Files that count as a teacher's in a run's name."""
    for name in ("model.json", "model.safetensors"):
        (tmp_path / name).write_text("{}")
    return tmp_path


@pytest.mark.parametrize("kind", ["teacher", "student", "twin", "baseline"])
def test_the_command_makes_the_same_run_again(
    kind: str, teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Through the job's own command line, up to where it would train."""
    taught = {"student": 0.5, "twin": 1.0}
    settings: dict[str, Any] = {
        "name": "x",
        "model": {"name": {"teacher": "autosam_demo", "baseline": "nnunet"}.get(kind, "swin_unetr_small")},
        "training": {"epochs": 7},
        "compute": {"workers": 2, "gpu": False},
    }
    if kind in taught:
        settings["distillation"] = {"teacher": str(teacher), "kd_lambda": taught[kind]}
    experiment = Experiment.model_validate(settings)
    run = Workspace(tmp_path).run("x-1")
    config = run.write_experiment(experiment)
    role = "student" if kind == "twin" else kind
    given: list[Experiment] = []
    monkeypatch.setattr(ending, "run_job", lambda job, *_, **__: job())
    monkeypatch.setattr(steps, "train_and_evaluate", given.append)
    monkeypatch.setattr(distilling, "distil", lambda told, *_: given.append(told))
    _, job, *arguments = shlex.split(terminal(*repeating(run, config, role)).partition("&& ")[2])[1:]
    monkeypatch.setattr(sys, "argv", [job, *arguments])
    monkeypatch.syspath_prepend(str(JOBS))
    runpy.run_path(str(JOBS.parent / job), run_name="__main__")
    assert [told.run_id("data") for told in given] == [experiment.run_id("data")]


def test_a_sweep_records_arguments_that_continue_it_from_any_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("scans", "kd_lambda"):  # one called as a space of ours is not meant
        (tmp_path / name).mkdir()
    told: list[list[str]] = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(ending, "run_job", lambda job, *_, **__: job())
    monkeypatch.setattr(sweeping, "sweep", lambda *_, arguments, **__: told.append(arguments))
    words = ["--space", "kd_lambda", "--grid", "--dataset.root"]
    monkeypatch.setattr(sys, "argv", ["sweep.py", *words, "scans"])
    monkeypatch.syspath_prepend(str(JOBS))
    runpy.run_path(str(JOBS / "sweep.py"), run_name="__main__")
    assert told == [[*words, str(tmp_path / "scans")]]


def test_an_evaluation_holds_the_lock_that_pages_look_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = Workspace(tmp_path).run("x-1")

    def evaluate(*_: object, **__: object) -> None:
        raise InterruptedError(str(is_locked(run.evaluation().lock)))

    monkeypatch.setattr(steps, "evaluate_cases", evaluate)
    monkeypatch.setattr(steps, "require_unseen", lambda *_: None)
    dataset: Any = SimpleNamespace(raw=lambda split: [], description=None)
    with pytest.raises(InterruptedError, match="True"):
        steps.evaluated(run, dataset, "test")
    assert not is_locked(run.evaluation().lock)
