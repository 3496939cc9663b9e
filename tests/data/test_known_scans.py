"""Which raw scans are known again without being read: by size and time of change, unless they are too young."""

import os
import shutil
from pathlib import Path

import pytest
from synthetic_scans import set_age, write_btcv

from autosam_platform.data import preparation
from autosam_platform.data.cases import DatasetError
from autosam_platform.data.description import load_description
from autosam_platform.data.preparation import CasePlan, prepare_case
from autosam_platform.data.readers import find_cases
from autosam_platform.data.store import CaseRecord, read_record
from autosam_platform.workspace import Workspace

BTCV = load_description("btcv")


class Trial:
    """A case, prepared as often as is asked for."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root = write_btcv(folder / "raw", 1)
        self.place = Workspace(folder / "workspace").prepared("btcv")
        self.read: list[str] = []
        hashed = preparation.content_hash

        def counted(*parts: object) -> str:
            self.read += [part.name for part in parts if isinstance(part, Path)]
            return hashed(*parts)

        monkeypatch.setattr(preparation, "content_hash", counted)

    def prepared(self) -> CaseRecord:
        """The record; ``read`` has the files that were read whole to know them."""
        self.read.clear()
        (case,) = find_cases(BTCV, self.root)
        earlier = self.place.versions([case.case_id])[case.case_id]
        record, damage = prepare_case(case, CasePlan(BTCV, (4.0, 4.0, 4.0), self.place), earlier)
        assert damage == ""
        return record

    @property
    def image(self) -> Path:
        return self.root / "imagesTr" / "img0001.nii.gz"

    def kept(self) -> dict[str, int]:
        """The stored arrays, and when they were written."""
        return {path.name: path.stat().st_mtime_ns for path in self.place.folder.rglob("*.b2nd")}


BOTH = ["img0001.nii.gz", "label0001.nii.gz"]


@pytest.fixture
def trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Trial:
    return Trial(tmp_path, monkeypatch)


def _changed(path: Path) -> None:
    """Another byte, in the gzip header's field of the time: a change of content that any reader bears."""
    content = bytearray(path.read_bytes())
    content[4] ^= 1
    path.write_bytes(content)


def test_scans_are_read_once(trial: Trial) -> None:
    first = trial.prepared()
    assert trial.read == BOTH and len(first.stamp) == 16
    assert trial.prepared() == first
    assert trial.read == []


def test_a_changed_file_is_read_and_prepared_anew(trial: Trial) -> None:
    first = trial.prepared()
    _changed(trial.image)
    set_age(trial.image, 60)
    second = trial.prepared()
    assert trial.read == BOTH and second.content != first.content and second.stamp not in ("", first.stamp)


def test_a_file_that_was_only_touched_is_read_and_not_prepared_anew(trial: Trial) -> None:
    first, before = trial.prepared(), trial.kept()
    set_age(trial.image, 60)
    second = trial.prepared()
    assert trial.read == BOTH and second.content == first.content and second.stamp != first.stamp
    assert trial.kept() == before
    assert trial.prepared() == second and trial.read == []


def test_a_young_file_is_read_each_time(trial: Trial) -> None:
    """Written twice within one tick of the file system's clock it would have the same time with other bytes."""
    set_age(trial.image, 0)
    state = trial.image.stat()
    first = trial.prepared()
    assert first.stamp == "" and trial.read == BOTH
    _changed(trial.image)
    os.utime(trial.image, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert trial.prepared().content != first.content and trial.read == BOTH


def test_scans_that_moved_are_read_and_found(trial: Trial, tmp_path: Path) -> None:
    first, before = trial.prepared(), trial.kept()
    shutil.copytree(trial.root, tmp_path / "elsewhere")  # with their times
    trial.root = tmp_path / "elsewhere"
    second = trial.prepared()
    assert trial.read == BOTH and second.content == first.content and trial.kept() == before


def test_files_that_were_put_in_each_others_place_are_read(trial: Trial, tmp_path: Path) -> None:
    """With the size and the time of those that were there, as an archive or ``cp -p`` leaves them."""
    first = trial.prepared()
    other = shutil.copy2(trial.image, tmp_path / "other.nii.gz")
    _changed(other)
    os.utime(other, ns=(0, trial.image.stat().st_mtime_ns))
    other.replace(trial.image)
    second = trial.prepared()
    assert trial.read == BOTH and second.content != first.content
    assert len(trial.place.versions(["img0001"])["img0001"]) == 2


def test_files_that_change_while_they_are_prepared_are_refused(trial: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was hashed is not what was read: kept, it would be taken for the former ever after."""
    loaded = preparation.load_checked

    def changing(*arguments: object) -> object:
        _changed(trial.image)
        return loaded(*arguments)

    with monkeypatch.context() as patched:
        patched.setattr(preparation, "load_checked", changing)
        with pytest.raises(DatasetError, match="img0001: its files were changed while they were read"):
            trial.prepared()
    assert not trial.kept() and not list(trial.place.folder.rglob("*.json"))
    assert trial.prepared().status == "ok"


def test_a_record_of_an_earlier_version_gets_its_stamp(trial: Trial) -> None:
    first, before = trial.prepared(), trial.kept()
    folder = trial.place.case("img0001", first.content)
    whole = read_record(folder, "img0001")
    assert whole is not None
    preparation.write_record(folder, whole.model_copy(update={"stamp": ""}))
    assert trial.prepared() == first and trial.read == BOTH and trial.kept() == before
    assert trial.prepared() == first and trial.read == []
