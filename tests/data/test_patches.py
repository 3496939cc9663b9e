"""Training patches: where they lie, what they hold, and that seed, epoch and place decide all of it."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from synthetic_scans import write_btcv
from torch.utils.data import DataLoader

from autosam_platform.data import augmentation
from autosam_platform.data.description import Augmentation, DatasetDescription, load_description
from autosam_platform.data.patches import PatchDataset
from autosam_platform.data.preparation import Preparation, PreparedDataset, prepare
from autosam_platform.workspace import Workspace

PATCH = (6, 10, 8)
ALWAYS = {"flip": 1.0, "rotate": 1.0, "intensity_scale": 1.0, "intensity_shift": 1.0}
NEVER = dict.fromkeys(ALWAYS, 0.0)


@pytest.fixture(scope="module")
def prepared(ray_local: None, tmp_path_factory: pytest.TempPathFactory) -> PreparedDataset:
    folder = tmp_path_factory.mktemp("patches")
    root = write_btcv(folder / "raw", 5)
    return prepare(load_description("btcv"), root, Preparation(spacing_xyz=(1.5, 1.5, 2.0)), Workspace(folder))


def _with(prepared: PreparedDataset, **changes: object) -> PreparedDataset:
    """The same prepared cases under a description with other augmentation or sampling."""
    fields = prepared.description.model_dump(mode="json") | changes
    return replace(prepared, description=DatasetDescription.model_validate(fields))


def _epoch(patches: PatchDataset) -> list[tuple[str, torch.Tensor, torch.Tensor]]:
    items = (patches[index] for index in range(len(patches)))
    return [(item["case_id"], item["image"], item["label"]) for item in items]


def _equal(
    one: list[tuple[str, torch.Tensor, torch.Tensor]], other: list[tuple[str, torch.Tensor, torch.Tensor]]
) -> bool:
    return all(
        a[0] == b[0] and torch.equal(a[1], b[1]) and torch.equal(a[2], b[2]) for a, b in zip(one, other, strict=True)
    )


def test_shapes_types_and_number(prepared: PreparedDataset) -> None:
    patches = PatchDataset(prepared, PATCH, patches_per_case=3)
    item = patches[0]
    assert len(patches) == 12 and len(prepared.cases("train")) == 4
    assert item["image"].shape == item["label"].shape == (1, *PATCH)
    assert item["image"].dtype == torch.float32 and item["label"].dtype == torch.uint8
    with pytest.raises(IndexError, match="place 12 of 12"):
        patches[12]


def test_a_patch_tells_which_classes_its_case_annotates(prepared: PreparedDataset) -> None:
    partly = _with(prepared, annotated={"img0001": ["spleen", "liver"]})  # ids 1 and 6
    patches = PatchDataset(partly, PATCH)
    found = {
        item["case_id"]: item["annotated"].nonzero().flatten().tolist() for item in map(patches.__getitem__, range(4))
    }
    assert found.pop("img0001") == [0, 1, 6]
    assert list(found.values()) == [list(range(14))] * 3


def test_every_case_comes_once_a_round_in_an_order_of_its_own(prepared: PreparedDataset) -> None:
    patches = PatchDataset(prepared, PATCH, patches_per_case=8)
    order = [case_id for case_id, _, _ in _epoch(patches)]
    rounds = [order[start : start + 4] for start in range(0, 32, 4)]
    assert all(sorted(each) == ["img0001", "img0002", "img0003", "img0004"] for each in rounds)
    assert len({tuple(each) for each in rounds}) > 3
    patches.set_epoch(1)
    assert [case_id for case_id, _, _ in _epoch(patches)] != order


def test_seed_epoch_and_place_decide(prepared: PreparedDataset) -> None:
    dataset = _with(prepared, augmentation=ALWAYS)
    patches = PatchDataset(dataset, PATCH, patches_per_case=2, seed=5)
    first = _epoch(patches)
    patches.set_epoch(1)
    second = _epoch(patches)
    again = PatchDataset(dataset, PATCH, patches_per_case=2, seed=5)
    again.set_epoch(1)
    backwards = [again[index] for index in reversed(range(len(again)))][::-1]
    assert _equal(second, [(each["case_id"], each["image"], each["label"]) for each in backwards])
    again.set_epoch(0)
    assert _equal(first, _epoch(again))
    assert not _equal(first, second)
    assert not _equal(first, _epoch(PatchDataset(dataset, PATCH, patches_per_case=2, seed=6)))


@pytest.mark.parametrize("workers", [1, 2])
def test_number_of_workers_does_not_matter(prepared: PreparedDataset, workers: int) -> None:
    patches = PatchDataset(_with(prepared, augmentation=ALWAYS), PATCH, patches_per_case=2, seed=1)
    patches.set_epoch(3)
    loaded = DataLoader(patches, batch_size=2, num_workers=workers)
    alone = _epoch(patches)
    together = [
        (case_id, image, label)
        for batch in loaded
        for case_id, image, label in zip(batch["case_id"], batch["image"], batch["label"], strict=True)
    ]
    assert _equal(alone, together)


def test_foreground_patches_hold_every_organ_equally_often(prepared: PreparedDataset) -> None:
    """Patches of one voxel are their centre; the 13 organs are all in every case."""
    dataset = _with(prepared, augmentation=NEVER, foreground_fraction=1.0)
    found = Counter(int(label) for _, _, label in _epoch(PatchDataset(dataset, (1, 1, 1), patches_per_case=130)))
    assert sorted(found) == list(range(1, 14))
    assert all(abs(count - 40) < 25 for count in found.values()), found


def test_half_of_the_patches_are_background_inside_the_patient(prepared: PreparedDataset) -> None:
    dataset = _with(prepared, augmentation=NEVER)
    items = _epoch(PatchDataset(dataset, (1, 1, 1), patches_per_case=100))
    background = [image for _, image, label in items if not label.any()]
    assert abs(len(background) - 200) < 40
    assert all(image > 0 for image in background), "air is 0 after windowing"


def test_patch_is_where_its_centre_is_and_inside_the_volume(prepared: PreparedDataset) -> None:
    patches = PatchDataset(_with(prepared, augmentation=NEVER), PATCH, patches_per_case=5)
    cases = {case.case_id: case for case in prepared.cases("train")}
    for case_id, image, label in _epoch(patches):
        windows = torch.from_numpy(cases[case_id].image().numpy()).unfold(0, 6, 1).unfold(1, 10, 1).unfold(2, 8, 1)
        places = (windows == image[0]).flatten(3).all(-1).nonzero()
        assert len(places) == 1
        d, h, w = places[0].tolist()
        assert torch.equal(cases[case_id].label()[d : d + 6, h : h + 10, w : w + 8], label[0])


def test_case_smaller_than_the_patch_is_padded_on_both_sides(prepared: PreparedDataset) -> None:
    patches = PatchDataset(_with(prepared, augmentation=NEVER), (40, 40, 40))
    case = {case.case_id: case for case in prepared.cases("train")}[patches[0]["case_id"]]
    image, label = patches[0]["image"][0], patches[0]["label"][0]
    d, h, w = case.shape_DHW
    corner = [(40 - n) // 2 for n in (d, h, w)]
    inside = tuple(slice(max(c, 0), max(c, 0) + min(n, 40)) for c, n in zip(corner, (d, h, w), strict=True))
    assert torch.equal(image[inside], case.image()) and torch.equal(label[inside], case.label())
    outside = torch.ones_like(label, dtype=torch.bool)
    outside[inside] = False
    assert not image[outside].any() and not label[outside].any()


def test_paired_organs_keep_their_side_under_a_flip(prepared: PreparedDataset) -> None:
    flip = NEVER | {"flip": 1.0}
    plain = _epoch(PatchDataset(_with(prepared, augmentation=NEVER), PATCH, patches_per_case=10))
    flipped = _epoch(PatchDataset(_with(prepared, augmentation=flip), PATCH, patches_per_case=10))
    partner = {2: 3, 3: 2, 12: 13, 13: 12}
    pairs_seen = set()
    for (_, image, label), (_, other_image, other_label) in zip(plain, flipped, strict=True):
        assert torch.equal(other_image, image.flip(1, 2, 3))
        expected = label.flip(1, 2, 3).clone().apply_(lambda value: partner.get(value, value))
        assert torch.equal(other_label, expected)
        pairs_seen |= set(np.unique(label.numpy()).tolist()) & set(partner)
    assert pairs_seen == set(partner)


def test_turned_patch_stays_at_its_place(prepared: PreparedDataset, monkeypatch: pytest.MonkeyPatch) -> None:
    """A turn by next to nothing goes all the way, margin and interpolation, and ends where the plain patch
    is.
    """
    monkeypatch.setattr(augmentation, "LARGEST_ANGLE", 1e-4)
    turned = _epoch(PatchDataset(_with(prepared, augmentation=NEVER | {"rotate": 1.0}), PATCH, patches_per_case=5))
    plain = _epoch(PatchDataset(_with(prepared, augmentation=NEVER), PATCH, patches_per_case=5))
    for (_, image, label), (_, other_image, other_label) in zip(turned, plain, strict=True):
        assert torch.equal(label, other_label)
        assert 0 < (image - other_image).abs().max() < 1e-3


def test_dataset_without_training_cases_is_refused(prepared: PreparedDataset) -> None:
    entries = tuple(each.model_copy(update={"splits": ("test",)}) for each in prepared.entries)
    empty = PreparedDataset(prepared.folder, prepared.description, prepared.spacing_xyz, prepared.fingerprint, entries)
    with pytest.raises(ValueError, match="has no training case"):
        PatchDataset(empty, PATCH)


def test_default_augmentation_is_the_descriptions(prepared: PreparedDataset) -> None:
    assert prepared.description.augmentation == Augmentation(
        flip=0.1, rotate=0.1, intensity_scale=0.2, intensity_shift=0
    )
    plain = _epoch(PatchDataset(_with(prepared, augmentation=NEVER), PATCH, patches_per_case=50))
    augmented = _epoch(PatchDataset(prepared, PATCH, patches_per_case=50))
    changed = np.mean([not torch.equal(a[1], b[1]) for a, b in zip(plain, augmented, strict=True)])
    assert abs(changed - (1 - 0.9**4 * 0.8)) < 0.12


def test_real_ct_patch(real_ct: Path, ray_local: None, tmp_path: Path) -> None:
    prepared = prepare(load_description("one_scan"), real_ct, Preparation(), Workspace(tmp_path))
    item = PatchDataset(prepared, (64, 64, 64), patches_per_case=2)[1]
    assert item["case_id"] == "image" and item["image"].shape == (1, 64, 64, 64)
    assert item["image"].min() >= -2 and item["image"].max() <= 2.2  # the window, and a scale of up to 1.1
