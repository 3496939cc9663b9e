"""A teacher's probabilities: the same stored, asked online and computed plainly; kept, continued, and matched."""

import tracemalloc
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest
import torch
from monai.inferers import sliding_window_inference
from small_models import PATCH, write_model
from synthetic_scans import write_btcv
from torch.utils.data import default_collate

from autosam_inference.runtimes.pytorch import TorchRuntime
from autosam_platform.data.description import load_description
from autosam_platform.data.patches import PatchDataset
from autosam_platform.data.preparation import Preparation, PreparedDataset, prepare
from autosam_platform.data.prepared import DatasetDescription
from autosam_platform.data.store import StoredCase
from autosam_platform.distillation.distances import squared_error
from autosam_platform.distillation.objective import DistillationObjective
from autosam_platform.distillation.teacher import (
    MismatchError,
    OnlineTeacher,
    StoredTeacher,
    TrainedTeacher,
    require_match,
    stored_teacher,
)
from autosam_platform.workspace import Workspace

SPACING = (2.0, 2.0, 3.0)
OVERLAP = 0.5


@pytest.fixture(scope="module")
def prepared(ray_local: None, tmp_path_factory: pytest.TempPathFactory) -> PreparedDataset:
    folder = tmp_path_factory.mktemp("teacher")
    raw = write_btcv(folder / "raw", 3)
    return prepare(load_description("btcv"), raw, Preparation(spacing_xyz=SPACING), Workspace(folder))


@pytest.fixture(scope="module")
def teacher(prepared: PreparedDataset, tmp_path_factory: pytest.TempPathFactory) -> TrainedTeacher:
    folder = write_model(tmp_path_factory.mktemp("model"), prepared.description, SPACING)
    return TrainedTeacher.of(folder, OVERLAP)


@pytest.fixture(scope="module")
def stored(
    prepared: PreparedDataset, teacher: TrainedTeacher, tmp_path_factory: pytest.TempPathFactory
) -> StoredTeacher:
    return stored_teacher(teacher, prepared, Workspace(tmp_path_factory.mktemp("workspace")))


def test_stored_probabilities_are_those_of_monais_sliding_window_within_the_quantisation(
    prepared: PreparedDataset, teacher: TrainedTeacher, stored: StoredTeacher
) -> None:
    runtime = teacher.model.runtime
    assert isinstance(runtime, TorchRuntime)
    for case in prepared.cases("train"):
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=runtime.amp is not None):
            logits_1KDHW = sliding_window_inference(
                case.image()[None, None],
                PATCH,
                1,
                lambda patch: runtime.network(patch).float(),
                OVERLAP,
                mode="gaussian",
                cval=teacher.model.pad_value,
            )
        expected_KDHW = torch.as_tensor(logits_1KDHW)[0].softmax(0).numpy()
        found_KDHW = stored.probabilities(case, (0, 0, 0), case.shape_DHW) / 255
        assert np.abs(found_KDHW - expected_KDHW).max() <= 1 / 255  # half of it by rounding; bf16 sums differ, too
        assert np.ptp(found_KDHW[1:], axis=(1, 2, 3)).max() > 0.02  # there is something to tell apart


@pytest.mark.parametrize("corner", [(0, 0, 0), (5, 9, 3), (-4, -6, 5)])
def test_what_is_stored_is_the_online_teachers_numbers_rounded(
    prepared: PreparedDataset, teacher: TrainedTeacher, stored: StoredTeacher, corner: tuple[int, int, int]
) -> None:
    case = prepared.cases("train")[0]
    asked = OnlineTeacher(teacher).probabilities(case, corner, PATCH)
    assert asked.dtype == np.float32 and (asked != np.rint(asked)).any()
    assert np.abs(asked - stored.probabilities(case, corner, PATCH)).max() <= 0.5 + 1e-3


def test_a_patch_costs_the_patch_and_no_look_at_the_disk(prepared: PreparedDataset, tmp_path: Path) -> None:
    teacher = TrainedTeacher.of(write_model(tmp_path / "model", prepared.description, SPACING), OVERLAP)
    online, runtime = OnlineTeacher(teacher), teacher.model.runtime
    assert isinstance(runtime, TorchRuntime)
    (tmp_path / "model" / "model.json").unlink()
    image_DHW = torch.rand((16, 24, 800), generator=torch.Generator().manual_seed(0))
    case = cast(StoredCase, SimpleNamespace(shape_DHW=image_DHW.shape, image=lambda: image_DHW))
    asked: list[int] = []
    handle = runtime.network.register_forward_hook(lambda _, inputs, __: asked.append(len(inputs[0])))
    tracemalloc.start()
    try:
        patch_KDHW = online.probabilities(case, (0, 2, 400), PATCH)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        handle.remove()
    assert (
        most < 1.5 * patch_KDHW.nbytes < 4 * 14 * image_DHW.numel() / 40
    )  # numpy's arrays, and what else Python holds
    assert sum(asked) == 2 * 3  # windows of 16 in steps of 8: two along the height, three that touch 400 to 416
    np.testing.assert_allclose(patch_KDHW.sum(0), 255, rtol=1e-4)


def test_losses_of_both_teachers_agree_within_the_quantisation(
    prepared: PreparedDataset, teacher: TrainedTeacher, stored: StoredTeacher
) -> None:
    """With e the error of a probability, (p - q)² changes by e · (2 |p - q| + e) at most: by 2/255, and a little."""
    fields = prepared.description.model_dump(mode="json")
    fields["augmentation"] = {"flip": 1.0, "rotate": 1.0, "intensity_scale": 1.0, "intensity_shift": 1.0}
    augmented = replace(prepared, description=DatasetDescription.model_validate(fields))
    objective = DistillationObjective(0.5, squared_error)
    logits_BKDHW = 3 * torch.randn(1, 14, *PATCH, generator=torch.Generator().manual_seed(0))
    losses = []
    for each in (stored, OnlineTeacher(teacher)):
        batch = default_collate([PatchDataset(augmented, PATCH, teacher=each)[1]])
        losses.append(objective(logits_BKDHW, batch))
    one, other = losses
    assert torch.equal(one["segmentation_loss"], other["segmentation_loss"])
    difference = (one["distillation_loss"] - other["distillation_loss"]).abs().item()
    assert 0 < difference <= 1 / 255


def test_patches_carry_the_teacher_through_their_turns_and_flips(
    prepared: PreparedDataset, teacher: TrainedTeacher, stored: StoredTeacher
) -> None:
    """Probabilities that are the label itself are the label still after a flip, whose pairs of organs are swapped."""
    for rotate in (0.0, 1.0):
        fields = prepared.description.model_dump(mode="json")
        fields["augmentation"] = {"flip": 1.0, "rotate": rotate, "intensity_scale": 0.0, "intensity_shift": 0.0}
        changed = replace(prepared, description=DatasetDescription.model_validate(fields))
        for index in range(2):
            plain = PatchDataset(changed, PATCH)[index]
            assert "probabilities" not in plain
            one_hot = PatchDataset(changed, PATCH, teacher=_OneHot())[index]
            assert torch.equal(one_hot["image"], plain["image"]) and torch.equal(one_hot["label"], plain["label"])
            organs_DHW = plain["label"][0] > 0
            same = (one_hot["probabilities"].max(0).indices == plain["label"][0])[organs_DHW].float().mean()
            assert set(plain["label"].unique().tolist()) >= {2, 3}, "both kidneys are in the patch"
            assert same == 1 if rotate == 0 else same > 0.7  # linear and nearest interpolation differ at borders
            patch = PatchDataset(changed, PATCH, teacher=stored)[index]["probabilities"]
            assert patch.shape == (14, *PATCH) and patch.dtype == torch.uint8
            assert (patch.float().sum(0) / 255 - 1).abs().max() <= 14 / 255


class _OneHot:
    """A teacher who knows the truth."""

    def probabilities(self, case, corner_DHW, size_DHW):  # type: ignore[no-untyped-def]
        label_DHW = case.label_patch(corner_DHW, size_DHW)
        return np.stack([(label_DHW == k).astype(np.uint8) * 255 for k in range(14)])


def test_what_is_there_is_kept_and_what_is_missing_or_of_another_teacher_is_made(
    prepared: PreparedDataset, teacher: TrainedTeacher, tmp_path: Path
) -> None:
    first = stored_teacher(teacher, prepared, Workspace(tmp_path))
    ids = sorted(case.case_id for case in prepared.cases("train"))
    assert sorted(first.records) == ids and first.folder.parent == tmp_path / "teachers"
    kept, lost = (first.folder / f"{case_id}.b2nd" for case_id in ids)
    leftover = first.folder / ".0123abcd.tmp-img0001.b2nd"  # of a task that was killed
    leftover.touch()
    before, case = kept.stat().st_mtime_ns, prepared.cases("train")[1]
    numbers = first.probabilities(case, (0, 0, 0), case.shape_DHW).astype(int)
    lost.unlink()
    again = stored_teacher(teacher, prepared, Workspace(tmp_path))
    assert again.folder == first.folder and sorted(again.records) == ids
    assert kept.stat().st_mtime_ns == before and not leftover.exists()
    assert np.abs(again.probabilities(case, (0, 0, 0), case.shape_DHW) - numbers).max() <= 1  # other threads, bf16
    other_windows = replace(teacher, overlap=0.25)
    assert stored_teacher(other_windows, prepared, Workspace(tmp_path)).folder != first.folder
    other_weights = TrainedTeacher.of(write_model(tmp_path / "model", prepared.description, SPACING, seed=1), OVERLAP)
    assert stored_teacher(other_weights, prepared, Workspace(tmp_path)).folder != first.folder


def test_a_teacher_of_this_dataset_matches(prepared: PreparedDataset, teacher: TrainedTeacher) -> None:
    require_match(teacher.models.card, prepared)  # it raises where they do not: the next test


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        (
            {"spacing_xyz": (1.0, 1.0, 1.0)},
            r"spacing \(x, y, z\) in mm: teacher \[1.0, 1.0, 1.0\], student \[2.0, 2.0,",
        ),
        ({"hu_window": (-100, 300)}, r"HU window: teacher \[-100, 300\], student \[-125, 275\]"),
        ({"scaling": {"to": (-1, 1)}}, r"scaling: teacher \{'to': \(-1.0, 1.0\)\}, student \{'to': \(0.0, 1.0\)\}"),
    ],
)
def test_a_mismatch_is_refused_with_both_sides_named(
    prepared: PreparedDataset, teacher: TrainedTeacher, changes: dict[str, object], names: str
) -> None:
    card = teacher.models.card
    other = type(card).model_validate(card.model_dump() | changes)
    with pytest.raises(MismatchError, match=names):
        require_match(other, prepared)


def test_classes_in_another_order_are_refused(prepared: PreparedDataset, teacher: TrainedTeacher) -> None:
    card = teacher.models.card
    renamed = [each.model_dump() for each in card.classes]
    renamed[0]["name"], renamed[5]["name"] = renamed[5]["name"], renamed[0]["name"]
    other = type(card).model_validate(card.model_dump() | {"classes": renamed})
    with pytest.raises(MismatchError, match=r"classes: teacher \['1 liver', .*student \['1 spleen', "):
        require_match(other, prepared)


def test_a_teacher_that_was_trained_on_the_students_test_cases_is_refused(
    prepared: PreparedDataset, teacher: TrainedTeacher
) -> None:
    card = teacher.models.card
    seen = type(card).model_validate(card.model_dump() | {"split": {"train": ["img0001", "img0003"]}})
    with pytest.raises(MismatchError, match="was trained on test cases of btcv: img0003"):
        require_match(seen, prepared)
    elsewhere = type(card).model_validate(seen.model_dump() | {"dataset": "amos"})
    require_match(elsewhere, prepared)  # another dataset's img0003 is another patient
