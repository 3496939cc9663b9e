"""autosam-predict from files to files: what it writes, finds again, refuses, and what it never tells."""

import csv
import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import pytest
from bedside_command import answer, nifti, run, series, small_model
from dicom_factory import SECRETS, ct, ct_slices, tilted, write_series, write_zip
from patience import HANG_S, wait_until
from PIL import Image
from small_bundles import small_bundle

from autosam_inference.bedside.attempt import Ending, NoRoomError, attempt
from autosam_inference.bedside.finding import Finder
from autosam_inference.bedside.options import Options
from autosam_inference.bedside.segmenting import Job
from autosam_inference.bedside.summary import write_summary
from autosam_inference.model import TrainedModel
from autosam_inference.scans.scan import read_scan

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_model(tmp_path_factory.mktemp("run") / "model")


def rows(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.open(encoding="utf-8")))


def contents(folder: Path) -> dict[str, tuple[int, bytes]]:
    files = [each for each in folder.rglob("*") if each.is_file()]
    return {str(each.relative_to(folder)): (each.stat().st_mtime_ns, each.read_bytes()) for each in files}


def test_a_nifti_scan_has_all_its_files(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scan = nifti(tmp_path / "Über uns" / "case 1.nii.gz")
    assert run(model, scan, "--output", tmp_path / "out put", "--json") == 0
    told = answer(capsys)
    assert told["place"] == str(tmp_path / "out put") and told["scans"][0]["status"] == "done"
    folder = tmp_path / "out put" / "case 1"
    endings = (".nii.gz", ".label.json", ".label.txt", ".organs.csv", ".png", ".result.json")
    assert {each.name for each in folder.iterdir()} == {f"case 1{ending}" for ending in endings}
    label = nib.load(folder / "case 1.nii.gz")
    np.testing.assert_array_equal(label.affine, nib.load(scan).affine)
    record = json.loads((folder / "case 1.result.json").read_text())
    assert record["shape_xyz"] == [23, 19, 11] and record["spacing_xyz"] == [1.5, 2.0, 3.0]
    assert list(record["seconds"]) == ["read", "coarse", "resample", "network", "measure", "write", "picture", "total"]
    assert record["seconds"]["total"] == pytest.approx(sum(list(record["seconds"].values())[:-1]), abs=1e-3)
    hu_xyz, label_xyz = np.asarray(nib.load(scan).dataobj), np.asarray(label.dataobj)
    for organ, line in zip(record["organs"], rows(folder / "case 1.organs.csv"), strict=True):
        inside = label_xyz == organ["id"]
        assert organ["voxels"] == inside.sum() == int(line["voxels"])
        assert organ["volume_ml"] == pytest.approx(inside.sum() * 0.009, abs=1e-3)
        if inside.any():
            assert organ["mean_hu"] == pytest.approx(hu_xyz[inside].mean(), abs=1e-3)
            assert float(line["sd_hu"]) == pytest.approx(hu_xyz[inside].std(), abs=1e-3)
        else:
            assert line["mean_hu"] == line["sd_hu"] == ""
    Image.open(folder / "case 1.png").verify()


def test_a_series_has_a_segmentation_and_a_name_without_the_patient(
    model: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Folder and files bear the patient's name, as exports have it; neither files nor terminal may show it."""
    folder = write_series(tmp_path / "Geheim_Erika", ct_slices(), prefix="Geheim_")
    broken = write_series(tmp_path / "Vertraulich", ct_slices(), prefix="Erika")
    os.truncate(broken / "Erika0004", 400)
    bad = tmp_path / "SECRET-4711.nii.gz"
    bad.write_bytes(b"no scan")
    packed = write_zip(tmp_path / "Erika.zip", write_series(tmp_path / "more", tilted(ct_slices(), 15)))
    out = tmp_path / "out"
    assert (
        run(model, folder, broken, bad, packed, "--output", out, "--names", "hash", "--dicom-seg", "binary", "--report")
        == 1
    )
    (done,) = (each for each in out.iterdir() if each.is_dir())
    seg = pydicom.dcmread(done / f"{done.name}.seg.dcm")
    assert seg.SegmentationType == "BINARY" and "Geheim" in str(seg.PatientName)
    report = pydicom.dcmread(done / f"{done.name}.report.dcm")
    assert report.Modality == "SR" and "Geheim" in str(report.PatientName)
    reasons = [each["reason"] for each in rows(out / "summary.csv")]
    assert len(reasons) == 4 and sum("file 5 is a damaged DICOM file" in each for each in reasons) == 1
    assert sum("tilted by 15.0°" in each for each in reasons) == 1
    said = "".join(capfd.readouterr()).encode()
    files = (each for each in out.rglob("*") if each.is_file() and not each.name.endswith(".dcm"))
    shown = said + b"".join(str(each.relative_to(out)).encode() + each.read_bytes() for each in files)
    assert not [secret for secret in SECRETS if secret.encode() in shown]


def _bare_series(folder: Path) -> Path:
    """Of slices that nothing can refer to."""
    slices = ct_slices()
    for each in slices:
        del each.FrameOfReferenceUID
    return write_series(folder, slices, prefix="Geheim_")


def test_a_missing_segmentation_is_a_status_of_its_own(
    model: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """The label map is there as NIfTI; record, summary, screen and exit status say what is not."""
    bare, out = _bare_series(tmp_path / "Geheim_Erika"), tmp_path / "out"
    call = (model, bare, "--output", out, "--report")
    assert run(*call) == 3
    said = "".join(capfd.readouterr())
    (folder,) = (each for each in out.iterdir() if each.is_dir())
    assert f"{folder.name}: No DICOM SEG can be written, only the NIfTI. {folder.name}: the slices have no Fr" in said
    assert (folder / f"{folder.name}.nii.gz").is_file() and not list(folder.glob("*.dcm"))
    missing = json.loads((folder / f"{folder.name}.result.json").read_text())["missing"]
    assert len(missing) == 2 and "No DICOM report either" in missing[1]
    (row,) = rows(out / "summary.csv")
    assert row["status"] == "done" and row["reason"] == " ".join(missing) and "Geheim" not in said + row["reason"]
    assert run(*call) == 3 and "was segmented before\n  No DICOM SEG" in capfd.readouterr().out
    assert run(model, bare, nifti(tmp_path / "a.nii.gz"), "--output", out) == 3
    (tmp_path / "bad.nii").write_bytes(b"no scan")
    assert run(model, bare, tmp_path / "bad.nii", "--output", out) == 1
    capfd.readouterr()
    assert run(model, bare, "--output", out, "--dicom-seg", "none") == 0
    assert "DICOM SEG" not in capfd.readouterr().err
    assert run(*call, "--dicom-seg", "none") == 2 and "leave out --dicom-seg none" in capfd.readouterr().err


def test_a_missing_segmentation_is_said_before_the_windows(model: Path, tmp_path: Path) -> None:
    heard: list[str] = []
    job = Job(TrainedModel.load(model, device="cpu"), tmp_path / "out", Options())
    (found,) = Finder(tmp_path / "out").find([_bare_series(tmp_path / "in")]).scans
    ending = attempt(
        job, found, lambda name: lambda done, total: heard.append("window"), lambda name, words: heard.append(words)
    )
    assert ending.record is not None and ending.record.missing == (heard[0],) and "no FrameOfReferenceUID" in heard[0]
    assert set(heard[1:]) == {"window"}


def test_names_and_screens_in_other_letters_stop_nothing(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file whose name is Latin-1 where names are UTF-8, and a pipe that knows the letters of one language."""
    odd = os.fsdecode(b"M\xfcller.nii.gz")
    try:
        os.rename(nifti(tmp_path / "a.nii.gz"), tmp_path / odd)
    except OSError:
        pytest.skip("this file system takes no such name")
    (tmp_path / os.fsdecode(b"b\xe4d.nii")).write_bytes(b"no scan")
    bytes_out = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(bytes_out, "cp437"))
    assert run(model, nifti(tmp_path / "肝臓.nii.gz"), *tmp_path.glob("[Mb]*"), "--output", tmp_path / "out") == 1
    sys.stdout.flush()
    assert {each["scan"]: each["status"] for each in rows(tmp_path / "out" / "summary.csv")} == {
        "M_ller": "done",
        "b_d": "failed",
        "肝臓": "done",
    }
    assert b"\\u809d" in bytes_out.getvalue()


def test_a_summary_that_is_held_open_is_said(tmp_path: Path) -> None:
    """As a spreadsheet on Windows does it; a folder in its place cannot be replaced either."""
    (tmp_path / "summary.csv" / "x").mkdir(parents=True)
    with pytest.raises(NoRoomError, match=r"summary\.csv cannot be written .* close it where it is open"):
        write_summary(tmp_path, [Ending("scan", "failed", reason="no scan")])
    assert [each.name for each in tmp_path.iterdir()] == ["summary.csv"]


def test_what_is_finished_is_found_and_what_changed_is_done_again(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scan, (dicom, _) = nifti(tmp_path / "scan.nii.gz"), series(tmp_path / "dicom")
    out = tmp_path / "out"
    call = (model, scan, dicom, "--output", out, "--json")

    def statuses(*further: object) -> list[str]:
        assert run(*call, *further) == 0
        return [each["status"] for each in answer(capsys)["scans"]]

    assert statuses() == ["done", "done"]
    before = contents(out)
    assert statuses() == ["found", "found"]
    after = contents(out)
    assert {name for name in before if before[name] != after[name]} <= {"summary.csv", ".autosam-predict.lock"}
    (out / "scan" / "scan.png").write_bytes(b"damaged")
    assert statuses() == ["done", "found"]
    assert statuses("--organs", "liver, Left_Kidney") == ["done", "done"]
    assert [each["organ"] for each in rows(out / "scan" / "scan.organs.csv")] == ["left kidney", "liver"]
    assert statuses("--organs", "liver, Left_Kidney") == ["found", "found"]
    assert statuses("--organs", "liver, Left_Kidney", "--again") == ["done", "done"]


def test_only_the_organs_asked_for_are_in_the_files(model: Path, tmp_path: Path) -> None:
    (dicom, _), out = series(tmp_path / "dicom"), tmp_path / "out"
    assert run(model, dicom, "--output", out) == 0
    (folder,) = (each for each in out.iterdir() if each.is_dir())
    whole = read_scan(folder / f"{folder.name}.nii.gz").volume.array_DHW
    assert run(model, dicom, "--output", out, "--organs", "liver") == 0
    np.testing.assert_array_equal(
        read_scan(folder / f"{folder.name}.nii.gz").volume.array_DHW, np.where(whole == 6, 6, 0)
    )
    assert list(json.loads((folder / f"{folder.name}.label.json").read_text())) == ["6"]
    seg = pydicom.dcmread(folder / f"{folder.name}.seg.dcm")
    assert [each.SegmentLabel for each in seg.SegmentSequence if each.SegmentLabel != "Background"] == ["liver"]


def test_scans_of_one_name_have_a_folder_each(model: Path, tmp_path: Path) -> None:
    places = [nifti(tmp_path / folder / "scan.nii.gz", seed) for seed, folder in enumerate("ab")]
    out = tmp_path / "out"
    assert run(model, *places, "--output", out) == 0
    names = {each.name for each in out.iterdir() if each.is_dir()}
    assert "scan" in names and len(names) == 2
    assert run(model, *reversed(places), "--output", out) == 0
    assert {each.name for each in out.iterdir() if each.is_dir()} == names
    assert [each["status"] for each in rows(out / "summary.csv")] == ["found", "found"]


def test_two_scans_of_one_series_uid_have_a_folder_each(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As an anonymiser leaves them that gives all patients the same UIDs; the second has fewer slices."""
    slices, others = ct_slices(), ct_slices(ct(1))[:7]
    for each, other in zip(slices, others, strict=False):
        other.SeriesInstanceUID, other.SOPInstanceUID = each.SeriesInstanceUID, each.SOPInstanceUID
    places = [write_series(tmp_path / "a", slices), write_series(tmp_path / "b", others)]
    out = tmp_path / "out"
    assert run(model, *places, "--output", out) == 0
    first, second = sorted(each.name for each in out.iterdir() if each.is_dir())
    assert second.startswith(f"{first}~")
    assert f"WARNING: another scan, {first}, has the SeriesInstanceUID of this one" in capsys.readouterr().out
    depths = [json.loads((out / name / f"{name}.result.json").read_text())["shape_xyz"][2] for name in (first, second)]
    assert depths == [9, 7]
    assert run(model, *reversed(places), "--output", out) == 0
    assert [each["status"] for each in rows(out / "summary.csv")] == ["found", "found"]


def test_a_label_map_that_was_corrected_by_hand_is_kept(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scan, out = nifti(tmp_path / "scan.nii.gz"), tmp_path / "out"
    assert run(model, scan, "--output", out) == 0
    label = out / "scan" / "scan.nii.gz"
    made = label.read_bytes()
    label.write_bytes(b"corrected")
    capsys.readouterr()
    assert run(model, scan, "--output", out) == 0
    assert "  scan.nii.gz was changed since it was written: it is kept as scan~changed.nii.gz." in (
        capsys.readouterr().out.splitlines()
    )
    assert label.read_bytes() == made and (out / "scan" / "scan~changed.nii.gz").read_bytes() == b"corrected"


def test_a_result_that_replaces_another_says_so(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scan, out = nifti(tmp_path / "scan.nii.gz"), tmp_path / "out"
    assert run(model, scan, "--output", out) == 0
    assert "It replaces" not in capsys.readouterr().out
    assert run(model, scan, "--output", out, "--organs", "liver,spleen") == 0
    assert "  It replaces the result that was here: organs liver, spleen in place of all.\n" in capsys.readouterr().out
    assert run(model, scan, "--output", out, "--organs", "liver,spleen", "--again") == 0
    assert "It replaces" not in capsys.readouterr().out
    assert run(model, scan, "--output", out, "--no-coarse") == 0
    said = "It replaces the result that was here: organs all in place of liver, spleen, coarse False in place of True."
    assert said in capsys.readouterr().out


def test_nothing_of_others_is_replaced(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scan = nifti(tmp_path / "in" / "scan.nii.gz")
    out = tmp_path / "out"
    (out / "scan").mkdir(parents=True)
    (out / "scan" / "thesis.txt").write_text("all of it")
    assert run(model, scan, "--output", out) == 2
    assert "no result of ours" in rows(out / "summary.csv")[0]["reason"]
    assert [each.name for each in (out / "scan").iterdir()] == ["thesis.txt"]
    (out / "scan" / "thesis.txt").unlink()
    assert run(model, scan, "--output", out) == 0
    (out / "scan" / "notes.txt").write_text("a doctor's")
    assert run(model, scan, "--output", out, "--again") == 0
    assert (out / "scan" / "notes.txt").read_text() == "a doctor's"
    (out / "summary.csv").write_text("mine,alone\n")
    assert run(model, scan, "--output", out) == 2
    assert (out / "summary.csv").read_text() == "mine,alone\n"
    assert run(model, tmp_path / "in", "--output", tmp_path / "in") == 2
    assert run(model, scan, "--output", scan) == 2
    assert "scan.nii.gz is a file: name a folder" in capsys.readouterr().err
    assert nib.load(scan).shape == (23, 19, 11)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--organs", "liver,heart,soul"], "does not know 'heart', 'soul'; it knows spleen, right kidney"),
        (["--organs", ","], "name one organ or more"),
        (["--series", "1.2.3"], "there is no such CT series, but no CT series"),
        (["--overlap", "0.95"], "'0.95' is no share from 0 to 0.9"),
        (["--threads", "0"], "'0' is no number of cores"),
        (["--fast"], "unrecognized arguments: --fast"),
        (["gone.nii.gz"], "gone.nii.gz does not exist"),
    ],
)
def test_a_wrong_command_is_refused_before_the_work(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    scan = nifti(tmp_path / "scan.nii.gz")
    assert run(model, scan, *words, "--output", tmp_path / "out") == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.glob("out/*.csv"))


def test_a_folder_without_a_model_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path, nifti(tmp_path / "scan.nii.gz"), "--output", tmp_path / "out") == 2
    assert "holds no model.json" in capsys.readouterr().err


PROGRAM = """
import sys
from autosam_inference.bedside.command import main

def watch(event, details):
    if event.startswith("socket."):
        sys.stderr.write(f"TOUCHED THE NETWORK: {event} {details}\\n")
        raise OSError("no network")

sys.addaudithook(watch)
status = main(sys.argv[1:])
"""


HEAVY = ("torch", "ray", "monai", "matplotlib", "pandas", "rich", "streamlit", "mlflow", "safetensors", "tyro", "yaml")


def test_a_bundle_touches_no_network_and_imports_nothing_heavy(tmp_path: Path) -> None:
    """Every socket of Python's is refused and told of; all that is written is asked for.

    OpenVINO's package would tell Google Analytics of its use.
    """
    bundle = small_bundle(tmp_path / "bundle.zip", spacing_xyz=(4.0, 5.0, 3.0))
    nifti(tmp_path / "in" / "scan.nii.gz")
    series(tmp_path / "in" / "dicom")
    program = PROGRAM + f"print([each for each in {HEAVY} if each in sys.modules], status)"
    command = [sys.executable, "-c", program, str(bundle), str(tmp_path / "in"), "--output", str(tmp_path / "out")]
    command += ["--report"]
    environment = os.environ | {"PYTHONPATH": f"{ROOT / 'platform'}{os.pathsep}{ROOT / 'models'}"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=HANG_S, check=False)
    assert done.returncode == 0, done.stderr
    assert "TOUCHED" not in done.stderr
    assert done.stdout.splitlines()[-1] == "[] 0"
    assert len(list((tmp_path / "out").glob("*/*.nii.gz"))) == 2 and len(list((tmp_path / "out").glob("*/*.dcm"))) == 2


def test_two_at_once_do_not_write_to_one_folder(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from autosam_inference.bedside.place import only_writer

    with only_writer(tmp_path / "out"):
        assert run(model, nifti(tmp_path / "scan.nii.gz"), "--output", tmp_path / "out") == 2
    assert "another autosam-predict writes there" in capsys.readouterr().err


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT for another process")
def test_an_interrupted_call_ends_cleanly_and_goes_on(model: Path, tmp_path: Path) -> None:
    for number in range(60):
        nifti(tmp_path / "in" / f"scan{number:02d}.nii.gz", number)
    command = [sys.executable, "-m", "autosam_inference", str(model), str(tmp_path / "in"), "--output"]
    command += [str(tmp_path / "out")]
    environment = os.environ | {"PYTHONPATH": f"{ROOT / 'platform'}{os.pathsep}{ROOT / 'models'}"}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    wait_until(lambda: len(list((tmp_path / "out").glob("scan*"))) >= 2)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=HANG_S)
    assert process.returncode == 130 and "Traceback" not in errors and "goes on from there" in errors
    told = {each["scan"] for each in rows(tmp_path / "out" / "summary.csv")}
    finished = {each.name for each in (tmp_path / "out").iterdir() if each.is_dir()}
    assert 0 < len(told) < 60 and told <= finished and len(finished - told) <= 1  # it may have been writing
