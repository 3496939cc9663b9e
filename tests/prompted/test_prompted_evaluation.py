"""A prompted model behind the one evaluation: slices of real files, the scan's own grid, and that it is an oracle."""

import json
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from nibabel import orientations
from small_models import write_model
from small_sam import SIDE, save_small_sam
from synthetic_scans import SPACING_XYZ, Scan, make_scan, write_btcv_case

from autosam_inference.card import ModelFolderError
from autosam_inference.model import TrainedModel
from autosam_models.prompted.asking import Asking
from autosam_models.sam_import import segment_anything
from autosam_platform.data.description import load_description
from autosam_platform.data.readers import find_cases
from autosam_platform.evaluation.evaluate import Plan, _write_results, evaluate_case
from autosam_platform.prompted.predictor import PromptedPredictor
from autosam_platform.prompted.prompts import ORACLE, prompt_of
from autosam_platform.prompted.slices import put_together
from autosam_platform.workspace import Workspace

ASKING = Asking(points=2, masks="best", prompt_seed=3)


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    """Of a model with the weights of ``sam.pth`` beside its run."""
    folder = tmp_path_factory.mktemp("run")
    sam = save_small_sam(folder / "sam.pth")
    sam.mask_decoder.output_upscaling[3].bias.data += 1  # random masks that cover about a half
    torch.save(sam.state_dict(), folder / "sam.pth")
    description = load_description("btcv")
    options = {"points": 2, "masks": "best", "prompt_seed": 3, "checkpoint": folder / "sam.pth"}
    model = write_model(folder / "model", description, SPACING_XYZ, name="sam_demo", patch=(1, SIDE, SIDE), **options)
    evaluation = Workspace(folder).run_at(folder).evaluation()
    return Plan(PromptedPredictor.of(model), evaluation, description, tolerance_mm=2.0)


def by_sams_own_predictor(checkpoint: Path, scan: Scan, case_id: str) -> np.ndarray:
    """The label map of a canonical scan, X, Y, Z, a slice and an organ at a time."""
    sam = save_small_sam(checkpoint.with_name("empty.pth"))
    sam.load_state_dict(torch.load(checkpoint, weights_only=True))
    predictor = segment_anything.SamPredictor(sam)
    found_xyz = np.zeros(scan.label_xyz.shape, np.uint8)
    for number in range(scan.label_xyz.shape[2]):
        label_HW = scan.label_xyz[:, :, number].T[::-1, ::-1]
        organs = [each for each in range(1, 14) if (label_HW == each).any()]
        if not organs:
            continue
        grey_HW = np.rint((np.clip(scan.image_xyz[:, :, number], -160, 240) + 160) * (255 / 400)).astype(np.uint8)
        predictor.set_image(np.repeat(grey_HW.T[::-1, ::-1, None], 3, axis=2))
        best = np.zeros(label_HW.shape)
        for organ in organs:
            asked = prompt_of(ASKING, label_HW == organ, case_id, organ, number)
            masks, ious, _ = predictor.predict(asked, np.ones(2, int), return_logits=True)
            logits = masks[ious.argmax()]
            found_xyz[:, :, number] = np.where((logits > best)[::-1, ::-1].T, organ, found_xyz[:, :, number])
            best = np.maximum(best, logits)
    return found_xyz


@pytest.mark.parametrize("codes", ["RAS", "PIR"])
def test_a_volume_of_slices_lies_on_the_scans_own_grid_and_is_scored_as_all_are(
    plan: Plan, tmp_path: Path, codes: str
) -> None:
    scan = make_scan(1, num_classes=6)
    turn = nib.eulerangles.euler2mat(0.2, -0.1, 0.3)  # oblique to the patient
    affine = scan.affine.copy()
    affine[:3, :3] = turn @ affine[:3, :3]
    scan = replace(scan, affine=affine)
    image, _ = write_btcv_case(tmp_path, 1, scan, codes)
    (case,) = find_cases(plan.description, tmp_path)

    done = evaluate_case(case, plan)
    written, stored = nib.load(plan.folder.prediction(case.case_id)), nib.load(image)
    assert written.shape == stored.shape == {"RAS": (23, 19, 11), "PIR": (19, 11, 23)}[codes]
    np.testing.assert_allclose(written.affine, stored.affine, atol=1e-5)
    turned = orientations.apply_orientation(np.asarray(written.dataobj), orientations.io_orientation(written.affine))
    expected = by_sams_own_predictor(plan.predictor.models.folders[0].parent / "sam.pth", scan, case.case_id)
    assert 0.05 < (expected > 0).mean() < 0.95, "so that there is something to compare"
    assert (turned != expected).mean() < 1e-3, "but for pixels whose logits are equal to rounding"

    organ = next(row for row in done.rows if row.class_id == 3)
    found, truth = turned == 3, scan.label_xyz == 3
    assert organ.dice == pytest.approx(2 * (found & truth).sum() / (found.sum() + truth.sum()))
    assert {"read", "resample", "network", "write", "score", "picture", "total"} == set(done.seconds)
    record = plan.folder.record(case.case_id).stat().st_ino
    assert repr(evaluate_case(case, plan)) == repr(done)
    assert plan.folder.record(case.case_id).stat().st_ino == record, "what is done is found"

    summary = _write_results(plan, plan.predictor.models.card, [done])
    assert summary.notice == f"{ORACLE}: 2 points"
    assert json.loads(plan.folder.summary.read_text())["notice"].startswith("oracle (prompts from the label)")


def test_organs_that_claim_a_pixel_share_it_by_their_logits_and_equals_by_their_ids() -> None:
    logits = np.array([[[3.0, -1.0, 0.0, 2.0]], [[1.0, -2.0, 0.0, 2.0]], [[4.0, 0.5, -1.0, 1.0]]])
    assert put_together(logits, [2, 5, 9]).tolist() == [[9, 9, 0, 2]]


def test_a_scan_without_prompts_is_refused(plan: Plan) -> None:
    with pytest.raises(ModelFolderError, match=r"sam_demo, which is asked by prompts.*jobs/evaluate\.py"):
        TrainedModel.load(plan.predictor.models.folders[0])
