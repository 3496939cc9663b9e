"""Predict: a real model on a real file, in a process of its own; and the page's states."""

import fcntl
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import pytest
from dicom_factory import SECRETS, ct, ct_slices, magnetic_resonance, tilted, write_series, write_zip
from page_texts import choose, texts
from predicted import wait_for
from small_bundles import SYNTHETIC, WARNING, bare_bundle
from small_models import write_model
from streamlit.testing.v1 import AppTest
from synthetic_scans import write_btcv

from autosam_inference import included
from autosam_platform.data.description import load_description
from autosam_platform.workspace import NamedModel
from dashboard.components.base.places import ReadingError
from dashboard.components.base.terminal import in_terminal
from dashboard.components.jobs import in_turn, predicting
from dashboard.components.jobs.in_turn import WAITS
from dashboard.components.jobs.model_choice import ModelChoice
from dashboard.components.jobs.scan_choice import ScanChoice
from dashboard.components.record.finished_runs import FinishedRun, best_first, finished_runs

Page = Callable[..., AppTest]
RUN = "small-01234567"
MODEL = ModelChoice(RUN, RUN)
pytestmark = pytest.mark.usefixtures("no_cluster")


@pytest.fixture
def no_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "http://127.0.0.1:9")  # the discard port: nobody listens


@pytest.fixture
def model(empty: Path) -> Path:
    """A workspace with a run whose model has random weights, and a scan."""
    write_model(empty / "runs" / RUN / "model", load_description("btcv"), (2.0, 2.0, 3.0))
    (empty / "runs" / RUN / "evaluation").mkdir()
    (empty / "runs" / RUN / "evaluation" / "summary.json").write_text('{"mean_dice": 0.625}')
    return write_btcv(empty / "raw", 1) / "imagesTr" / "img0001.nii.gz"


def test_a_run_that_needs_prompts_is_not_offered(model: Path, empty: Path) -> None:
    other = shutil.copytree(empty / "runs" / RUN, empty / "runs" / "sam-01234567") / "model" / "model.json"
    card = json.loads(other.read_text()) | {"run_id": "sam-01234567", "model": {"name": "sam_demo", "options": {}}}
    other.write_text(json.dumps(card))
    assert {run.name for run in finished_runs()} == {RUN, "sam-01234567"}
    assert [run.name for run in finished_runs(to_predict=True)] == [RUN]


def _record(workspace: Path, name: str, **told: object) -> Path:
    """A prediction that was started; gives its log."""
    content = {"scan": "/data/scan.nii.gz", "run": RUN, "started": "2026-01-02T03:04:05+00:00", "job_id": ""}
    folder = workspace / "predicting"
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.json").write_text(json.dumps(content | {"process": 0} | told))
    return folder / f"{name}.log"


@pytest.fixture
def package(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """In the place of the folder of the model that comes with the project, which may have none."""
    place = tmp_path_factory.mktemp("package")
    monkeypatch.setattr(included, "FOLDER", place)
    return place


@pytest.mark.usefixtures("empty", "package")
def test_without_a_model_the_command_that_makes_one_is_named(page: Page) -> None:
    app = page("predict")
    assert not app.exception
    assert "has a model yet" in texts(app.info) and texts(app.code) == in_terminal(["make", "demo"])


def test_the_included_model_is_offered_and_says_what_it_is(
    page: Page, empty: Path, package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a fresh workspace it is the first to choose; the process finds it by the word, as on any machine."""
    bare_bundle(package / "small.zip", **SYNTHETIC)
    scan = write_btcv(empty / "raw", 1) / "imagesTr" / "img0001.nii.gz"
    started: list[list[str]] = []
    monkeypatch.setattr(predicting, "_start_process", lambda log, words: started.append(words) or 0)
    app = _named(page("predict"), scan)
    assert not app.exception and not app.error and not app.code
    (model,) = (each for each in app.selectbox if each.label.startswith("Model"))
    assert model.value == model.options[0] == "comes with the project: small"
    assert WARNING in texts(app.warning)
    assert "mean Dice 87.50 % (test, n = " in texts(app.caption)
    app.button[0].click().run()
    assert not app.exception
    (words,) = started
    assert words[:4] == ["--input", str(scan), "--run", "included"]
    assert Path(words[5]).parent.name.endswith(NamedModel.of_bundle(package / "small.zip").name)


@pytest.mark.usefixtures("model")
def test_a_run_of_the_workspace_comes_before_the_included_model(page: Page, package: Path) -> None:
    (package / "small.zip").write_bytes(b"damaged")
    app = page("predict")
    (model,) = (each for each in app.selectbox if each.label.startswith("Model"))
    assert not app.exception and not app.error and model.value == RUN
    assert model.options[1] == "comes with the project: small"
    app = model.set_value("comes with the project: small").run()
    assert not app.exception and "cannot be read as a zip" in texts(app.error)


def test_a_file_is_predicted_outside_the_app_and_offered(page: Page, model: Path) -> None:
    app = page("predict", run=RUN)
    assert not app.exception and not app.error
    assert "Nothing was predicted from this page yet" in texts(app.info)
    assert "autosam_demo, trained on btcv · mean Dice 62.50 % (test, n = –, evaluated some day)" in texts(app.caption)
    assert "this machine, since no Ray cluster runs" in texts(app.caption)
    app.radio[0].set_value("A file on the server").run()
    app.text_input[0].set_value(str(model)).run()
    app.button[0].click().run()
    assert not app.exception and not app.error
    name = app.query_params["prediction"]
    assert name.startswith("img0001-") and name.endswith(f"-{RUN}")
    prediction = predicting.find(name)
    assert prediction is not None
    assert predicting.start(ScanChoice(model), MODEL, None) == prediction  # found, not started twice
    assert wait_for(prediction) == predicting.DONE, prediction.log.read_text()
    assert nib.load(prediction.output.label).shape == nib.load(model).shape
    assert predicting.progress(predicting.log_of(prediction, None)) == 1.0
    app = page("predict", prediction=name)
    assert not app.exception and not app.error
    assert [button.label for button in app.button] == ["Predict", "Open in the viewer"]
    assert app.get("download_button")
    volumes, listed = (frame.value for frame in app.dataframe)
    assert listed.loc[0, ["scan", "run", "state"]].tolist() == ["img0001.nii.gz", RUN, "done"]
    label = nib.load(prediction.output.label)
    liver = np.count_nonzero(np.asarray(label.dataobj) == 6) * np.prod(label.header.get_zooms()) / 1000
    assert volumes.set_index("organ").loc["liver", "ml"] == pytest.approx(liver)
    prediction.output.picture.unlink()
    assert wait_for(prediction) == predicting.FAILED  # done is when all its files are there


def test_a_dicom_study_is_predicted_and_its_label_map_joined_to_it(page: Page, empty: Path, model: Path) -> None:
    study = empty / "raw" / "study"
    slices = ct_slices()
    write_series(study, slices)
    write_series(study, magnetic_resonance(), prefix="MR")
    prediction = predicting.start(ScanChoice(study), MODEL, None)
    assert wait_for(prediction) == predicting.DONE, prediction.log.read_text()
    output = prediction.output
    assert nib.load(output.label).shape == (37, 34, 9)
    segmentation = pydicom.dcmread(output.dicom_seg)
    assert segmentation.ReferencedSeriesSequence[0].SeriesInstanceUID == slices[0].SeriesInstanceUID
    assert output.reading == {"series": slices[0].SeriesInstanceUID, "straighten": False}
    assert "the CT with most slices is used" in output.notes[0] and output.notes[0] in prediction.log.read_text()
    words = prediction.log.read_text() + output.record.read_text()
    assert not [secret for secret in SECRETS if secret in words]
    app = page("predict", prediction=prediction.name)
    assert not app.exception and not app.error
    assert len(app.get("download_button")) == 2
    app = page("viewer", prediction=prediction.name)
    assert not app.exception and not app.error


def _named(app: AppTest, path: Path) -> AppTest:
    app.radio[0].set_value("A file on the server").run()
    return app.text_input[0].set_value(str(path)).run()


def test_a_series_of_a_study_is_chosen_and_straightened(page: Page, empty: Path, model: Path) -> None:
    """The short series leans: it is refused until it may be straightened, and the job is told so."""
    study = empty / "raw" / "study"
    long, leaning = ct_slices(), tilted(ct_slices(ct(1), number=3), 15)[:6]
    for prefix, slices in {"A": long, "B": leaning, "MR": magnetic_resonance()}.items():
        write_series(study, slices, prefix=prefix)
    app = _named(page("predict"), write_zip(empty / "raw" / "study.zip", study))
    assert not app.exception and not app.error
    (picker,) = (each for each in app.selectbox if each.label == "Series")
    short = leaning[0].SeriesInstanceUID
    assert picker.options == [
        f"Series 2 · 9 slices · {long[0].SeriesInstanceUID}",
        f"Series 3 · 6 slices · {short}",
    ]
    picker.set_value(short).run()
    app.button[0].click().run()
    assert "tilted by 15" in texts(app.error) and not (empty / "predicting").exists()
    app.checkbox[0].check().run()
    app.button[0].click().run()
    assert not app.exception and not app.error
    prediction = predicting.find(app.query_params["prediction"])
    assert prediction is not None and wait_for(prediction) == predicting.DONE, prediction and prediction.log.read_text()
    assert prediction.output.reading == {"series": short, "straighten": True}
    assert len(list((empty / "predicting").glob("*.json"))) == 1


def test_a_file_of_a_series_names_it(page: Page, empty: Path, model: Path) -> None:
    study = empty / "raw" / "study"
    for prefix, slices in {"A": ct_slices(), "B": ct_slices(ct(1))[:6]}.items():
        write_series(study, slices, prefix=prefix)
    app = _named(page("predict"), study / "B0001")
    assert not app.exception and not app.error
    assert [each.label for each in app.selectbox] == ["Model: a run or a bundle"] and app.checkbox[
        0
    ].label == "Straighten the slices"


def test_a_prediction_that_goes_on_shows_how_far_it_is(page: Page, empty: Path, model: Path) -> None:
    log = _record(empty, "scan-0-run")
    with log.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)  # as the process that predicts holds it
        held.write("window 1 of 8\nwindow 2 of 8\n")
        held.flush()
        app = page("predict", prediction="scan-0-run")
        assert not app.exception and not app.error
        assert "window 2 of 8" in app.code[0].value
        assert "Stop" in [button.label for button in app.button]
        assert app.dataframe[0].value.loc[0, "state"] == "running"
    app.run()
    assert "ended before all its files were there" in texts(app.error)
    assert "Stop" not in [button.label for button in app.button]


def test_a_prediction_can_be_stopped(model: Path) -> None:
    prediction = predicting.start(ScanChoice(model), MODEL, None)
    assert predicting.state(prediction, None) == predicting.RUNNING
    predicting.stop(prediction, None)
    assert wait_for(prediction) == predicting.FAILED
    assert not prediction.output.label.exists()


def test_a_prediction_that_waits_says_so(page: Page, empty: Path, model: Path) -> None:
    log = _record(empty, "scan-0-run")
    with log.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        held.write(WAITS)
        held.flush()
        app = page("predict", prediction="scan-0-run")
        assert app.dataframe[0].value.loc[0, "state"] == "waiting"
        assert "Stop" in [button.label for button in app.button] and not app.error


def test_commands_take_turns_where_there_is_one_place(tmp_path: Path) -> None:
    """Of four at once on one place none begins before another has ended; one that is killed leaves its place."""
    note = "import sys,time; f=open('log','a'); print('in',file=f,flush=True); time.sleep(.3); print('out',file=f)"
    command = [sys.executable, in_turn.__file__, str(tmp_path), "1", sys.executable, "-c"]
    asleep = subprocess.Popen([*command, "import time; time.sleep(60)"], stdout=subprocess.PIPE, text=True)
    while not (tmp_path / ".place-0.lock").exists():
        time.sleep(0.05)
    others = [subprocess.Popen([*command, note], cwd=tmp_path, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    first = [each.stdout.readline() for each in others if each.stdout]
    assert first == [WAITS] * 3 and not (tmp_path / "log").exists()
    asleep.kill()
    assert [each.wait(60) for each in others] == [0, 0, 0]
    assert (tmp_path / "log").read_text().split() == ["in", "out"] * 3
    asleep.communicate()
    assert [each.communicate()[0] for each in others] == ["A core is free.\n"] * 3


def test_the_best_model_of_the_newest_dataset_is_first() -> None:
    told = [("new", "amos", None), ("good", "amos", 0.8), ("best", "amos", 0.9), ("other", "btcv", 0.95)]
    runs = [FinishedRun(name, "unetr", dataset, dice, 1) for name, dataset, dice in told]
    assert [run.name for run in best_first(runs)] == ["best", "new", "good", "other"]
    assert best_first(runs[:1]) == runs[:1] and best_first([]) == []


def test_complex_and_4d_scans_are_refused_before_a_job_starts(page: Page, empty: Path, model: Path) -> None:
    there = nib.load(model)
    array = np.asarray(there.dataobj)
    for name, made in {"complex": array.astype(np.complex64), "4d": np.stack([array, array], axis=-1)}.items():
        path = empty / "raw" / f"{name}.nii.gz"
        nib.save(nib.Nifti1Image(made, there.affine), path)
        app = _named(page("predict", run=RUN), path)
        app.button[0].click().run()
        message = {"complex": "complex64 voxels, not plain numbers", "4d": "one 3D volume is needed"}[name]
        assert not app.exception and message in texts(app.error)
    assert not (empty / "predicting").exists()


@pytest.mark.usefixtures("model")
def test_a_job_of_a_cluster_that_is_gone_has_failed(page: Page, empty: Path) -> None:
    _record(empty, "scan-0-run", job_id="raysubmit_0")
    assert "ended before all its files were there" in texts(page("predict", prediction="scan-0-run").error)


@pytest.mark.usefixtures("model")
def test_the_prediction_that_is_chosen_stays_so_when_another_begins(page: Page, empty: Path) -> None:
    def start(name: str, seconds: int) -> None:
        _record(empty, name, scan=f"/data/{name}.nii.gz")
        os.utime(empty / "predicting" / f"{name}.json", (seconds, seconds))

    start("first", 1)
    start("second", 2)
    app = choose(page("predict"), "predictions", [1])
    assert app.query_params["prediction"] == "first"
    start("third", 3)
    app.run()
    assert app.dataframe[0].value["scan"].tolist() == ["third.nii.gz", "second.nii.gz", "first.nii.gz"]
    assert app.query_params["prediction"] == "first" and "first.nii.gz" in texts(app.subheader)
    choose(app, "predictions")
    assert app.query_params["prediction"] == "first"
    choose(app, "predictions", [0])
    assert app.query_params["prediction"] == "third"


@pytest.mark.usefixtures("model")
@pytest.mark.parametrize(
    ("name", "message"),
    [("../x", "is not the name of a prediction"), ("other", "There is no prediction 'other'"), ("bad", "is no record")],
)
def test_a_prediction_that_is_none_is_said(page: Page, empty: Path, name: str, message: str) -> None:
    _record(empty, "good")
    _record(empty, "bad", started="yesterday")
    app = page("predict", prediction=name)
    assert not app.exception
    assert message in texts(app.error)
    assert len(app.dataframe[0].value) == 1  # the others are listed


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("/etc/passwd", "outside the folders"),
        ("raw/none.nii.gz", "does not exist"),
        ("raw/dataset.json", "not named .nii"),
    ],
)
def test_a_file_that_is_no_scan_or_elsewhere_is_refused(
    page: Page, empty: Path, model: Path, text: str, message: str
) -> None:
    (empty / "raw" / "dataset.json").write_text("{}")
    app = page("predict")
    app.radio[0].set_value("A file on the server").run()
    app.text_input[0].set_value(text if text.startswith("/") else str(empty / text)).run()
    if not app.button[0].disabled:
        app.button[0].click().run()
    assert not app.exception
    assert message in texts(app.error)
    assert not (empty / "predicting").exists()


def test_finished_runs_are_newest_first_and_damaged_ones_left_out(empty: Path, model: Path) -> None:
    for name, card in (("broken-0", "{"), ("list-0", "[]"), ("no-weights", '{"model": {"name": "x"}, "dataset": "y"}')):
        folder = empty / "runs" / name / "model"
        folder.mkdir(parents=True)
        (folder / "model.json").write_text(card)
    (run,) = finished_runs()
    size = (empty / "runs" / RUN / "model" / "model.safetensors").stat().st_size
    assert (run.name, run.network, run.dataset, run.dice, run.bytes) == (RUN, "autosam_demo", "btcv", 0.625, size)


def test_a_damaged_record_is_named_with_its_remedy(empty: Path) -> None:
    _record(empty, "bad", process="none")
    with pytest.raises(ReadingError, match="remove it and predict again"):
        predicting.find("bad")
