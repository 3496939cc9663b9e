"""Whole evaluations of a small network: what is written, what is found again, what is refused."""

import csv
import json
import statistics
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from several_sources import write_sources
from small_models import write_model
from synthetic_scans import SPACING_XYZ, make_scan, write_btcv, write_btcv_case

from autosam_inference.scans.scan import read_scan
from autosam_inference.several import ModelFolders
from autosam_platform.data.description import DatasetDescription, load_description
from autosam_platform.data.readers import Case, find_cases
from autosam_platform.evaluation import evaluate
from autosam_platform.evaluation.evaluate import EvaluationError, Plan, _memory, evaluate_case, evaluate_cases
from autosam_platform.evaluation.metrics import case_metrics
from autosam_platform.evaluation.predictor import SlidingWindow
from autosam_platform.evaluation.table import Row, read_rows, summarise
from autosam_platform.workspace import Workspace


@pytest.fixture(scope="module")
def description() -> DatasetDescription:
    return load_description("btcv")


@pytest.fixture
def model(tmp_path: Path, description: DatasetDescription) -> Path:
    return write_model(tmp_path / "run" / "model", description, SPACING_XYZ)


@pytest.fixture
def cases(tmp_path: Path, description: DatasetDescription) -> list[Case]:
    return find_cases(description, write_btcv(tmp_path / "raw", 2))


@pytest.fixture
def plan(model: Path, description: DatasetDescription) -> Plan:
    return Plan(
        SlidingWindow.of(ModelFolders.of(model)),
        Workspace(model.parent).run_at(model.parent).evaluation(),
        description,
        tolerance_mm=2.0,
    )


def recount(case: Case, folder: Path, description: DatasetDescription) -> list[Row]:
    """The rows of a case, from the files that lie on disk."""
    assert case.label is not None
    prediction = read_scan(folder / "predictions" / f"{case.case_id}.nii.gz").volume
    truth = read_scan(case.label).volume
    metrics = case_metrics(prediction.array_DHW, truth.array_DHW, truth.spacing_DHW, description.classes, 2.0)
    return [Row.of(case.case_id, each, 2.0) for each in metrics]


@pytest.mark.usefixtures("ray_local")
def test_an_evaluation_leaves_tables_predictions_and_pictures(
    model: Path, cases: list[Case], description: DatasetDescription
) -> None:
    summary = evaluate_cases(model, cases, description)

    folder = model.parent / "evaluation"
    rows = read_rows(folder / "metrics.csv")
    assert repr(rows) == repr([row for case in cases for row in recount(case, folder, description)])
    assert repr(summary) == repr(summarise(rows, summary.seconds_per_case))
    assert json.loads((folder / "summary.json").read_text()) == json.loads(json.dumps(summary.as_json()))
    assert summary.n_cases == 2
    assert summary.per_class["liver"].n == 2
    found = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert found == {"metrics.csv", "seconds.csv", "summary.json", "organs.png"} | {
        name
        for case in cases
        for name in (
            f"cases/{case.case_id}.json",
            f"pictures/{case.case_id}.png",
            f"predictions/{case.case_id}.nii.gz",
            f"predictions/{case.case_id}.label.txt",
            f"predictions/{case.case_id}.label.json",
        )
    }


@pytest.mark.usefixtures("ray_local")
def test_the_time_of_each_phase_of_each_case_is_kept_also_of_a_case_that_is_found(
    model: Path, cases: list[Case], description: DatasetDescription
) -> None:
    summary = evaluate_cases(model, cases, description)

    written = (model.parent / "evaluation" / "seconds.csv").read_text()
    lines = list(csv.reader(written.splitlines()))
    assert lines[0] == ["case", "read", "resample", "network", "write", "score", "picture", "total"]
    assert [line[0] for line in lines[1:]] == [case.case_id for case in cases]
    seconds = np.array([line[1:] for line in lines[1:]], float)
    assert (seconds > 0).all()
    np.testing.assert_allclose(seconds[:, :-1].sum(axis=1), seconds[:, -1], atol=1e-6)
    medians = {name: statistics.median(column) for name, column in zip(lines[0][1:], seconds.T.tolist(), strict=True)}
    assert summary.seconds_per_case == pytest.approx(medians, abs=1e-3)

    found = evaluate_cases(model, cases, description)
    assert found.seconds_per_case == summary.seconds_per_case
    assert (model.parent / "evaluation" / "seconds.csv").read_text() == written


@pytest.mark.usefixtures("ray_local")
def test_a_bad_case_is_named_and_the_others_are_kept(
    model: Path, cases: list[Case], description: DatasetDescription
) -> None:
    cases[0].image.write_bytes(cases[0].image.read_bytes()[:300])
    unlabelled = replace(cases[1], case_id="other", label=None, splits=("test",))
    with pytest.raises(EvaluationError, match=r"2 of 3 cases could not be scored:\n  img0001: .*img0001\.nii\.gz") as e:
        evaluate_cases(model, [*cases, unlabelled], description)
    assert "other: has no truth to compare with" in str(e.value)
    folder = model.parent / "evaluation"
    assert [path.name for path in (folder / "cases").iterdir()] == [f"{cases[1].case_id}.json"]
    assert not (folder / "summary.json").exists()


def test_a_case_is_done_once_until_something_that_decides_it_changes(plan: Plan, cases: list[Case]) -> None:
    case = cases[0]
    record = plan.folder.record(case.case_id)

    def redone(plan: Plan) -> bool:
        """Evaluate; was the record written anew?"""
        before = record.stat().st_ino if record.exists() else None
        evaluate_case(case, plan)
        return record.stat().st_ino != before

    first = evaluate_case(case, plan)
    assert not redone(plan)
    assert repr(evaluate_case(case, plan)) == repr(first)

    (plan.folder.picture(case.case_id)).unlink()
    assert redone(plan)
    assert redone(replace(plan, predictor=replace(plan.predictor, overlap=0.5)))
    assert redone(replace(plan, tolerance_mm=3.0))
    assert redone(plan)
    record.write_text("{")
    assert redone(plan)
    write_btcv_case(case.image.parents[1], 1, make_scan(seed=99))
    assert redone(plan)
    write_model(plan.predictor.models.folders[0], plan.description, SPACING_XYZ, seed=1)
    retrained = replace(plan, predictor=SlidingWindow.of(plan.predictor.models))
    assert redone(retrained)
    assert not redone(retrained)


def test_a_case_of_an_earlier_version_is_done_again(
    plan: Plan, cases: list[Case], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(evaluate, "VERSION", 1)  # which had no HD95
        first = evaluate_case(cases[0], plan)
    record = plan.folder.record(cases[0].case_id)
    earlier = json.loads(record.read_text())
    for each in earlier["rows"]:
        del each["hd95_mm"]
    record.write_text(json.dumps(earlier))
    assert repr(evaluate_case(cases[0], plan).rows) == repr(first.rows)


def test_the_prediction_lies_on_the_scan(plan: Plan, cases: list[Case]) -> None:
    for case in cases:
        evaluate_case(case, plan)
        scan, written = nib.load(case.image), nib.load(plan.folder.prediction(case.case_id))
        assert written.shape == scan.shape
        np.testing.assert_array_equal(written.affine, scan.affine)


def test_classes_that_a_case_does_not_annotate_are_not_scored(plan: Plan, cases: list[Case]) -> None:
    partial = plan.description.model_copy(update={"annotated": {"img0001": ("liver", "spleen")}})
    rows = evaluate_case(cases[0], replace(plan, description=partial)).rows
    assert {row.class_name for row in rows if not np.isnan(row.truth_ml)} == {"liver", "spleen"}
    assert all(np.isnan(row.dice) for row in rows if row.class_name not in ("liver", "spleen"))


def test_truth_in_other_ids_is_kept_in_those_of_the_classes(plan: Plan, cases: list[Case]) -> None:
    case = cases[0]
    assert case.label is not None
    file = nib.load(case.label)
    own = np.asarray(file.dataobj)
    nib.save(nib.Nifti1Image(np.where(own > 0, own + 100, 0).astype(np.int16), file.affine), case.label)
    ids = {each.id + 100: each.name for each in plan.description.classes}
    plan = replace(plan, description=plan.description.model_copy(update={"label_ids": ids}))
    done = evaluate_case(case, plan)
    truth = plan.folder.truth(case.case_id)
    np.testing.assert_array_equal(np.asarray(nib.load(truth).dataobj), own)
    record = json.loads(plan.folder.record(case.case_id).read_text())
    assert plan.folder.paths.resolve(record["label"]) == truth, "which pages show"
    liver = next(row for row in done.rows if row.class_name == "liver")
    assert liver.truth_ml == pytest.approx((own == 6).sum() * np.prod(SPACING_XYZ) / 1000)
    truth.unlink()
    evaluate_case(case, plan)
    assert truth.is_file()


def test_other_classes_or_no_case_are_refused(model: Path, cases: list[Case], description: DatasetDescription) -> None:
    with pytest.raises(EvaluationError, match=r"small-01234567 knows the classes .* but amos has"):
        evaluate_cases(model, cases, load_description("amos"))
    with pytest.raises(EvaluationError, match="no case of btcv to evaluate"):
        evaluate_cases(model, [], description)


def test_memory_is_estimated_from_the_header(tmp_path: Path, model: Path, cases: list[Case]) -> None:
    window = SlidingWindow.of(ModelFolders.of(model))
    missing = replace(cases[0], image=tmp_path / "missing.nii.gz")
    network = _memory(missing, window)
    # 11 × 19 × 23 voxels at the prepared spacing, windows of 16³, swept along the 23: 14 sums and their weights
    # in place of a single window's 16; and 20 bytes for each voxel
    assert _memory(cases[0], window) - network == 4 * 15 * 16 * 16 * (19 - 16) + 20 * 11 * 19 * 23


@pytest.mark.usefixtures("ray_local")
def test_cases_of_several_sources_are_scored_by_source(tmp_path: Path) -> None:
    description = write_sources(tmp_path)
    model = write_model(tmp_path / "run" / "model", description, SPACING_XYZ)
    cases = [case for case in find_cases(description, None) if case.splits == ("test",)]
    summary = evaluate_cases(model, cases, description)
    rows = read_rows(tmp_path / "run" / "evaluation" / "metrics.csv")
    scored = {(row.case.split("_")[0], row.class_name) for row in rows if not np.isnan(row.truth_ml)}
    kidneys = {("kidneys", organ) for organ in ("liver", "right kidney", "left kidney")}
    assert scored == {("ours", "liver"), ("ours", "spleen")} | kidneys
    for source, score in summary.per_source.items():
        own = [row.dice for row in rows if row.case.startswith(source) and not np.isnan(row.dice)]
        assert (score.mean_dice, score.n_cases) == (pytest.approx(np.mean(own)), 1)
    found = json.loads((tmp_path / "run" / "evaluation" / "summary.json").read_text())
    assert set(found["per_source"]) == set(summary.per_source) == {"ours", "kidneys"}
