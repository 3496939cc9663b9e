"""A folder that is watched, step by step, on a clock of the test's: what is taken, when, how often, what is told."""

import errno
import json
import logging
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from bedside_command import nifti, run, series, small_model
from dicom_factory import SECRETS, ct, ct_slices, write_series, write_zip
from other_user import as_nobody, open_folder

from autosam_inference.bedside import attempt as attempt_module
from autosam_inference.bedside.ledger import LEDGER
from autosam_inference.bedside.options import Options
from autosam_inference.bedside.record import read_record
from autosam_inference.bedside.segmenting import Job
from autosam_inference.bedside.watch_log import LOG, watch_log
from autosam_inference.bedside.watching import MOST_CUT_SHORT, MOST_TRIES, Watch
from autosam_inference.model import TrainedModel

SETTLE = 10.0


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> TrainedModel:
    loaded = TrainedModel.load(small_model(tmp_path_factory.mktemp("run") / "model"))
    loaded.runtime.use_threads(1)
    return loaded


class Ward:
    """A watched folder ``place``, and a clock that is turned by hand."""

    def __init__(self, model: TrainedModel, folder: Path, log: logging.Logger) -> None:
        self.place, self.out = folder / "in", folder / "out"
        self.place.mkdir(exist_ok=True)
        self._model, self._log, self._clock = model, log, 0.0
        self.begin()

    def begin(self, *, again: bool = False) -> None:
        """As a new process does."""
        job = Job(self._model, self.out, Options(names="hash", again=again))
        self._watch = Watch(job, self.place, SETTLE, self._log)

    def wait(self, seconds: float) -> int:
        """How many scans are taken in that time."""
        taken = 0
        for _ in range(round(seconds)):
            self._clock += 1
            while self._watch.step(self._clock):
                taken += 1
                assert taken < 20, "it takes the same again and again"
        return taken

    @property
    def states(self) -> list[str]:
        entries = json.loads((self.out / LEDGER).read_text())["entries"].values()
        return sorted(each["state"] for each in entries)

    @property
    def results(self) -> list[Path]:
        return [each for each in self.out.iterdir() if each.is_dir()]

    @property
    def told(self) -> str:
        return (self.out / LOG).read_text(encoding="utf-8")


@pytest.fixture
def ward(model: TrainedModel, tmp_path: Path) -> Iterator[Ward]:
    (tmp_path / "out").mkdir()
    with watch_log(tmp_path / "out") as log:
        yield Ward(model, tmp_path, log)


def test_a_file_is_taken_when_it_has_not_grown_for_long_enough(ward: Ward, tmp_path: Path) -> None:
    whole = nifti(tmp_path / "whole.nii.gz").read_bytes()
    target = ward.place / "scan.nii.gz"
    for end in range(0, len(whole), len(whole) // 3):
        target.write_bytes(whole[:end])
        assert ward.wait(SETTLE - 1) == 0
    target.write_bytes(whole)
    assert ward.wait(SETTLE) == 0
    assert ward.wait(1) == 1 and ward.states == ["done"]
    assert ward.wait(100) == 0


def test_a_copy_under_another_name_is_not_looked_at(ward: Ward) -> None:
    nifti(ward.place / "scan.nii.gz").rename(ward.place / "scan.nii.gz.part")
    write_series(ward.place / ".hidden", ct_slices())
    assert ward.wait(50) == 0
    (ward.place / "scan.nii.gz.part").rename(ward.place / "scan.nii.gz")
    assert ward.wait(SETTLE + 1) == 1


def test_a_series_is_taken_when_no_slice_comes_any_more(ward: Ward, tmp_path: Path) -> None:
    """Another one in the same folder, whose slices come later, does not hold it up."""
    first, second = ct_slices(), ct_slices(ct(1))
    write_series(ward.place, first[:5], prefix="a")
    assert ward.wait(SETTLE - 2) == 0
    write_series(ward.place, first, prefix="a")
    write_series(ward.place, second[:4], prefix="b")
    assert ward.wait(SETTLE - 2) == 0
    write_series(ward.place, second[:6], prefix="b")
    assert ward.wait(5) == 1  # its last slice came ten seconds ago
    write_series(ward.place, second, prefix="b")
    assert ward.wait(5) == 0 and ward.wait(SETTLE) == 1
    records = [read_record(each) for each in ward.results]
    assert {each.series for each in records if each} == {first[0].SeriesInstanceUID, second[0].SeriesInstanceUID}
    assert all(each is not None and each.shape_xyz == (37, 34, 9) and not each.warnings for each in records)


def test_a_series_that_lacks_slices_by_its_headers_waits_longer_and_says_so(ward: Ward) -> None:
    slices = ct_slices()
    for each in slices:
        each.ImagesInAcquisition = 9
    write_series(ward.place, slices[:7])
    assert ward.wait(5 * SETTLE) == 0
    write_series(ward.place, slices)
    assert ward.wait(SETTLE + 1) == 1 and "WARNING" not in ward.told
    short = ct_slices(ct(1))
    for each in short:
        each.ImagesInAcquisition = 9
    write_series(ward.place / "short", short[:7])
    assert ward.wait(9 * SETTLE) == 0
    assert ward.wait(2 * SETTLE) == 1
    assert "its headers tell of 2 more images than are there" in ward.told


def test_a_gap_is_refused_and_the_series_done_when_it_is_closed(ward: Ward) -> None:
    slices = ct_slices()
    write_series(ward.place, [*slices[:4], *slices[6:]], prefix="a")
    assert ward.wait(11 * SETTLE) == 1 and ward.states == ["failed"]
    assert "2 slices are missing" in ward.told and "tried again when it changes" in ward.told
    assert ward.wait(200) == 0
    write_series(ward.place, slices[4:6], prefix="late")
    assert ward.wait(SETTLE + 1) == 1 and ward.states == ["done"]


def test_a_series_that_grows_replaces_its_result(ward: Ward) -> None:
    """Wherever its further slices come to lie."""
    slices = ct_slices()
    write_series(ward.place / "one", slices[:5])
    assert ward.wait(SETTLE + 1) == 1
    write_series(ward.place / "two", slices[5:], prefix="late")
    assert ward.wait(SETTLE + 1) == 1 and ward.states == ["done"]
    (result,) = ward.results
    record = read_record(result)
    assert record is not None and record.shape_xyz[2] == 9 and len(record.images) == 9
    assert f"{result.name}: It replaces the result that was here: files 9 in place of 5." in ward.told


def test_a_series_that_comes_twice_is_done_once_for_each_content(ward: Ward, tmp_path: Path) -> None:
    """As two zips of one study, and as an anonymiser leaves it that knows a single SeriesInstanceUID."""
    slices, others = ct_slices(), ct_slices(ct(1))
    for each, other in zip(slices, others, strict=True):
        other.SeriesInstanceUID, other.SOPInstanceUID = each.SeriesInstanceUID, each.SOPInstanceUID
    one, another = write_series(tmp_path / "one", slices), write_series(tmp_path / "another", others)
    write_zip(ward.place / "study.zip", one)
    write_zip(ward.place / "study (1).zip", another)
    write_zip(ward.place / "study (2).zip", one)
    write_series(ward.place / "study", slices)
    nifti(ward.place / "later.nii.gz")
    assert ward.wait(10 * SETTLE) == 5 and ward.states == ["done"] * 5
    names = sorted(each.name for each in ward.results)
    assert len(names) == 3 and names[1].startswith(f"{names[0]}~")
    assert ward.told.count("was segmented before") == 2
    assert f"WARNING: another scan, {names[0]}, has the SeriesInstanceUID of this one" in ward.told
    ward.begin()
    assert ward.wait(10 * SETTLE) == 0


def test_a_part_of_a_series_and_the_whole_end_in_one_result(ward: Ward, tmp_path: Path) -> None:
    slices = ct_slices()
    write_zip(ward.place / "a.zip", write_series(tmp_path / "part", slices[:5]))
    assert ward.wait(SETTLE + 1) == 1
    write_zip(ward.place / "b.zip", write_series(tmp_path / "whole", slices))
    assert ward.wait(10 * SETTLE) == 1 and ward.states == ["done", "done"]
    (result,) = ward.results
    record = read_record(result)
    assert record is not None and record.shape_xyz[2] == 9
    rows = (ward.out / "summary.csv").read_text().splitlines()[1:]
    assert len(rows) == 1 and rows[0].startswith(result.name), "what was replaced is in no table"


@pytest.mark.parametrize("mode", [0o000, 0o111, 0o444])
def test_a_folder_that_may_not_be_looked_into_stops_no_watch(model: TrainedModel, mode: int) -> None:
    with open_folder() as folder:
        (folder / "out").mkdir()
        folder.chmod(0o777), (folder / "out").chmod(0o777)
        with watch_log(folder / "out") as log:
            ward = Ward(model, folder, log)
            nifti(ward.place / "first.nii.gz")
            assert ward.wait(SETTLE + 1) == 1  # and what is imported is there for nobody
            closed = nifti(ward.place / "lost+found" / "scan.nii.gz").parent
            nifti(ward.place / "second.nii.gz", 1)
            closed.chmod(mode)
            with as_nobody():
                assert ward.wait(10 * SETTLE) == 2
            assert ward.states == ["done", "done", "failed"]
            assert ("cannot be read (Permission denied)" if mode == 0o444 else "cannot be listed") in ward.told
            assert "lost+found" not in ward.told  # another folder may bear a patient's name
            closed.chmod(0o755)
            assert ward.wait(10 * SETTLE) == 1 and ward.states.count("done") == 3


def test_what_is_done_is_not_done_again(ward: Ward) -> None:
    scan = nifti(ward.place / "scan.nii.gz")
    series(ward.place / "series")
    assert ward.wait(20) == 2
    before = {each: each.stat().st_mtime_ns for each in ward.out.glob("*/*")}
    ward.begin()
    assert ward.wait(50) == 0
    os.utime(scan, (1, 1))  # copied once more
    assert ward.wait(20) == 1 and "was segmented before" in ward.told
    (ward.out / LEDGER).write_text("{}")
    ward.begin()
    assert ward.wait(20) == 2 and "The ledger was damaged" in ward.told
    assert {each: each.stat().st_mtime_ns for each in ward.out.glob("*/*")} == before
    shutil.rmtree(ward.place)
    assert ward.wait(20) == 0 and "The folder is not there" in ward.told


def test_a_bad_scan_is_tried_when_it_changes_and_not_for_ever(ward: Ward) -> None:
    target = ward.place / "scan.nii.gz"
    for number in range(MOST_TRIES):
        target.write_bytes(bytes(number + 1))
        assert ward.wait(15) == 1
        assert ward.states == ["given up" if number == MOST_TRIES - 1 else "failed"]
        assert ward.wait(50) == 0
    nifti(target)
    ward.begin()
    assert ward.wait(50) == 0 and "It is given up." in ward.told
    ward.begin(again=True)
    assert ward.wait(50) == 1 and ward.states == ["done"]


def test_a_scan_that_ends_the_process_is_given_up_in_the_end(ward: Ward) -> None:
    nifti(ward.place / "scan.nii.gz")
    nifti(ward.place / "other.nii.gz", 1)
    assert ward.wait(20) == 2
    for number in range(MOST_CUT_SHORT):
        told = json.loads((ward.out / LEDGER).read_text())
        key = sorted(told["entries"])[0]
        del told["seal"]
        told["entries"][key] |= {"state": "working", "fingerprint": str(number)}
        (ward.out / LEDGER).write_text(json.dumps(told))
        ward.begin()
        ward._watch._ledger.save()
    assert ward.wait(20) == 1 and ward.states == ["done", "given up"]
    assert "the process ended 10 times while it worked on it" in ward.told


def test_a_full_disk_is_waited_for(ward: Ward, monkeypatch: pytest.MonkeyPatch) -> None:
    nifti(ward.place / "scan.nii.gz")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as change:
        change.setattr(attempt_module, "segment", full)
        assert ward.wait(100) < 8, "it pauses longer and longer"
        assert ward.states == ["waiting"] and "No space left on device" in ward.told
    assert ward.wait(200) == 1 and ward.states == ["done"]


def test_nothing_tells_the_patient(ward: Ward, capfd: pytest.CaptureFixture[str]) -> None:
    write_series(ward.place / "Geheim_Erika", ct_slices(), prefix="Geheim_")
    broken = write_series(ward.place / "Vertraulich", ct_slices(), prefix="Erika")
    os.truncate(broken / "Erika0004", 400)
    lone = write_series(ward.place / "ACC-0815", ct_slices()[:1], prefix="Erika") / "Erika0000"
    os.truncate(lone, 300)
    (ward.place / "SECRET-4711.nii.gz").write_bytes(b"no scan")
    nifti(ward.place / "Vertraulich.nii.gz")
    assert ward.wait(12 * SETTLE) == 5 and ward.states == ["done", "done", "failed", "failed", "failed"]
    said = "".join(capfd.readouterr()).encode()
    files = (each for each in ward.out.rglob("*") if each.is_file() and not each.name.endswith(".dcm"))
    shown = said + b"".join(str(each.relative_to(ward.out)).encode() + each.read_bytes() for each in files)
    assert not [secret for secret in SECRETS if secret.encode() in shown]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["scan.nii.gz", "--watch", "."], "--watch takes a folder of its own"),
        (["--watch", ".", "--json"], "--watch takes a folder of its own"),
        (["--watch", "gone"], "gone does not exist"),
        (["--watch", ".", "--settle", "-1"], "'-1' is no number of seconds"),
        ([], "name the scans, or a folder to --watch"),
    ],
)
def test_a_wrong_watch_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    assert run(tmp_path, *words, "--output", tmp_path / "out") == 2
    assert message in capsys.readouterr().err
