"""A small network is calibrated from files to a card, on real tasks of preparation."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from small_models import write_model
from synthetic_scans import SPACING_XYZ, write_btcv

from autosam_inference.model import TrainedModel
from autosam_inference.quality.calibration import Calibration
from autosam_platform.data.description import load_description
from autosam_platform.data.preparation import Preparation, PreparedDataset, prepare
from autosam_platform.data.splits import InOrder, SplitPart
from autosam_platform.export.calibrating import CalibrationError, calibrate
from autosam_platform.workspace import Workspace


def prepared(folder: Path, parts: tuple[SplitPart, ...]) -> PreparedDataset:
    description = load_description("btcv").model_copy(update={"split": InOrder(rule="in_order", parts=parts)})
    root = write_btcv(folder / "raw", sum(part.cases for part in parts))
    return prepare(description, root, Preparation(spacing_xyz=SPACING_XYZ), Workspace(folder))


@dataclass
class TellsByHU:
    """A network that finds the organs of ``synthetic_scans``, each of which has HU 10 · id, as well as noise allows."""

    window: tuple[int, int]
    num_classes: int
    device: str = "cpu"

    def logits(self, patches_BCDHW: np.ndarray) -> np.ndarray:
        low, high = self.window
        nearest_BDHW = np.rint((patches_BCDHW[:, 0] * (high - low) + low) / 10)
        organs_K = np.arange(self.num_classes).reshape(1, -1, 1, 1, 1)
        logits_BKDHW = np.where(organs_K == nearest_BDHW[:, None], np.float32(4), np.float32(0))
        logits_BKDHW[:, 0] = 2  # background where it is none of them
        return logits_BKDHW

    def synchronize(self) -> None:
        """Nothing runs on."""

    def use_threads(self, count: int) -> None:
        """It has one."""


@pytest.fixture
def model(tmp_path: Path) -> TrainedModel:
    description = load_description("btcv")
    small = TrainedModel.load(write_model(tmp_path / "model", description, SPACING_XYZ), device="cpu")
    assert small.card.scaling.to == (0.0, 1.0), "as TellsByHU takes it"
    return replace(small, runtime=TellsByHU(small.card.hu_window, small.card.num_classes))


def test_a_calibration_is_made_of_validation_cases(ray_local: str, tmp_path: Path, model: TrainedModel) -> None:
    dataset = prepared(tmp_path, (SplitPart(split="train", cases=2), SplitPart(split="val", cases=2)))
    seen: list[tuple[int, int]] = []

    found = calibrate(model, dataset, scans=6, progress=lambda *at: seen.append(at))

    assert (found.split, found.cases, found.scans) == ("val", 2, 6) and seen == [(n, 6) for n in range(1, 7)]
    assert set(found.levels) == {each.name for each in model.card.classes}
    assert found.organs and set(found.organs) <= set(found.levels)
    assert found.thickest_mm == max(SPACING_XYZ)
    assert [each for each in found.warnings if "2 case(s)" in each]
    assert Calibration.model_validate_json(found.model_dump_json()) == found
    assert calibrate(model, dataset, scans=6) == found


def test_without_validation_cases_it_says_what_it_was_made_of(
    ray_local: str, tmp_path: Path, model: TrainedModel
) -> None:
    found = calibrate(model, prepared(tmp_path, (SplitPart(split="train", cases=1),)), scans=2)
    assert found.split == "train" and "too hopeful" in found.warnings[0]


def test_without_labels_there_is_nothing_to_go_by(ray_local: str, tmp_path: Path, model: TrainedModel) -> None:
    dataset = prepared(tmp_path, (SplitPart(split="train", cases=1),))
    empty = PreparedDataset(dataset.manifest, dataset.description, dataset.spacing_xyz, dataset.fingerprint, ())
    with pytest.raises(CalibrationError, match="no case with labels"):
        calibrate(model, empty)
