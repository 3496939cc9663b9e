"""From file to file with a network whose right answer is known: it tells the classes by their HU."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from small_cards import organs, small_card
from synthetic_scans import reoriented
from synthetic_scans import write_nifti as write_scan
from torch import Tensor, nn

from autosam_inference.card import LabelClass, Scaling
from autosam_inference.model import TrainedModel
from autosam_inference.observer import Observer
from autosam_inference.prediction import Prediction, predict
from autosam_inference.runtimes.pytorch import TorchRuntime
from autosam_inference.scans.grid import Volume
from autosam_inference.scans.label_files import write_nifti
from autosam_inference.scans.scan import Scan, read_scan
from autosam_inference.sliding_window import Slab
from autosam_inference.stopwatch import Stopwatch
from autosam_inference.windows import Window

LOW, HIGH = -1000, 1000
CLASSES = tuple(LabelClass(id=number, name=f"tissue {number}") for number in (1, 2, 3))
SPACING_XYZ = (1.5, 2.0, 3.0)
CODES = ["RAS", "LPS", "LAI", "PIR", "ASL"]


class ByIntensity(nn.Module):
    """Class k above the k-th threshold; its logits are linear in HU, so interpolation changes nothing."""

    def __init__(self, thresholds: list[float]) -> None:
        super().__init__()
        self.offsets = torch.tensor([0.0, *thresholds]).cumsum(0)

    def forward(self, image_BCDHW: Tensor) -> Tensor:
        hu_BCDHW = image_BCDHW * (HIGH - LOW) + LOW
        classes = torch.arange(len(self.offsets)).reshape(-1, 1, 1, 1)
        return classes * hu_BCDHW - self.offsets.reshape(-1, 1, 1, 1)


def oracle(
    thresholds: list[float],
    spacing_xyz: tuple[float, float, float],
    classes: tuple[LabelClass, ...] = CLASSES,
    patch: tuple[int, int, int] = (8, 16, 16),
) -> TrainedModel:
    card = small_card(
        classes, patch=patch, spacing_xyz=spacing_xyz, hu_window=(LOW, HIGH), scaling=Scaling(to=(0.0, 1.0))
    )
    return TrainedModel(card, TorchRuntime(ByIntensity(thresholds)), card.overlap)


def from_file_to_file(model: TrainedModel, scan: Path, target: Path) -> Prediction:
    prediction = predict(model, read_scan(scan))
    write_nifti(prediction, target)
    return prediction


def ramp_xyz(shape_xyz: tuple[int, int, int]) -> np.ndarray:
    """Whole HU that rise by 20 from voxel to voxel along every axis, centred on 0."""
    steps = np.indices(shape_xyz).sum(0) - sum(shape_xyz) // 2
    return (20 * steps).astype(np.int16)


def affine() -> np.ndarray:
    matrix = np.diag([*SPACING_XYZ, 1.0])
    matrix[:3, 3] = (-20.0, 35.5, -101.25)
    return matrix


@pytest.mark.parametrize("codes", CODES)
def test_the_label_map_lies_on_the_scans_own_grid(tmp_path: Path, codes: str) -> None:
    hu_xyz = ramp_xyz((23, 19, 11))
    scan = write_scan(tmp_path / "scan.nii.gz", hu_xyz, affine(), codes)
    target = tmp_path / "out" / "labels.nii.gz"

    prediction = from_file_to_file(oracle([-150.0, 50.0, 170.0], SPACING_XYZ), scan, target)

    source, written = nib.load(scan), nib.load(target)
    assert written.shape == source.shape
    assert nib.aff2axcodes(written.affine) == tuple(codes)
    np.testing.assert_array_equal(written.affine, source.affine)
    assert written.get_data_dtype() == np.uint8
    expected = np.digitize(np.asarray(source.dataobj), [-150, 50, 170])
    np.testing.assert_array_equal(np.asarray(written.dataobj), expected)
    assert set(prediction.seconds) == {"coarse", "resample", "network"} and min(prediction.seconds.values()) > 0
    assert prediction.scan.source == scan
    counts = {f"tissue {number}": (expected == number).sum() for number in (1, 2, 3)}
    assert prediction.volumes_ml == pytest.approx({name: n * 1.5 * 2.0 * 3.0 / 1000 for name, n in counts.items()})
    assert {path.name for path in target.parent.iterdir()} == {
        "labels.nii.gz",
        "labels.label.txt",
        "labels.label.json",
    }


@pytest.mark.parametrize("spacing_xyz", [(1.0, 1.0, 1.5), (1.1, 2.0, 0.8), (0.7, 1.9, 3.0)], ids=str)
@pytest.mark.parametrize("codes", ["RAS", "PIR"])
def test_resampling_there_and_back_keeps_every_voxel_in_its_place(
    tmp_path: Path, codes: str, spacing_xyz: tuple[float, float, float]
) -> None:
    hu_xyz = ramp_xyz((23, 19, 11))
    scan = write_scan(tmp_path / "scan.nii.gz", hu_xyz, affine(), codes)

    # Linear interpolation gives a ramp back exactly; thresholds lie half a step (10 HU) off any voxel. Only
    # the outermost voxels differ, where a resampled value is held from the edge.
    from_file_to_file(oracle([-150.0, 50.0, 170.0], spacing_xyz), scan, tmp_path / "labels.nii.gz")

    expected_xyz = np.digitize(hu_xyz, [-150, 50, 170]).astype(np.uint8)
    expected = np.asarray(reoriented(expected_xyz, affine(), codes).dataobj)
    found = np.asarray(nib.load(tmp_path / "labels.nii.gz").dataobj)
    inner = (slice(1, -1),) * 3
    np.testing.assert_array_equal(found[inner], expected[inner])
    assert (found != expected).mean() < 0.02


def test_a_scan_smaller_than_the_window_is_predicted_whole() -> None:
    hu_DHW = ramp_xyz((3, 5, 4))
    scan = Scan.of(Volume(hu_DHW, (3.0, 2.0, 1.5)))
    label_DHW = predict(oracle([-50.0, 10.0, 30.0], SPACING_XYZ), scan).label_DHW
    np.testing.assert_array_equal(label_DHW, np.digitize(hu_DHW, [-50, 10, 30]))


def test_nan_counts_as_the_windows_lower_bound_and_is_outside_too() -> None:
    hu_DHW = ramp_xyz((9, 17, 18)).astype(np.float32)
    hu_DHW[4, 5, 6] = np.nan
    model = oracle([-150.0, 50.0, 170.0], SPACING_XYZ)
    label_DHW = predict(model, Scan.of(Volume(hu_DHW, (3.0, 2.0, 1.5)))).label_DHW
    np.testing.assert_array_equal(label_DHW, np.digitize(np.nan_to_num(hu_DHW, nan=LOW), [-150, 50, 170]))
    assert model.pad_value == 0.0


def test_progress_reaches_all_windows() -> None:
    seen: list[tuple[int, int]] = []
    scan = Scan.of(Volume(ramp_xyz((9, 17, 18)), (3.0, 2.0, 1.5)))
    predict(oracle([0.0, 1.0, 2.0], SPACING_XYZ), scan, progress=lambda *at: seen.append(at))
    assert seen == [(done, 8) for done in range(1, 9)]  # two windows along each axis


def test_a_watch_that_runs_counts_on() -> None:
    model, watch = oracle([0.0, 1.0, 2.0], SPACING_XYZ), Stopwatch()
    with watch.phase("read"):
        scan = Scan.of(Volume(ramp_xyz((9, 17, 18)), (3.0, 2.0, 1.5)))
    prediction = predict(model, scan, watch=watch)
    assert prediction.seconds == watch.seconds and set(watch.seconds) == {"read", "coarse", "resample", "network"}


class Notebook(Observer):
    """What an observer is told, in short."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.label_DHW: list[np.ndarray] = []

    def on_image(self, image_DHW: np.ndarray, order: tuple[int, int, int]) -> None:
        self.told.append(f"image {image_DHW.shape} by {order}")

    def on_window(self, logits_KDHW: Tensor, window: Window) -> None:
        self.told.append(f"window at {[each.start for each in window]} of {tuple(logits_KDHW.shape)}")

    def on_slab(self, slab: Slab) -> None:
        self.told.append(f"slab {slab.start} to {slab.stop}")
        self.label_DHW.append(slab.logits_KDHW.argmax(0).numpy())


def test_an_observer_sees_image_windows_and_slabs_as_they_come() -> None:
    scan = Scan.of(Volume(ramp_xyz((9, 10, 24)), (3.0, 2.0, 1.5)))  # W is the longest
    notebook = Notebook()
    prediction = predict(oracle([-150.0, 50.0, 170.0], SPACING_XYZ), scan, observers=(notebook, Observer()))
    shape = "(4, 16, 8, 16)"  # classes, and the patch with its axes in the order of the sweep
    assert notebook.told == [
        "image (9, 10, 24) by (2, 0, 1)",
        f"window at [0, 0, 0] of {shape}",
        f"window at [0, 1, 0] of {shape}",
        "slab 0 to 8",
        f"window at [8, 0, 0] of {shape}",
        f"window at [8, 1, 0] of {shape}",
        "slab 8 to 24",
    ]
    swept_WDH = prediction.label_DHW.transpose(2, 0, 1)  # the grids are the same here
    np.testing.assert_array_equal(np.concatenate(notebook.label_DHW), swept_WDH)


@pytest.mark.parametrize("codes", ["RAS", "LPS", "PIR"])
def test_left_is_left_on_real_anatomy(tmp_path: Path, real_ct: Path, codes: str) -> None:
    """The organs of the real scan, painted with HU of their own, come back where the patient has them."""
    truth = read_scan(real_ct / "labels-btcv.nii.gz")
    volume, grid = truth.volume, truth.grid
    truth_xyz = volume.array_DHW.transpose(2, 1, 0).astype(np.int16)
    noise_xyz = np.random.default_rng(0).integers(-8, 9, truth_xyz.shape, np.int16)  # a scan has more than 14 values
    scan = write_scan(tmp_path / "scan.nii.gz", 60 * truth_xyz - 500 + noise_xyz, grid.canonical_affine, codes)
    thresholds = [60.0 * number - 530 for number in range(1, 14)]
    z, y, x = volume.spacing_DHW
    model = oracle(thresholds, (x, y, z), organs(13), patch=(64, 96, 96))

    from_file_to_file(model, scan, tmp_path / "labels.nii.gz")

    written = nib.load(tmp_path / "labels.nii.gz")
    np.testing.assert_array_equal(
        np.asarray(written.dataobj), np.asarray(reoriented(truth_xyz, grid.canonical_affine, codes).dataobj)
    )
    x_mm = {organ: centre_mm(written, organ)[0] for organ in (1, 2, 3, 6)}
    assert x_mm[2] > x_mm[3] + 50  # RAS: x grows to the patient's right; right kidney, left kidney
    assert x_mm[6] > x_mm[1] + 50  # liver, spleen


def centre_mm(image: nib.Nifti1Image, label: int) -> np.ndarray:
    """Centre of a label in the scanner's coordinates."""
    voxels = np.argwhere(np.asarray(image.dataobj) == label)
    return nib.affines.apply_affine(image.affine, voxels).mean(0)
