"""A teacher of files: label maps and probabilities of somebody else's model, stored as its answers, or refused."""

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from numpy.typing import NDArray
from synthetic_scans import Scan, make_scan, reoriented, write_btcv, write_nifti

from autosam_inference.scans.grid import Volume
from autosam_inference.scans.names import case_file_name
from autosam_inference.scans.resampling import resample
from autosam_platform.data.description import load_description
from autosam_platform.data.preparation import Preparation, PreparedDataset, prepare
from autosam_platform.data.store import StoredCase
from autosam_platform.distillation.answer_files import AnswerError
from autosam_platform.distillation.file_scores import scored_files
from autosam_platform.distillation.file_teacher import FileTeacher
from autosam_platform.distillation.fit import supervision_of
from autosam_platform.distillation.teacher import stored_teacher
from autosam_platform.distillation.unlabelled import UnlabelledError
from autosam_platform.experiment import ConfigError, Experiment
from autosam_platform.pipeline.distilling import with_teacher, with_unlabelled
from autosam_platform.pipeline.steps import split_cases
from autosam_platform.training.samples import PatchSamples
from autosam_platform.workspace import Workspace

SPACING = (3.0, 4.0, 6.0)  # twice the scans' own


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("files")
    write_btcv(folder / "raw", 3)  # two train, one tests; stored in different orientations
    return folder


@pytest.fixture(scope="module")
def prepared(ray_local: str, folder: Path) -> PreparedDataset:
    return prepare(load_description("btcv"), folder / "raw", Preparation(spacing_xyz=SPACING), Workspace(folder / "ws"))


def write_answers(folder: Path, codes: str = "LPS", count: int = 2) -> Path:
    """What the labels say, in files of another orientation than the scans'."""
    for number in range(1, count + 1):
        scan = make_scan(number)
        write_nifti(folder / f"img{number:04d}.nii.gz", scan.label_xyz, scan.affine, codes)
    return folder


def write_probabilities(folder: Path, number: int, chances_KXYZ: NDArray[np.floating], scan: Scan, codes: str) -> None:
    """As nnU-Net does: the label map as it is stored, and channels on its axes from the last to the first."""
    write_nifti(folder / f"img{number:04d}.nii.gz", chances_KXYZ.argmax(0).astype(np.uint8), scan.affine, codes)
    stored = [np.asarray(reoriented(each, scan.affine, codes).dataobj).transpose(2, 1, 0) for each in chances_KXYZ]
    np.savez_compressed(folder / f"img{number:04d}.npz", probabilities=np.stack(stored).astype(np.float32))


def softened(scan: Scan) -> NDArray[np.float32]:
    """Three quarters for the label's class, the rest for the one after it."""
    whole = np.eye(14, dtype=np.float32)[scan.label_xyz]
    return np.moveaxis(0.75 * whole + 0.25 * np.roll(whole, 1, -1), -1, 0)


def answers(place: Path, prepared: PreparedDataset, folder: Path) -> list[NDArray[np.integer]]:
    workspace = Workspace(folder / "ws")
    stored = stored_teacher(FileTeacher.of(place, prepared, workspace), prepared, workspace)
    cases = prepared.cases("train")
    return [stored.probabilities(case, (0, 0, 0), case.shape_DHW).astype(int) for case in cases]


def resampled(channel_xyz: NDArray[np.floating], case: StoredCase) -> NDArray[np.float32]:
    """The way of the case's own image, on canonical axes."""
    volume = Volume(channel_xyz.transpose(2, 1, 0).astype(np.float32), (3.0, 2.0, 1.5))
    found = resample(volume, (6.0, 4.0, 3.0)).array_DHW
    assert found.shape == case.shape_DHW
    return found


def test_a_label_map_is_stored_as_the_share_of_each_class(
    prepared: PreparedDataset, folder: Path, tmp_path: Path
) -> None:
    found = answers(write_answers(tmp_path), prepared, folder)
    for number, (found_KDHW, case) in enumerate(zip(found, prepared.cases("train"), strict=True), start=1):
        label_xyz = make_scan(number).label_xyz
        for value in (0, 1, 6, 13):
            expected_DHW = 255 * resampled(label_xyz == value, case)
            assert np.abs(found_KDHW[value] - expected_DHW).max() <= 0.5 + 1e-3
        assert np.abs(found_KDHW.sum(0) - 255).max() <= 7  # each of fourteen is rounded by itself
        assert 0 < (found_KDHW[1:].max(0) > 0).mean() < 1


def test_on_the_prepared_grid_a_label_map_is_zeros_and_ones(ray_local: str, folder: Path, tmp_path: Path) -> None:
    """At the scans' own spacing nothing is resampled: 255 of the class that the file says, by hand."""
    own = prepare(
        load_description("btcv"), folder / "raw", Preparation(spacing_xyz=(1.5, 2.0, 3.0)), Workspace(tmp_path)
    )
    found_KDHW = answers(write_answers(tmp_path / "answers"), own, folder)[0]
    label_DHW = make_scan(1).label_xyz.transpose(2, 1, 0)
    assert sorted(np.unique(found_KDHW)) == [0, 255] and (found_KDHW.argmax(0) == label_DHW).all()


@pytest.mark.parametrize("codes", ["RAS", "LPS", "PIR"])
def test_probabilities_lie_on_the_axes_of_their_label_map(
    prepared: PreparedDataset, folder: Path, tmp_path: Path, codes: str
) -> None:
    for number in (1, 2):
        write_probabilities(tmp_path, number, softened(make_scan(number)), make_scan(number), codes)
    found_KDHW, case = answers(tmp_path, prepared, folder)[1], prepared.cases("train")[1]
    for value in (1, 6):
        expected_DHW = 255 * resampled(softened(make_scan(2))[value], case)
        assert np.abs(found_KDHW[value] - expected_DHW).max() <= 0.5 + 1e-3


def names(other: dict[int, str | None]) -> str:
    return json.dumps({str(value): name for value, name in other.items()})


def test_ids_mean_what_the_names_beside_them_say(prepared: PreparedDataset, folder: Path, tmp_path: Path) -> None:
    """Classes numbered from 101, the liver in two pieces, and a femur that this dataset does not have."""
    classes = load_description("btcv").classes
    for number in (1, 2):
        scan = make_scan(number)
        other = np.where(scan.label_xyz > 0, scan.label_xyz + 100, 0).astype(np.uint8)
        other[-1, -1, -1] = 7  # a corner of the background
        other[(other == 106) & (np.arange(other.shape[2]) % 2 == 0)] = 120
        write_nifti(tmp_path / f"img{number:04d}.nii.gz", other, scan.affine)
    named: dict[int, str | None] = {each.id + 100: each.name.replace(" ", "_").upper() for each in classes}
    (tmp_path / "labels.json").write_text(names(named | {7: "femur", 120: "Liver", 55: None}))
    plain = answers(write_answers(tmp_path / "plain"), prepared, folder)
    for found_KDHW, expected_KDHW in zip(answers(tmp_path, prepared, folder), plain, strict=True):
        assert np.array_equal(found_KDHW[1:], expected_KDHW[1:])


def experiment(folder: Path, teacher: Path | str, **distillation: object) -> Experiment:
    settings = {
        "dataset": {"name": "btcv", "root": str(folder / "raw"), "spacing_xyz": SPACING},
        "model": {"name": "unet_nano", "patch_DHW": (16, 16, 16)},
        "training": {"epochs": 1, "warmup_epochs": 0, "loader_workers": 0},
        "distillation": {"teacher": str(teacher)} | distillation,
        "inference": {"overlap": 0.25},
        "compute": {"cpus_per_worker": 1, "memory_check": False},
    }
    return Experiment.model_validate(settings)


def test_a_student_learns_from_files_and_from_those_of_scans_without_labels(
    prepared: PreparedDataset, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUTOSAM_WORKSPACE", str(folder / "ws"))
    place = write_answers(tmp_path / "TotalSegmentator, März")
    scan = make_scan(11)
    write_nifti(tmp_path / "bare" / "Größe 1.nii.gz", scan.image_xyz, scan.affine, dtype=np.int16)
    told = with_unlabelled(with_teacher(experiment(folder, place, unlabelled=str(tmp_path / "bare")), tmp_path))
    workspace = Workspace(folder / "ws")
    with pytest.raises(AnswerError, match=r"of 1 cases 1 have no answer .*\n  Größe 1: Größe 1.nii.gz is missing"):
        supervision_of(told, prepared, workspace)
    write_nifti(place / f"{case_file_name('Größe 1')}.nii.gz", scan.label_xyz, scan.affine)  # as our own are called
    taught = supervision_of(told, prepared, workspace)
    assert taught.tags["teacher"] == "files in TotalSegmentator  März"
    assert isinstance(taught.samples, PatchSamples) and taught.samples.unlabelled is not None
    unlabelled = taught.samples.unlabelled
    assert [case.case_id for case in unlabelled.cases] == ["Größe 1"]
    assert set(unlabelled.points[0]) == {0, *np.unique(make_scan(11).label_xyz)}, "where it sees an organ"
    assert told.distillation.teachers == (str(place),), "a comma and all"
    before = told.run_id(prepared.fingerprint)
    write_nifti(place / "img0002.nii.gz", make_scan(3).label_xyz, scan.affine)
    assert told.run_id(prepared.fingerprint) != before, "another answer is another teacher"


def test_files_do_not_teach_online_nor_with_others_nor_two_scans_of_a_name(
    prepared: PreparedDataset, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUTOSAM_WORKSPACE", str(folder / "ws"))
    place, other = write_answers(tmp_path / "a"), write_answers(tmp_path / "b")
    with pytest.raises(ConfigError, match="cannot be asked anew for every patch: leave --teacher-mode online out"):
        supervision_of(experiment(folder, place, teacher_mode="online"), prepared, Workspace(folder / "ws"))
    with pytest.raises(ConfigError, match="can only teach alone"):
        with_teacher(experiment(folder, f"{place},{other}"), tmp_path)
    scan = make_scan(12)
    write_nifti(tmp_path / "bare" / "img0001.nii.gz", scan.image_xyz, scan.affine, dtype=np.int16)
    told = with_unlabelled(experiment(folder, place, unlabelled=str(tmp_path / "bare")))
    with pytest.raises(UnlabelledError, match="have the names of training cases: img0001"):
        supervision_of(told, prepared, Workspace(folder / "ws"))


def test_what_files_of_the_test_cases_score(prepared: PreparedDataset, folder: Path, tmp_path: Path) -> None:
    """The truth itself, but for a liver that it calls stomach: 1 everywhere, 0 there, and less in the stomach."""
    workspace, scan = Workspace(folder / "ws"), make_scan(3)
    said = scan.label_xyz.copy()
    said[said == 6] = 7
    write_nifti(write_answers(tmp_path) / "img0003.nii.gz", said, scan.affine, "LPS")
    place = workspace.run("student-2").evaluation_of("teacher")
    cases, teacher = split_cases(prepared, "test"), FileTeacher.of(tmp_path, prepared, workspace)
    found = scored_files(teacher, cases, prepared.description, place)
    dice = {name: score.dice for name, score in found.summary.per_class.items()}
    assert dice.pop("liver") == 0
    stomach, liver = ((scan.label_xyz == value).sum() for value in (7, 6))
    assert dice.pop("stomach") == pytest.approx(2 * stomach / (2 * stomach + liver))
    assert set(dice.values()) == {1.0} and found.cost is None and place.metrics.is_file()
    (tmp_path / "img0003.nii.gz").unlink()
    with pytest.raises(AnswerError, match=r"img0003: img0003\.nii\.gz is missing"):
        scored_files(teacher, cases, prepared.description, place)


def _lacks_a_case(place: Path) -> None:
    (place / "img0002.nii.gz").unlink()


def _is_there_twice(place: Path) -> None:
    nib.save(nib.load(place / "img0002.nii.gz"), place / "img0002.nii")


def _is_damaged(place: Path) -> None:
    whole = (place / "img0002.nii.gz").read_bytes()
    (place / "img0002.nii.gz").write_bytes(whole[: len(whole) // 2])


def _has_another_shape(place: Path) -> None:
    write_nifti(place / "img0002.nii.gz", make_scan(2).label_xyz[:-1], make_scan(2).affine)


def _lies_elsewhere(place: Path) -> None:
    affine = make_scan(2).affine.copy()
    affine[0, 3] += 5
    write_nifti(place / "img0002.nii.gz", make_scan(2).label_xyz, affine)


def _has_other_ids(place: Path) -> None:
    write_nifti(place / "img0002.nii.gz", make_scan(2).label_xyz + np.uint8(40), make_scan(2).affine)


def _has_fractions(place: Path) -> None:
    write_nifti(place / "img0002.nii.gz", make_scan(2).label_xyz * 0.3, make_scan(2).affine, dtype=np.float32)


def _has_its_ids_in_another_order(place: Path) -> None:
    turned = np.where(make_scan(2).label_xyz > 0, 14 - make_scan(2).label_xyz, 0).astype(np.uint8)
    write_nifti(place / "img0002.nii.gz", turned, make_scan(2).affine)


def _has_its_sides_exchanged(place: Path) -> None:
    swapped = load_description("btcv").mirrored_ids
    turned = np.array([swapped.get(value, value) for value in range(14)], np.uint8)[make_scan(2).label_xyz]
    write_nifti(place / "img0002.nii.gz", turned, make_scan(2).affine)


def _names_leave_a_class_out(place: Path) -> None:
    (place / "labels.json").write_text(names({each.id: each.name for each in load_description("btcv").classes[1:]}))


def _names_are_no_json(place: Path) -> None:
    (place / "dataset.json").write_text("{")


def _has_probabilities_without_a_label_map(place: Path) -> None:
    _with_probabilities(place)
    (place / "img0002.nii.gz").unlink()


def _with_probabilities(place: Path, codes: str = "LPS") -> NDArray[np.float32]:
    write_probabilities(place, 2, softened(make_scan(2)), make_scan(2), codes)
    with np.load(place / "img0002.npz", allow_pickle=False) as file:
        return np.asarray(file["probabilities"])


def _do_not_add_up(place: Path) -> None:
    np.savez(place / "img0002.npz", probabilities=_with_probabilities(place) * np.float32(0.9))


def _are_logits(place: Path) -> None:
    np.savez(place / "img0002.npz", probabilities=_with_probabilities(place) - np.float32(0.5))


def _are_nan(place: Path) -> None:
    np.savez(place / "img0002.npz", probabilities=_with_probabilities(place) * np.float32(np.nan))


def _lack_a_channel(place: Path) -> None:
    np.savez(place / "img0002.npz", probabilities=_with_probabilities(place)[:-1])


def _are_on_other_axes(place: Path) -> None:
    np.savez(place / "img0002.npz", probabilities=_with_probabilities(place)[..., ::-1])


def _are_pickled(place: Path) -> None:
    _with_probabilities(place)
    np.savez(place / "img0002.npz", probabilities=np.array([{"a": 1}], dtype=object))


def _have_another_name(place: Path) -> None:
    np.savez(place / "img0002.npz", softmax=_with_probabilities(place))


def _are_rubbish(place: Path) -> None:
    _with_probabilities(place)
    (place / "img0002.npz").write_bytes(b"rubbish")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_lacks_a_case, "img0002.nii.gz is missing"),
        (_is_there_twice, r"img0002.nii.gz and img0002.nii are both there"),
        (_is_damaged, "truncated or damaged"),
        (_has_another_shape, "has 11 × 19 × 22 voxels .*not of one scan"),
        (_lies_elsewhere, "lies elsewhere than its image"),
        (_has_other_ids, r"holds ids \[40, 41, .*which nothing names \(btcv has 0 to 13\)"),
        (_has_fractions, "values that are no whole numbers"),
        (_has_its_ids_in_another_order, "names other organs than the case's label: .* is called "),
        (_has_its_sides_exchanged, "exchanges left and right against the case's label: .* kidney is called"),
        (_names_leave_a_class_out, "labels.json has no id of spleen: a student would be taught that it is nowhere"),
        (_names_are_no_json, "dataset.json cannot be read as JSON"),
        (_has_probabilities_without_a_label_map, "img0002.npz does not say how it lies in the patient"),
        (_do_not_add_up, r"do not add up to 1 \(they are off by up to 0.1\)"),
        (_are_logits, "negative values or NaN"),
        (_are_nan, "negative values or NaN"),
        (_lack_a_channel, r"float32 of 13 × 11 × 19 × 23 in place of probabilities of 14 × 11 × 19 × 23"),
        (_are_on_other_axes, "agree on .* of the organs' voxels"),
        (_are_pickled, "img0002.npz cannot be read"),
        (_have_another_name, "holds no array 'probabilities'"),
        (_are_rubbish, "img0002.npz cannot be read"),
    ],
)
def test_files_that_cannot_teach_are_refused_by_name(
    prepared: PreparedDataset, folder: Path, tmp_path: Path, spoil: object, message: str
) -> None:
    place = write_answers(tmp_path)
    spoil(place)  # type: ignore[operator]
    with pytest.raises(AnswerError, match=f"(?s)of . cases . have no answer that can be used.*  img0002: .*{message}"):
        answers(place, prepared, folder)
