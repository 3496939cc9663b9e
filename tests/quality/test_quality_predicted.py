"""A prediction says where not to trust it, if its model was calibrated."""

import numpy as np
import pytest
import torch
from small_calibrations import reference, small_calibration
from small_cards import organs, small_card
from torch import Tensor, nn

from autosam_inference.card import Scaling
from autosam_inference.model import TrainedModel
from autosam_inference.prediction import predict
from autosam_inference.quality.calibration import Curve
from autosam_inference.runtimes.pytorch import TorchRuntime
from autosam_inference.scans.grid import Volume
from autosam_inference.scans.scan import Scan

CURVE = Curve(signal="agreement", knots=(0.8, 1.0), effects=(-6.0, 0.0))
CALIBRATION = small_calibration(levels={"organ 1": 3.0}, curves=(CURVE,), organs={"organ 1": reference(ml=1.0)})


class Thresholds(nn.Module):
    """Sure of what is bright; or, where it is fickle, of one half of each window alone."""

    def __init__(self, fickle: bool) -> None:
        super().__init__()
        self.fickle = fickle

    def forward(self, image_BCDHW: Tensor) -> Tensor:
        logits_BKDHW = torch.cat([-image_BCDHW, image_BCDHW], dim=1) * 20
        if self.fickle:
            logits_BKDHW[:, 1, ..., : image_BCDHW.shape[-1] // 2] = -20
        return logits_BKDHW


def predicted(fickle: bool, calibrated: bool = True) -> TrainedModel:
    card = small_card(
        organs(1),
        patch=(8, 8, 8),
        spacing_xyz=(3.0, 3.0, 3.0),
        hu_window=(-200, 200),
        scaling=Scaling(to=(-1.0, 1.0)),
        quality=CALIBRATION if calibrated else None,
    )
    return TrainedModel(card, TorchRuntime(Thresholds(fickle)), 0.5)


def scan() -> Scan:
    hu_DHW = np.random.default_rng(0).normal(-90, 10, (14, 16, 18))
    hu_DHW[4:10, 4:12, 4:14] += 180
    return Scan.of(Volume(hu_DHW, (3.0, 3.0, 3.0)))


def test_windows_that_agree_and_windows_that_do_not() -> None:
    (sure,) = predict(predicted(fickle=False), scan()).quality
    assert sure.words == "organ 1: ok" and sure.expected_dice == pytest.approx(1 / (1 + np.exp(-3)), abs=0.01)

    (fickle,) = predict(predicted(fickle=True), scan()).quality
    assert fickle.words == "organ 1: do not use: windows disagree" and fickle.expected_dice < 0.5


def test_a_model_that_was_not_calibrated_says_nothing() -> None:
    assert predict(predicted(fickle=False, calibrated=False), scan()).quality == ()


def test_a_card_keeps_its_calibration() -> None:
    card = predicted(fickle=False).card
    again = type(card).model_validate_json(card.model_dump_json())
    assert again.quality == CALIBRATION
