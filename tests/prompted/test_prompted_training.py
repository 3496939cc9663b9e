"""MedSAM: what it is tuned on, what is tuned, that it learns, and that a fit which is interrupted loses nothing."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from small_sam import save_small_sam
from synthetic_scans import Scan, write_btcv_case

from autosam_inference.stopwatch import Stopwatch
from autosam_models.prompted.asking import Asking
from autosam_models.prompted.sam import as_input, picture
from autosam_platform.data.checks import load_checked
from autosam_platform.data.description import load_description
from autosam_platform.data.preparation import Preparation, PreparedDataset, prepare
from autosam_platform.experiment import Experiment
from autosam_platform.prompted import fit as prompted_fit
from autosam_platform.prompted.embeddings import stored_embeddings
from autosam_platform.prompted.fit import fit_prompted
from autosam_platform.prompted.predictor import PromptedPredictor
from autosam_platform.prompted.training import MaskObjective, NothingToTuneOnError, SliceDataset, SliceSamples
from autosam_platform.tracking.writing import read_curves
from autosam_platform.training.in_process import InProcess
from autosam_platform.training.loop import build_network
from autosam_platform.training.preflight import check_memory
from autosam_platform.workspace import RunFolder, Workspace

SIDE = 64
SPLEEN, LIVER = 1, 6


def discs(seed: int) -> Scan:
    """Two discs that run through a body of 48 × 40 × 5 voxels; one is bright, and one is dark."""
    rng = np.random.default_rng(seed)
    x, y = np.ogrid[:48, :40]
    label = np.zeros((48, 40, 5), np.uint8)
    for organ, middle in ((LIVER, 13), (SPLEEN, 34)):
        centre, radius = (middle + rng.integers(-3, 4), 20 + rng.integers(-7, 8)), rng.integers(5, 9)
        label[((x - centre[0]) ** 2 + (y - centre[1]) ** 2) < radius**2] = organ
    hu = np.choose((label == LIVER) + 2 * (label == SPLEEN), (40.0, 200.0, -100.0)) + rng.normal(0, 5, label.shape)
    return Scan(np.rint(hu).astype(np.float32), label, np.diag([2.0, 2.0, 3.0, 1.0]))


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four cases to train on, one to validate and one to test, and a SAM's file."""
    folder = tmp_path_factory.mktemp("raw")
    for number in range(1, 7):
        write_btcv_case(folder, number, discs(number))
    (folder / "discs.yaml").write_text(
        "extends: btcv\nname: discs\ntitle: discs\nspacing_xyz: [2.0, 2.0, 3.0]\n"
        "split: {rule: in_order, parts: [{split: train, cases: 4}, {split: val, cases: 1}, {split: test, cases: 1}]}\n"
    )
    save_small_sam(folder / "sam.pth", positions=0.02)
    return folder


@pytest.fixture(scope="module")
def prepared(root: Path, ray_local: str, tmp_path_factory: pytest.TempPathFactory) -> PreparedDataset:
    workspace = Workspace(tmp_path_factory.mktemp("prepared"))
    return prepare(load_description(root / "discs.yaml"), root, Preparation(), workspace)


def experiment(root: Path, training: dict[str, Any] | None = None, **options: Any) -> Experiment:
    asked = {"prompt": "box", "hu_window": "dataset", "training_margin": 3, "tune": "all"} | options
    usual = {
        "epochs": 10,
        "warmup_epochs": 1.0,
        "learning_rate": 3e-3,
        "final_rate": 0.3,
        "weight_decay": 0.01,
        "batch": 4,
        "patches_per_case": 8,
        "validate_every": 5,
        "deterministic": True,
        "precision": "fp32",
        "loader_workers": 0,
    }
    return Experiment.model_validate(
        {
            "name": "medsam",
            "dataset": {"name": str(root / "discs.yaml"), "root": root},
            "model": {
                "name": "sam_demo",
                "patch_DHW": (1, SIDE, SIDE),
                "checkpoint": root / "sam.pth",
                "options": asked,
            },
            "training": usual | (training or {}),
            "compute": {"cpus_per_worker": 1, "memory_check": False},
        }
    )


def weights(run: RunFolder) -> dict[str, torch.Tensor]:
    return safetensors.torch.load_file(run.weights)


def samples_of(prepared: PreparedDataset, asking: Asking, epoch: int = 0) -> SliceDataset:
    dataset = SliceDataset(prepared, asking, SIDE, 6, seed=1, embeddings=None)
    dataset.set_epoch(epoch)
    return dataset


@pytest.mark.parametrize("prompt", ["points", "box"])
def test_a_sample_is_an_organ_of_a_slice_with_a_prompt_that_fits_it(prepared: PreparedDataset, prompt: str) -> None:
    asking = Asking(prompt=prompt, points=3, tune="all", hu_window="dataset", training_margin=4)
    dataset = samples_of(prepared, asking)
    assert len(dataset) == 24
    margins = set()
    for index in range(24):
        sample = dataset[index]
        mask_HW = sample["label"][0].numpy()
        assert sample["image"].shape == (3, SIDE, SIDE) and mask_HW.shape == (SIDE, SIDE)
        rows, columns = np.nonzero(mask_HW)
        assert rows.max() < round(SIDE * 40 / 48), "beside the slice nothing is"
        # A pixel of the slice is 64/48 of the picture's; its prompt is at its corner, so a picture's pixel is near.
        grey = sample["image"][0].numpy()
        assert np.std(grey[mask_HW > 0]) < 0.5 < abs(grey[mask_HW > 0].mean() - grey[0, 0]), "the organ that is shown"
        for x, y in sample["prompt"].tolist():
            if prompt == "points":
                assert mask_HW[int(y + 0.67), int(x + 0.67)]
        if prompt == "box":
            (left, top), (right, bottom) = sample["prompt"].tolist()
            assert left <= columns.min() + 1 and right >= columns.max() - 2
            assert top <= rows.min() + 1 and bottom >= rows.max() - 2
            margins.add(round((columns.min() - left) * 48 / SIDE))
    assert prompt == "points" or {0, 4} <= margins <= set(range(-1, 6))


def test_a_place_of_an_epoch_holds_one_sample_and_other_epochs_hold_others(prepared: PreparedDataset) -> None:
    asking = Asking(tune="all", hu_window="dataset")

    def epoch(number: int, order: range) -> list[list[float]]:
        dataset = samples_of(prepared, asking, number)
        found = {index: dataset[index]["prompt"].ravel().tolist() for index in order}
        return [found[index] for index in sorted(found)]

    assert epoch(0, range(24)) == epoch(0, range(23, -1, -1)) != epoch(1, range(24))


def test_organs_that_are_too_small_are_left_out(prepared: PreparedDataset) -> None:
    with pytest.raises(NothingToTuneOnError, match="no training case with an organ of 2000 pixels in a slice"):
        samples_of(prepared, Asking(tune="all", hu_window="dataset", smallest=2000))


def test_the_loss_is_that_of_two_classes() -> None:
    """Soft Dice and cross entropy of a sigmoid, by hand: p = 1/2 in four pixels, of which one is the organ."""
    losses = MaskObjective()(torch.zeros(1, 1, 2, 2), {"label": torch.tensor([[[[1, 0], [0, 0]]]])})
    assert losses["cross_entropy"].item() == pytest.approx(np.log(2))
    assert losses["dice_loss"].item() == pytest.approx(1 - 2 * 0.5 / (2 + 1), abs=1e-4)


def test_a_step_takes_memory_that_can_be_estimated(root: Path) -> None:
    found = check_memory(experiment(root), 14, torch.device("cpu"), 1, SliceSamples())
    assert found.startswith("Memory: a step needs about 1.")  # GB, of which one is what libraries take


@pytest.fixture(scope="module")
def tuned(root: Path, prepared: PreparedDataset, tmp_path_factory: pytest.TempPathFactory) -> dict[str, RunFolder]:
    """A run of each kind of tuning."""
    runs = {}
    for tune in ("prompt_and_mask", "all"):
        workspace = Workspace(tmp_path_factory.mktemp(tune))
        described = experiment(root, tune=tune)
        result = fit_prompted(described, prepared, workspace, InProcess(), quiet=True)
        assert fit_prompted(described, prepared, workspace, InProcess()).found and not result.found
        runs[tune] = result.run
    return runs


def test_tuning_of_prompt_encoder_and_mask_decoder_leaves_the_image_encoder_bit_by_bit(
    root: Path, tuned: dict[str, RunFolder]
) -> None:
    before = build_network(experiment(root), 14).state_dict()
    for tune, run in tuned.items():
        changed = {name.split(".")[1] for name, tensor in weights(run).items() if not torch.equal(tensor, before[name])}
        assert changed == {"prompt_encoder", "mask_decoder"} | ({"image_encoder"} if tune == "all" else set())


@pytest.mark.parametrize("tune", ["prompt_and_mask", "all"])
def test_it_learns(prepared: PreparedDataset, tuned: dict[str, RunFolder], tune: str) -> None:
    """Four cases are learnt by heart: what the run leaves finds their discs again."""
    run = tuned[tune]
    curves = read_curves(Workspace(run.folder.parents[1]), run.name)
    losses = [value for _, value in curves["train/loss"]]
    assert np.mean(losses[-8:]) < 0.3 * np.mean(losses[:4])
    assert len(curves["val/dice/mean"]) == 2
    ready = PromptedPredictor.of(run.model).load(1)
    case = prepared.raw("train")[0]
    checked = load_checked(case, prepared.description)
    assert checked.scan is not None and checked.label_DHW is not None
    found_DHW = ready.predict(case.case_id, checked.scan, checked.label_DHW, Stopwatch()).label_DHW
    for organ in (LIVER, SPLEEN):
        found, truth = found_DHW == organ, checked.label_DHW == organ
        assert 2 * (found & truth).sum() / (found.sum() + truth.sum()) > 0.8
    assert run.card.lineage["prompts"] == "oracle (prompts from the label): a box with a margin of 0 pixels"


def test_stored_embeddings_are_those_that_the_encoder_gives(
    root: Path, prepared: PreparedDataset, tuned: dict[str, RunFolder]
) -> None:
    workspace = Workspace(tuned["prompt_and_mask"].folder.parents[1])
    described = experiment(root, tune="prompt_and_mask")
    stored = stored_embeddings(described, prepared, workspace)  # found, where the fit has left them
    (folder,) = (workspace.folder / "embeddings").iterdir()
    assert stored.folder == folder and len(list(folder.glob("*.b2nd"))) == 4
    network = build_network(described, 14)
    for case in prepared.cases("train")[:2]:
        record, hu_DHW = stored.records[case.case_id], case.hu()
        assert record.slices == (0, 1, 2, 3, 4)
        with torch.no_grad():
            fresh_CHW = network.embed(as_input(picture(hu_DHW[3], case.description.hu_window, SIDE), SIDE)[None])[0]
        torch.testing.assert_close(stored.embedding(case.case_id, 3), fresh_CHW, rtol=2e-3, atol=2e-3)  # float16


class Interrupted(MaskObjective):
    """Is interrupted in the third step."""

    def __init__(self) -> None:
        super().__init__()
        self.steps = 0

    def forward(self, logits_B1HW: torch.Tensor, batch: Mapping[str, Any]) -> dict[str, torch.Tensor]:
        self.steps += 1
        if self.steps == 3:
            raise KeyboardInterrupt
        return super().forward(logits_B1HW, batch)


def test_a_fit_that_was_interrupted_ends_with_the_same_bits(
    root: Path, prepared: PreparedDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = {"epochs": 2, "patches_per_case": 2, "checkpoint_steps": 1, "ema": 0.9}
    described = experiment(root, few, tune="all", prompt="points")
    whole = fit_prompted(described, prepared, Workspace(tmp_path / "whole"), InProcess(), quiet=True).run
    again = Workspace(tmp_path / "again")
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(prompted_fit, "MaskObjective", Interrupted)
        fit_prompted(described, prepared, again, InProcess(), quiet=True)
    continued = fit_prompted(described, prepared, again, InProcess(), quiet=True).run
    steps = [step for step, _ in read_curves(again, continued.name)["train/loss"]]
    assert steps == [1, 2, 3, 4]
    assert all(torch.equal(tensor, weights(whole)[name]) for name, tensor in weights(continued).items())
