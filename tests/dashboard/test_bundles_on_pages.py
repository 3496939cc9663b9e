"""Bundles where pages take models, their cards, Export, and in plain words where not to trust a prediction."""

from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from example_cases import FIRST, volumes, write_prediction, write_volume
from example_runs import write_card
from page_texts import texts
from predicted import wait_for
from small_bundles import SYNTHETIC, WARNING, bare_bundle, small_bundle
from streamlit.testing.v1 import AppTest
from synthetic_scans import write_btcv

from autosam_inference.bundle.card import CARD
from autosam_inference.quality.verdict import OrganQuality
from autosam_platform.tracking.writing import open_run
from autosam_platform.workspace import NamedModel, Workspace
from dashboard.components.jobs import predicting
from dashboard.components.jobs.ray_jobs import Submitted, last_of

Page = Callable[..., AppTest]
STUDENT = "distill-0000000a"
SCORES = {
    "n_cases": 6,
    "mean_dice": 0.75,
    "mean_nsd": 0.5,
    "nsd_tolerance_mm": 2.0,
    "organs": {
        "organ 2": {"dice": 0.625, "lowest_dice": 0.5, "nsd": 0.5, "hd95_mm": 3, "n": 6, "not_found": 0, "invented": 0}
    },
}
PARITY = {"format": "fp32", "logits": 1e-5, "largest_logit": 9.0, "labels": 0.9995, "dice": 0.01, "scans": 2}
TOLD = {
    "scores": SCORES,
    "known_failures": ["organ 3 was never found.", "Its scores are of 6 cases."],
    "parity": {
        "onnx": {"format": "fp32", "logits": 1e-5, "largest_logit": 9.0, "labels": 0.9995, "dice": 0.01, "scans": 2}
    },
    "lineage": {"teacher": "demo-01234567"},
    "training_data": {"title": "Phantoms", "licence": "as you like", "cases": {"train": 96, "test": 6}},
}


@pytest.fixture
def bundle(empty: Path) -> Path:
    """A zip that was exported into the workspace."""
    place = empty / "bundles" / f"{STUDENT}.zip"
    place.parent.mkdir()
    return small_bundle(place, run_id=STUDENT, **TOLD)


def _tables(app: AppTest) -> str:
    return "\n".join(each.value.to_string() for each in [*app.dataframe, *app.table]).replace("\\", "")


def test_a_bundle_of_the_workspace_predicts_a_scan(page: Page, empty: Path, bundle: Path) -> None:
    scan = write_btcv(empty / "raw", 1) / "imagesTr" / "img0001.nii.gz"
    app = page("predict", run=f"bundle: {bundle.name}")
    assert not app.exception and not app.error
    assert f"bundle of {STUDENT}: none, trained on none · mean Dice 75.00 % (test, n = 6, written " in texts(
        app.caption
    )
    app.radio[0].set_value("A file on the server").run()
    app.text_input[0].set_value(str(scan)).run()
    app.button[0].click().run()
    assert not app.exception and not app.error
    prediction = predicting.find(app.query_params["prediction"])
    assert prediction is not None and prediction.run == NamedModel.of_bundle(bundle).name
    assert wait_for(prediction) == predicting.DONE, prediction.log.read_text()
    labels = np.asarray(nib.load(prediction.output.label).dataobj)
    assert labels.shape == nib.load(scan).shape and labels.max() <= 3
    assert set(prediction.output.class_names().values()) == {"organ 1", "organ 2", "organ 3"}


def test_the_card_is_shown(page: Page, bundle: Path) -> None:
    app = page("predict", run=f"bundle: {bundle.name}")
    said = _tables(app)
    for piece in ("organ 2", "62.5", "Phantoms", "96 train", "as you like", "teacher demo-01234567", "99.95"):
        assert piece in said, piece
    assert "no: it was not calibrated" in said and "never tried on one" in said
    assert texts(app.warning) == "Known failures\n\n- organ 3 was never found.\n- Its scores are of 6 cases."


def test_scores_on_other_datasets_are_shown_beside_its_own(page: Page, empty: Path) -> None:
    (empty / "bundles").mkdir()
    bare_bundle(empty / "bundles" / "torso.zip", **SYNTHETIC)
    app = page("predict", run="bundle: torso.zip")
    assert not app.exception and WARNING in texts(app.warning)
    (organs,) = (each.value for each in app.dataframe if "organ" in each.value)
    assert organs.loc[0, ["dice", "dice on one_scan-0123abcd-test"]].tolist() == [87.5, 62.5]
    said = _tables(app)
    assert "Synthetic CT (9 train, 20 test cases); synthetic scans alone" in said
    assert "one_scan (test, n = 1, real): mean Dice 62.50 %, mean NSD 50.00 %" in said


@pytest.mark.parametrize(
    ("path", "message"),
    [("/etc", "outside the folders"), ("raw", "is no bundle"), ("none.zip", "is no bundle"), ("bad.zip", "zip")],
)
def test_a_bundle_that_is_none_or_elsewhere_is_refused(page: Page, empty: Path, path: str, message: str) -> None:
    write_card(Workspace(empty).run(STUDENT))
    (empty / "runs" / STUDENT / "model" / "model.safetensors").touch()
    (empty / "raw").mkdir()
    (empty / "bad.zip").write_bytes(b"PK nothing")
    app = page("predict", run="bundle on the server")
    assert not app.exception
    app.text_input[0].set_value(path if path.startswith("/") else str(empty / path)).run()
    assert not app.exception and message in texts(app.error)
    assert app.button[0].disabled


def _quality() -> list[OrganQuality]:
    return [
        OrganQuality("spleen", 0.93, (0.9, 0.96), "ok"),
        OrganQuality("liver", 0.74, (0.5, 0.9), "check", ("larger than in training",)),
        OrganQuality("left adrenal gland", 0.41, (0.1, 0.6), "do not use", ("windows disagree",)),
        OrganQuality("gallbladder", None, None, "check", ("not found",)),
    ]


def test_where_not_to_trust_a_prediction_is_said_in_the_viewer(page: Page, empty: Path) -> None:
    made = volumes()
    scan = write_volume(empty / "datasets" / "scan.nii.gz", made.scan)
    name = write_prediction(empty, scan, made.first)
    folder = Workspace(empty).prediction(name)
    assert folder is not None
    folder.write_record(scan, FIRST, quality=_quality())
    app = page("viewer", prediction=name)
    assert not app.exception
    assert texts(app.error) == "left adrenal gland: do not use: windows disagree (Dice 41.00 %, 10.00 to 60.00 %)"
    assert texts(app.warning) == (
        "liver: check: larger than in training (Dice 74.00 %, 50.00 to 90.00 %)  \ngallbladder: check: not found"
    )
    assert texts(app.success) == "As usual: spleen (Dice 93.00 %, 90.00 to 96.00 %)."
    folder.write_record(scan, FIRST, [WARNING], quality=_quality()[:1])
    assert texts(page("viewer", prediction=name).warning) == WARNING, (
        "what the model is, too, and what is odd in the scan"
    )
    folder.write_record(scan, FIRST, quality=_quality())
    folder.record.write_text(folder.record.read_text().replace('"do not use"', '"fine"'))
    assert "does not tell the quality of the organs" in texts(page("viewer", prediction=name).error)


_TAGS = {"role": "student", "model": "swin_unetr_tiny", "name": "distill"}


def _student(workspace: Path) -> None:
    open_run(Workspace(workspace), STUDENT, tags=_TAGS, params={}).finish()
    write_card(Workspace(workspace).run(STUDENT))
    (workspace / "runs" / STUDENT / "config.yaml").write_text("name: distill\n")


def test_the_export_of_a_run_is_found_by_its_command() -> None:
    """Whoever sent it: after a reload, on another screen, from a terminal."""

    def job(job_id: str, kind: str, command: str) -> Submitted:
        return Submitted(job_id, "", kind, "RUNNING", command, None, None, "")

    jobs = [
        job("a", "evaluate", "python jobs/evaluate.py --run distill-1"),
        job("b", "export", "python jobs/export.py --run distill-12"),
        job("c", "export", "python 'jobs/export.py --run distill-1"),
        job("d", "export", "python jobs/export.py --run distill-1 --output '/a b/x.zip'"),
        job("e", "export", "python jobs/export.py --run distill-1"),
    ]
    found = last_of(jobs, "export", "distill-1")
    assert found is not None and found.job_id == "d"
    assert last_of(jobs, "export", "distill-2") is None


def test_a_finished_student_can_be_exported_and_downloaded(page: Page, empty: Path) -> None:
    _student(empty)
    app = page("run", run=STUDENT)
    assert not app.exception
    command = f" jobs/export.py --run {STUDENT} --output {empty}/bundles/{STUDENT}.zip"
    assert command in texts(app.code)
    (empty / "bundles").mkdir()
    small_bundle(empty / "bundles" / f"{STUDENT}.zip", run_id=STUDENT, **TOLD)
    app = page("run", run=STUDENT)
    assert not app.exception and command not in texts(app.code)
    label = next(each.proto.label for each in app.get("download_button"))
    assert label.startswith("Download the bundle (") and label.endswith(" kB)")
    assert "organ 2" in _tables(app)


def test_a_bundle_that_was_exported_as_a_folder_is_shown_and_a_zip_can_still_be_made(page: Page, empty: Path) -> None:
    _student(empty)
    folder = empty / "bundles" / STUDENT
    folder.parent.mkdir()
    small_bundle(folder, run_id=STUDENT, **TOLD)
    app = page("run", run=STUDENT)
    assert not app.exception
    assert f"Exported as a folder: {folder}." in texts(app.caption)
    assert "organ 2" in _tables(app)
    command = f" jobs/export.py --run {STUDENT} --output {folder}.zip"
    assert command in texts(app.code)
    card = folder / CARD
    card.write_text(card.read_text()[:100])
    app = page("run", run=STUDENT)
    assert not app.exception and app.error
    assert command in texts(app.code), "what cannot be read takes nothing else away"
