"""Preparation: verdicts, what is found again, what is redone, and what an interruption leaves."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from pydantic import ValidationError
from synthetic_scans import make_scan, write_btcv, write_btcv_case, write_nifti

from autosam_inference.files import content_hash, unsealed
from autosam_inference.scans.intensity import normalise
from autosam_inference.scans.resampling import resample
from autosam_inference.scans.scan import read_scan
from autosam_platform.data.description import DatasetDescription, load_description
from autosam_platform.data.preparation import (
    VERSION,
    IncompleteDatasetError,
    Preparation,
    PreparedDataset,
    decisive,
    prepare,
)
from autosam_platform.data.readers import DatasetError
from autosam_platform.workspace import Workspace

pytestmark = pytest.mark.usefixtures("ray_local")

BTCV = load_description("btcv")
SETTINGS = Preparation(spacing_xyz=(2.0, 2.0, 2.0))


def _states(prepared: PreparedDataset) -> dict[str, tuple[int, int]]:
    """Inode and time of every file of the cases: new ones for whatever was written again."""
    files = (path for path in (prepared.folder / "cases").rglob("*") if path.is_file())
    return {f"{path.parent.name}/{path.name}": (path.stat().st_ino, path.stat().st_mtime_ns) for path in files}


def _with(**changes: object) -> DatasetDescription:
    """BTCV's description with some fields changed."""
    return DatasetDescription.model_validate(BTCV.model_dump(mode="json") | changes)


def test_prepared_case_is_the_scan_resampled_windowed_and_scaled(tmp_path: Path) -> None:
    prepared = prepare(BTCV, write_btcv(tmp_path / "raw", 3), SETTINGS, Workspace(tmp_path))
    assert prepared.folder.parent == tmp_path / "prepared" and prepared.folder.name.startswith("btcv-")
    assert [each.case_id for each in prepared.cases("all")] == ["img0001", "img0002", "img0003"]
    assert (prepared.name, prepared.num_classes, prepared.spacing_xyz) == ("btcv", 14, (2, 2, 2))
    for case in prepared.cases("all"):
        scan = read_scan(tmp_path / case.record.image).volume
        label = read_scan(tmp_path / str(case.record.label)).volume
        image = resample(scan, (2, 2, 2))
        expected = normalise(image.array_DHW, BTCV.hu_window, BTCV.scaling)
        np.testing.assert_array_equal(case.image().numpy(), expected)
        np.testing.assert_array_equal(case.label().numpy(), resample(label, (2, 2, 2), "label").array_DHW)
        assert case.spacing_DHW == image.spacing_DHW


def test_orientation_does_not_matter(tmp_path: Path) -> None:
    for number, codes in enumerate(("RAS", "LPS", "SAL"), start=1):
        write_btcv_case(tmp_path / "raw", number, make_scan(0), codes)
    first, *others = prepare(BTCV, tmp_path / "raw", SETTINGS, Workspace(tmp_path)).cases("all")
    for other in others:
        assert first.image().equal(other.image()) and first.label().equal(other.label())


def test_second_preparation_finds_everything(tmp_path: Path) -> None:
    root = write_btcv(tmp_path / "raw", 3)
    prepared = prepare(BTCV, root, SETTINGS, Workspace(tmp_path))
    before = _states(prepared)
    again = prepare(BTCV, root, SETTINGS, Workspace(tmp_path))
    assert again == prepared == PreparedDataset.load(prepared.manifest)
    assert _states(again) == before


def test_changed_file_is_prepared_again_and_nothing_else(tmp_path: Path) -> None:
    root = write_btcv(tmp_path / "raw", 3)
    prepared = prepare(BTCV, root, SETTINGS, Workspace(tmp_path))
    before = _states(prepared)
    write_btcv_case(root, 2, make_scan(99))
    again = prepare(BTCV, root, SETTINGS, Workspace(tmp_path))
    after = _states(again)
    new = {name.partition("/")[2] for name in after if after[name] != before.get(name)}
    assert new == {"img0002.b2nd", "img0002.label.b2nd", "img0002.json"}
    assert again.folder == prepared.folder and again.fingerprint != prepared.fingerprint
    assert not again.cases("all")[1].image().equal(prepared.cases("all")[1].image()), "what others read stays"


@pytest.mark.parametrize("end", [".b2nd", ".label.b2nd", ".json"])
def test_what_was_damaged_on_disk_is_prepared_anew_and_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], end: str
) -> None:
    root = write_btcv(tmp_path / "raw", 2)
    prepared = prepare(BTCV, root, SETTINGS, Workspace(tmp_path))
    (path,) = prepared.folder.glob(f"cases/*/img0002{end}")
    whole = path.read_bytes()
    place = len(whole) // 2
    path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
    capsys.readouterr()
    again = prepare(BTCV, root, SETTINGS, Workspace(tmp_path))
    assert f"{path} was damaged or changed since it was written: prepared anew from its scan" in capsys.readouterr().out
    assert path.read_bytes() == whole and again == prepared


def test_new_case_joins_without_the_others_being_redone(tmp_path: Path) -> None:
    root = write_btcv(tmp_path / "raw", 2)
    before = _states(prepare(BTCV, root, SETTINGS, Workspace(tmp_path)))
    write_btcv_case(root, 3, make_scan(3))
    after = _states(prepare(BTCV, root, SETTINGS, Workspace(tmp_path)))
    changed = {name.partition("/")[2] for name in after if before.get(name) != after[name]}
    assert changed == {"img0003.b2nd", "img0003.label.b2nd", "img0003.json"}


def test_fingerprint_tells_datasets_apart_but_not_places(tmp_path: Path) -> None:
    here = prepare(BTCV, write_btcv(tmp_path / "a", 2), SETTINGS, Workspace(tmp_path))
    there = prepare(BTCV, write_btcv(tmp_path / "b", 2), SETTINGS, Workspace(tmp_path))
    other = prepare(BTCV, tmp_path / "a", Preparation(spacing_xyz=(2.0, 2.0, 3.0)), Workspace(tmp_path))
    assert here.folder == there.folder and here.fingerprint == there.fingerprint
    assert other.folder != here.folder and other.fingerprint != here.fingerprint


@pytest.mark.parametrize(
    ("changes", "same_fingerprint"),
    [
        ({"title": "Another title"}, True),
        ({"nsd_tolerance_mm": 3.0}, True),
        ({"layout": "pairs", "files": {"image": "imagesTr/img{id}", "label": "labelsTr/label{id}"}}, True),
        ({"split": {"rule": "every_case", "splits": ["train", "test"]}}, False),
        ({"augmentation": {"flip": 0, "rotate": 0, "intensity_scale": 0, "intensity_shift": 0}}, False),
        ({"foreground_fraction": 0.25}, False),
        ({"scaling": {"to": [-1, 1]}}, False),
        ({"annotated": {"img0001": [each.name for each in BTCV.classes]}}, False),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else None,
)
def test_what_decides_no_voxel_prepares_nothing_anew(
    tmp_path: Path, changes: dict[str, object], same_fingerprint: bool
) -> None:
    root = write_btcv(tmp_path / "raw", 2)
    prepared = prepare(BTCV, root, SETTINGS, Workspace(tmp_path))
    before = _states(prepared)
    again = prepare(_with(**changes), root, SETTINGS, Workspace(tmp_path))
    assert again.folder == prepared.folder and _states(again) == before
    assert (again.fingerprint == prepared.fingerprint) == same_fingerprint
    assert PreparedDataset.load(prepared.manifest).fingerprint == prepared.fingerprint, "what others read stays"


@pytest.mark.parametrize(
    "changes",
    [
        {"hu_window": [-100, 300]},
        {"ignored_labels": {13: "left adrenal gland"}, "classes": BTCV.model_dump(mode="json")["classes"][:12]},
        {"ignored_labels": {200: "a line"}},
    ],
    ids=lambda value: next(iter(value)),
)
def test_what_decides_voxels_or_labels_prepares_anew(tmp_path: Path, changes: dict[str, object]) -> None:
    root = write_btcv(tmp_path / "raw", 2)
    if "classes" in changes:
        changes["classes"] = [each | {"mirror": None} for each in changes["classes"]]  # type: ignore[attr-defined]
    prepared = prepare(BTCV, root, SETTINGS, Workspace(tmp_path))
    again = prepare(_with(**changes), root, SETTINGS, Workspace(tmp_path))
    assert again.folder != prepared.folder and again.fingerprint != prepared.fingerprint


@pytest.mark.parametrize("steps", [("narrow", "wide"), ("wide", "narrow")], ids="-".join)
def test_a_case_is_prepared_anew_when_it_annotates_other_classes(tmp_path: Path, steps: tuple[str, str]) -> None:
    root, ours = write_btcv(tmp_path / "raw", 2), Workspace(tmp_path)
    descriptions = {"wide": BTCV, "narrow": _with(annotated={"img0001": ["liver", "spleen"]})}  # ids 6 and 1
    made = {step: prepare(descriptions[step], root, SETTINGS, ours) for step in steps}
    shown = {step: [case.label().unique().tolist() for case in each.cases("all")] for step, each in made.items()}
    assert shown == {"wide": [list(range(14))] * 2, "narrow": [[0, 1, 6], list(range(14))]}
    one, other = (made[step].entries for step in steps)
    assert one[0].content != other[0].content and one[1].content == other[1].content
    assert made["wide"].folder == made["narrow"].folder
    assert prepare(descriptions[steps[0]], root, SETTINGS, ours) == made[steps[0]], "and is found again"


def test_a_case_that_annotates_all_classes_is_named_as_before(tmp_path: Path) -> None:
    prepared = prepare(BTCV, write_btcv(tmp_path / "raw", 1), SETTINGS, Workspace(tmp_path))
    (case,) = prepared.raw("all")
    decided = decisive(BTCV, (2.0, 2.0, 2.0))
    assert prepared.entries[0].content == content_hash(VERSION, decided, False, *case.hashed)


def test_a_renamed_class_is_another_training_with_the_same_voxels(tmp_path: Path) -> None:
    root = write_btcv(tmp_path / "raw", 2)
    prepared = prepare(BTCV, root, SETTINGS, Workspace(tmp_path))
    renamed = [each | ({"name": "Leber"} if each["name"] == "liver" else {}) for each in _classes()]
    again = prepare(_with(classes=renamed), root, SETTINGS, Workspace(tmp_path))
    assert again.folder == prepared.folder and again.fingerprint != prepared.fingerprint


def _classes() -> list[dict[str, object]]:
    return BTCV.model_dump(mode="json")["classes"]


def test_a_raw_folder_that_was_moved_is_found_and_its_cases_lead_to_it(tmp_path: Path) -> None:
    root = write_btcv(tmp_path / "raw", 3)
    (root / "labelsTr" / "label0002.nii.gz").unlink()
    ours = tmp_path / "workspace"
    prepared = prepare(BTCV, root, SETTINGS, Workspace(ours))
    before = _states(prepared)
    there = root.rename(tmp_path / "elsewhere")
    again = prepare(BTCV, there, SETTINGS, Workspace(ours))
    assert again.fingerprint == prepared.fingerprint
    assert {name for name, state in _states(again).items() if before[name] != state} == {
        name for name in before if name.endswith(".json")
    }
    assert [case.image.parent for case in again.raw("all")] == [there / "imagesTr"] * 2
    (reason,) = again.verdicts[1].reasons
    assert str(there / "labelsTr" / "label0002.nii.gz") in reason and str(root) not in reason


def test_a_workspace_that_was_moved_is_prepared_already(tmp_path: Path) -> None:
    ours = tmp_path / "workspace"
    root = write_btcv(ours / "raw", 3)
    (root / "labelsTr" / "label0002.nii.gz").unlink()
    prepared = prepare(BTCV, root, SETTINGS, Workspace(ours))
    before = _states(prepared)
    there = ours.rename(tmp_path / "moved")
    assert PreparedDataset.load(there / prepared.manifest.relative_to(ours)).raw("all")[0].image.is_file()
    again = prepare(BTCV, there / "raw", SETTINGS, Workspace(there))
    assert again.fingerprint == prepared.fingerprint and _states(again) == before
    assert all(case.image.is_relative_to(there) and case.image.is_file() for case in again.raw("all"))
    assert str(ours) not in again.manifest.read_text() + "".join(again.verdicts[1].reasons)


def test_an_old_record_with_absolute_paths_is_read(tmp_path: Path) -> None:
    ours = tmp_path / "workspace"
    prepared = prepare(BTCV, write_btcv(ours / "raw", 2), SETTINGS, Workspace(ours))
    for path in prepared.folder.glob("cases/*/*.json"):
        record = unsealed(path.read_bytes())
        path.write_text(json.dumps(record | {name: str(ours / record[name]) for name in ("image", "label")}))
    there = ours.rename(tmp_path / "moved")
    (first, _) = PreparedDataset.load(there / prepared.manifest.relative_to(ours)).raw("all")
    assert first.image == there / "raw" / "imagesTr" / "img0001.nii.gz" and first.image.is_file()
    assert first.label == there / "raw" / "labelsTr" / "label0001.nii.gz"


def test_bad_cases_are_named_and_the_others_prepared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = write_btcv(tmp_path / "raw", 5)
    scan = make_scan(7)
    (root / "labelsTr" / "label0002.nii.gz").unlink()
    image = root / "imagesTr" / "img0003.nii.gz"
    image.write_bytes(image.read_bytes()[:2000])
    hu = scan.image_xyz.copy()
    hu[0, 0, 0] = np.nan
    write_nifti(root / "imagesTr" / "img0004.nii.gz", hu, scan.affine)
    write_nifti(root / "labelsTr" / "label0004.nii.gz", scan.label_xyz, scan.affine)
    prepared = prepare(BTCV, root, SETTINGS, Workspace(tmp_path))
    assert {each.case_id: each.status for each in prepared.verdicts} == {
        "img0001": "ok", "img0002": "rejected", "img0003": "rejected", "img0004": "fixed", "img0005": "ok",
    }  # fmt: skip
    assert [each.case_id for each in prepared.cases("all")] == ["img0001", "img0004", "img0005"]
    printed = capsys.readouterr().out
    assert "img0001" not in printed
    assert "label0002.nii.gz is missing; add it or remove the image" in printed
    assert "5 cases (2 ok, 1 fixed, 2 rejected)" in printed and str(prepared.folder) in printed
    assert not np.isnan(prepared.cases("all")[1].image().numpy()).any()
    with pytest.raises(IncompleteDatasetError, match=r"(?s)2 of 5 .*img0002: .*img0003: .*--dataset\.allow-rejected"):
        prepared.require_complete()
    prepared.require_complete(allow_rejected=True)


def test_corrected_case_is_accepted_on_the_next_run(tmp_path: Path) -> None:
    root = write_btcv(tmp_path / "raw", 2)
    label = root / "labelsTr" / "label0001.nii.gz"
    kept = label.read_bytes()
    label.write_bytes(kept[:100])
    assert prepare(BTCV, root, SETTINGS, Workspace(tmp_path)).verdicts[0].status == "rejected"
    label.write_bytes(kept)
    prepared = prepare(BTCV, root, SETTINGS, Workspace(tmp_path))
    assert prepared.verdicts[0].status == "ok"
    prepared.require_complete()


def test_dataset_without_a_usable_training_case_is_refused(tmp_path: Path) -> None:
    root = write_btcv(tmp_path / "raw", 2)
    (root / "labelsTr" / "label0001.nii.gz").unlink()
    prepared = prepare(BTCV, root, SETTINGS, Workspace(tmp_path))
    with pytest.raises(IncompleteDatasetError, match="no training case of btcv is usable"):
        prepared.require_complete(allow_rejected=True)


def test_missing_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="nowhere is not a folder"):
        prepare(BTCV, tmp_path / "nowhere", SETTINGS, Workspace(tmp_path))
    assert not (tmp_path / "prepared").exists()


KILLED = """
import os, signal, sys
from pathlib import Path
import blosc2
from autosam_platform.data import preparation
from autosam_platform.data.description import load_description
from autosam_platform.workspace import Workspace

def one_after_the_other(function, items, *, label, memory):
    return [function(item) for item in items]

def write(array, urlpath, **options):
    if "img0002.label" in urlpath:
        Path(urlpath).write_bytes(b"half of it")
        os.kill(os.getpid(), signal.SIGKILL)
    return written(array, urlpath=urlpath, **options)

written, blosc2.asarray = blosc2.asarray, write
preparation.map_tasks = one_after_the_other
root, workspace = map(Path, sys.argv[1:])
preparation.prepare(load_description("btcv"), root, preparation.Preparation(spacing_xyz=(2.0, 2.0, 2.0)),
Workspace(workspace))
"""


def test_killed_preparation_leaves_nothing_half_written_and_continues(tmp_path: Path) -> None:
    root = write_btcv(tmp_path / "raw", 3)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    killed = subprocess.run([sys.executable, "-c", KILLED, root, tmp_path], env=environment, check=False)
    assert killed.returncode == -signal.SIGKILL
    (folder,) = (tmp_path / "prepared").iterdir()
    manifest = folder / "dataset-01234567.json"
    with pytest.raises(IncompleteDatasetError, match=r"dataset-.*\.json is missing: the preparation did not end"):
        PreparedDataset.load(manifest)
    left = {path.name: path.stat().st_ino for path in folder.glob("cases/*/*")}
    assert "img0001.json" in left and "img0002.json" not in left and "img0002.label.b2nd" not in left
    assert any(".tmp-" in name for name in left)
    prepared = prepare(BTCV, root, SETTINGS, Workspace(tmp_path))
    after = {path.name: path.stat().st_ino for path in folder.glob("cases/*/*")}
    assert sorted(after) == sorted(f"img000{n}{end}" for n in "123" for end in (".b2nd", ".label.b2nd", ".json"))
    assert after["img0001.b2nd"] == left["img0001.b2nd"], "the finished case was found"
    clean = prepare(BTCV, root, SETTINGS, Workspace(tmp_path / "other"))
    assert clean.folder.parent == tmp_path / "other" / "prepared", "nothing of the interrupted one was taken"
    for one, other in zip(prepared.cases("all"), clean.cases("all"), strict=True):
        assert one.label().equal(other.label()) and one.image().equal(other.image())


def test_damaged_manifest_says_so(tmp_path: Path) -> None:
    prepared = prepare(BTCV, write_btcv(tmp_path / "raw", 2), SETTINGS, Workspace(tmp_path))
    manifest = json.loads(prepared.manifest.read_text())
    assert manifest["cases"][0]["status"] == "ok"
    prepared.manifest.write_text("{}")
    with pytest.raises(IncompleteDatasetError, match="damaged or of another version: prepare the dataset again"):
        PreparedDataset.load(prepared.manifest)


def test_case_changed_under_an_open_dataset_is_noticed(tmp_path: Path) -> None:
    prepared = prepare(BTCV, write_btcv(tmp_path / "raw", 2), SETTINGS, Workspace(tmp_path))
    next(prepared.folder.glob("cases/*/img0001.json")).unlink()
    with pytest.raises(IncompleteDatasetError, match=r"img0001\.json is missing or damaged"):
        PreparedDataset.load(prepared.manifest).cases("train")


def test_impossible_spacing_is_refused() -> None:
    with pytest.raises(ValidationError, match="spacing_xyz"):
        Preparation(spacing_xyz=(0.0, 1.0, 1.0))


def test_unlabelled_test_case_is_prepared(tmp_path: Path) -> None:
    fields = load_description("pelvic").model_dump(mode="json")
    split = {"rule": "by_list", "lists": {"training": "train", "test": "test"}}
    description = DatasetDescription.model_validate(fields | {"layout": "decathlon", "split": split})
    scan = make_scan(num_classes=4)
    write_nifti(tmp_path / "raw/imagesTr/a.nii.gz", scan.image_xyz, scan.affine)
    write_nifti(tmp_path / "raw/labelsTr/a.nii.gz", scan.label_xyz, scan.affine)
    write_nifti(tmp_path / "raw/imagesTs/b.nii.gz", scan.image_xyz, scan.affine)
    prepared = prepare(description, tmp_path / "raw", SETTINGS, Workspace(tmp_path))
    (case,) = prepared.cases("test")
    assert case.record.label is None and case.image().equal(prepared.cases("train")[0].image())


PELVIC = load_description("pelvic").model_dump(mode="json")  # 1 prostate, 2 bladder, 3 rectum


def _pelvic(**changes: object) -> DatasetDescription:
    return DatasetDescription.model_validate(PELVIC | changes)


def _write_pair(root: Path, name: str, seed: int = 0, values: dict[int, int] | None = None) -> None:
    """``images/NAME`` and ``labels/NAME``; ``values``: other ids for those of the label map."""
    scan = make_scan(seed, num_classes=4)
    label = scan.label_xyz.copy()
    for old, new in (values or {}).items():
        label[scan.label_xyz == old] = new
    write_nifti(root / "images" / f"{name}.nii.gz", scan.image_xyz, scan.affine, dtype=np.int16)
    write_nifti(root / "labels" / f"{name}.nii.gz", label, scan.affine)


@pytest.mark.parametrize(
    ("name", "expected"), [("btcv", "76cede14df1673e6"), ("ct_org", "72a903b8a95b46a3"), ("pelvic", "364178caa40cdb0e")]
)
def test_what_came_later_names_no_preparation_anew(name: str, expected: str) -> None:
    assert content_hash(decisive(load_description(name), (1.0, 1.0, 2.0))) == expected, (
        "label_ids and masks are not in it"
    )


def test_every_id_has_files_of_its_own(tmp_path: Path) -> None:
    ids = ["b03", "b03.label", "B03", "Jörg, 2", "x" * 240]
    for seed, case_id in enumerate(ids):
        _write_pair(tmp_path / "raw", case_id, seed)
    prepared = prepare(_pelvic(), tmp_path / "raw", SETTINGS, Workspace(tmp_path))
    assert {each.status for each in prepared.verdicts} == {"ok"}
    cases = {case.case_id: case for case in prepared.cases("all")}
    assert sorted(cases) == sorted(ids)
    for seed, case_id in enumerate(ids):
        label = resample(read_scan(tmp_path / "raw" / "labels" / f"{case_id}.nii.gz").volume, (2, 2, 2), "label")
        np.testing.assert_array_equal(cases[case_id].label().numpy(), label.array_DHW, err_msg=f"{seed} {case_id}")
    before = _states(prepared)
    assert _states(prepare(_pelvic(), tmp_path / "raw", SETTINGS, Workspace(tmp_path))) == before


def test_what_was_left_out_is_in_table_and_manifest(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in (1, 2):
        write_btcv_case(tmp_path / "raw", number, make_scan(number))
    images, labels = tmp_path / "raw" / "imagesTr", tmp_path / "raw" / "labelsTr"
    for number in range(3, 10):
        (images / f"Img000{number}.nii.gz").write_bytes((images / "img0001.nii.gz").read_bytes())
    (images / "img0002.nii").touch()
    (labels / "notes.txt").touch()
    prepared = prepare(BTCV, tmp_path / "raw", SETTINGS, Workspace(tmp_path))
    printed = capsys.readouterr().out
    assert "imagesTr/img0002.nii and imagesTr/img0002.nii.gz are both there" in printed
    assert "Img0007.nii.gz and 2 more (listed in" in printed
    assert "its name is not one of imagesTr/img*.nii.gz" in printed
    assert "left out: labelsTr/notes.txt: no NIfTI file" in printed
    assert "2 cases (1 ok, 0 fixed, 1 rejected)" in printed
    names = [f"imagesTr/Img000{number}.nii.gz" for number in range(3, 10)]
    assert [each.name for each in PreparedDataset.load(prepared.manifest).left_out] == [*names, "labelsTr/notes.txt"]


def test_the_same_scan_under_two_names_is_noted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, seed in (("a", 1), ("b", 2), ("c", 1)):
        _write_pair(tmp_path / "raw", name, seed)
    scan = make_scan(1, num_classes=4)
    write_nifti(tmp_path / "raw/images/c.nii.gz", scan.image_xyz, scan.affine, "LPS", np.float32)  # in other bytes
    split = {"rule": "in_order", "parts": [{"split": "train", "cases": 2}, {"split": "test", "cases": 1}]}
    prepared = prepare(_pelvic(split=split), tmp_path / "raw", SETTINGS, Workspace(tmp_path))
    (note,) = prepared.notes
    assert note.startswith("a (train) and c (test) hold the same scan: scores on a scan that was trained on")
    assert f"note: {note}" in capsys.readouterr().out


def test_a_class_that_no_case_of_a_split_shows_is_noted(tmp_path: Path) -> None:
    _write_pair(tmp_path / "raw", "a", 1)
    _write_pair(tmp_path / "raw", "b", 2, values={2: 0})
    _write_pair(tmp_path / "raw", "c", 3)
    parts = [{"split": split, "cases": 1} for split in ("train", "val", "test")]
    description = _pelvic(split={"rule": "in_order", "parts": parts})
    expected = ("no validation case shows bladder: the best checkpoint is chosen without.",)
    for _ in range(2):  # made, and found
        assert prepare(description, tmp_path / "raw", SETTINGS, Workspace(tmp_path)).notes == expected


def test_files_that_are_links_are_prepared(tmp_path: Path) -> None:
    _write_pair(tmp_path / "lake", "a")
    for folder in ("images", "labels"):
        (tmp_path / "raw" / folder).mkdir(parents=True)
        (tmp_path / "lake" / folder / "a.nii.gz").rename(tmp_path / "lake" / folder / "4f2a")  # as DVC's cache has it
        (tmp_path / "raw" / folder / "a.nii.gz").symlink_to(tmp_path / "lake" / folder / "4f2a")
    prepared = prepare(_pelvic(), tmp_path / "raw", SETTINGS, Workspace(tmp_path / "workspace"))
    assert [each.status for each in prepared.verdicts] == ["ok"]
    assert prepared.raw("all")[0].image == tmp_path / "raw" / "images" / "a.nii.gz"


def test_other_label_ids_are_other_cases_with_the_same_labels(tmp_path: Path) -> None:
    _write_pair(tmp_path / "own", "a")
    _write_pair(tmp_path / "other", "a", values={1: 7, 2: 100, 3: 255})
    own = prepare(_pelvic(), tmp_path / "own", SETTINGS, Workspace(tmp_path))
    ids = {7: "prostate", 100: "bladder", 255: "rectum"}
    other = prepare(_pelvic(label_ids=ids), tmp_path / "other", SETTINGS, Workspace(tmp_path))
    exchanged = prepare(
        _pelvic(label_ids=ids | {7: "rectum", 255: "prostate"}), tmp_path / "other", SETTINGS, Workspace(tmp_path)
    )
    labels = [each.cases("all")[0].label() for each in (own, other, exchanged)]
    assert labels[0].equal(labels[1]) and not labels[0].equal(labels[2])
    assert len({each.folder for each in (own, other, exchanged)}) == 3
    assert len({each.fingerprint for each in (own, other, exchanged)}) == 3


def test_masks_are_found_again_when_they_move_and_made_anew_when_one_changes(tmp_path: Path) -> None:
    scan = make_scan(num_classes=4)
    place = tmp_path / "raw" / "s1" / "segmentations"
    write_nifti(tmp_path / "raw/s1/ct.nii.gz", scan.image_xyz, scan.affine, dtype=np.int16)
    for value, organ in enumerate(("prostate", "bladder", "rectum"), start=1):
        write_nifti(place / f"{organ}.nii.gz", scan.label_xyz == value, scan.affine, dtype=np.uint8)
    files = {"image": "{id}/ct", "label": "{id}/segmentations/{organ}"}
    prepared = prepare(_pelvic(files=files), tmp_path / "raw", SETTINGS, Workspace(tmp_path))
    (case,) = prepared.cases("all")
    expected = resample(read_scan(tmp_path / "raw/s1/ct.nii.gz").volume, (2, 2, 2)).array_DHW.shape
    assert case.shape_DHW == expected and sorted(case.record.contents.voxels) == [0, 1, 2, 3]  # type: ignore[union-attr]

    (tmp_path / "raw").rename(tmp_path / "moved")
    again = prepare(_pelvic(files=files), tmp_path / "moved", SETTINGS, Workspace(tmp_path))
    assert again.fingerprint == prepared.fingerprint
    assert again.raw("all")[0].masks[0] == ("bladder", tmp_path / "moved" / "s1" / "segmentations" / "bladder.nii.gz")

    place = tmp_path / "moved" / "s1" / "segmentations"
    (place / "bladder.nii.gz").rename(place / "x")
    (place / "rectum.nii.gz").rename(place / "bladder.nii.gz")
    (place / "x").rename(place / "rectum.nii.gz")
    swapped = prepare(_pelvic(files=files), tmp_path / "moved", SETTINGS, Workspace(tmp_path))
    assert swapped.fingerprint != prepared.fingerprint
    was, now = case.label(), swapped.cases("all")[0].label()
    assert now.equal(was) is False and (now == 3).equal(was == 2)


def test_a_case_without_a_mask_is_accepted_once_it_is_said_not_to_annotate_the_organ(tmp_path: Path) -> None:
    scan = make_scan(num_classes=4)
    write_nifti(tmp_path / "raw/s1/ct.nii.gz", scan.image_xyz, scan.affine, dtype=np.int16)
    for value, organ in enumerate(("prostate", "bladder"), start=1):
        write_nifti(tmp_path / f"raw/s1/{organ}.nii.gz", scan.label_xyz == value, scan.affine, dtype=np.uint8)
    files = {"image": "{id}/ct", "label": "{id}/{organ}"}
    (rejected,) = prepare(_pelvic(files=files), tmp_path / "raw", SETTINGS, Workspace(tmp_path)).verdicts
    assert rejected.status == "rejected" and "say in the description's 'annotated'" in rejected.reasons[0]
    told = _pelvic(files=files, annotated={"s.*": ["prostate", "bladder"]})
    (accepted,) = prepare(told, tmp_path / "raw", SETTINGS, Workspace(tmp_path)).verdicts
    assert accepted.status == "ok"


def test_real_ct(real_ct: Path, tmp_path: Path) -> None:
    description = load_description("one_scan")
    prepared = prepare(description, real_ct, Preparation(spacing_xyz=(4.0, 4.0, 4.0)), Workspace(tmp_path))
    (case,) = prepared.cases("test")
    assert prepared.cases("train") == [case] and case.record.status == "ok"
    truth = np.asarray(nib.load(real_ct / "labels-btcv.nii.gz").dataobj)
    assert case.record.contents is not None
    assert set(case.record.contents.voxels) == set(np.unique(truth).tolist())
    for organ in (1, 2, 3, 6, 7):
        assert case.record.contents.voxels[organ] * 64 == pytest.approx((truth == organ).sum() * 27, rel=0.05)
    image, label = case.image(), case.label()
    assert image.min() == -2 and image.max() == 2  # -125 and 275 HU
    liver_hu = image[label == 6].mean().item() * 100 + 75
    assert liver_hu == pytest.approx(44, abs=4), "the README's figure"
    right_kidney, left_kidney = ((label == value).nonzero()[:, 2].float().mean() for value in (2, 3))
    assert right_kidney > left_kidney
