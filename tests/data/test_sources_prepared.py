"""Several sources, prepared: what is stored and found again, what a missing annotation costs, what is drawn."""

import math
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from several_sources import FIELDS, FILE_IDS, described, scan_of, with_source, write_pair, write_sources
from synthetic_scans import write_btcv
from torch.utils.data import default_collate

from autosam_platform.data.description import DatasetDescription
from autosam_platform.data.patches import PatchDataset
from autosam_platform.data.preparation import Preparation, PreparedDataset, prepare
from autosam_platform.training.objectives import SegmentationObjective
from autosam_platform.training.validation import validate
from autosam_platform.training.workers import Workers
from autosam_platform.workspace import Workspace

pytestmark = pytest.mark.usefixtures("ray_local")

OURS, KIDNEYS = "ours", "kidneys"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("sources")


@pytest.fixture(scope="module")
def prepared(ray_local: None, folder: Path) -> PreparedDataset:
    return prepare(write_sources(folder), None, Preparation(), Workspace(folder))


def _drawn(patches: PatchDataset, epoch: int = 0) -> list[str]:
    patches.set_epoch(epoch)
    return [patches[index]["case_id"] for index in range(len(patches))]


def test_what_has_no_labels_is_prepared_and_in_no_split(
    prepared: PreparedDataset, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    again = prepare(described(folder), None, Preparation(), Workspace(folder))
    assert again == prepared
    assert "8 cases (8 ok, 0 fixed, 0 rejected), usable: 5 train, 0 val, 2 test, 1 without labels" in (
        capsys.readouterr().out
    )
    bare = next(case for case in prepared.cases("all") if case.case_id == "bare_x")
    assert bare.image().shape == scan_of(8).image_xyz.T.shape and bare.record.contents is None
    assert all(bare.case_id != case.case_id for split in ("train", "val", "test") for case in prepared.cases(split))


def test_a_changed_source_prepares_its_own_cases_anew(folder: Path, prepared: PreparedDataset) -> None:
    ids = {5: "liver", 7: "left kidney", 8: "right kidney", 9: None}
    other = prepare(described(folder, sources=with_source(1, label_ids=ids)), None, Preparation(), Workspace(folder))
    contents = {each.case_id: each.content for each in prepared.entries}
    changed = {each.case_id for each in other.entries if contents[each.case_id] != each.content}
    assert changed == {"kidneys_p1_a", "kidneys_p1_b", "kidneys_p2_a"}
    assert other.folder == prepared.folder and other.fingerprint != prepared.fingerprint
    one, two = (
        next(each for each in part.cases("all") if each.case_id == "kidneys_p1_a") for part in (prepared, other)
    )
    swapped = one.label().clone().apply_(lambda value: {3: 4, 4: 3}.get(value, value))
    assert two.label().equal(swapped) and not two.label().equal(one.label())


def test_an_organ_that_a_source_does_not_annotate_costs_nothing_there(prepared: PreparedDataset) -> None:
    """Patches of one voxel, all logits 0, five classes with a probability of 1/5 each.

    In ``ours`` (liver, spleen) background holds 3/5: its own and that of the kidneys, so a voxel of background, or of a
    kidney, costs ln 5/3 and no Dice. One of the liver costs ln 5 and a Dice loss of 1 − 2·⅕ / (⅕ + 1) = 2/3. In
    ``kidneys`` (liver and both kidneys) background holds 2/5.
    """
    patches = PatchDataset(prepared, (1, 1, 1), patches_per_case=60)
    seen = Counter[tuple[str, int]]()
    for item in map(patches.__getitem__, range(len(patches))):
        source, value = item["case_id"].split("_")[0], int(item["label"])
        logits = torch.zeros(1, 5, 1, 1, 1, requires_grad=True)
        losses = SegmentationObjective()(logits, default_collate([dict(item)]))
        probability = {OURS: 3 / 5, KIDNEYS: 2 / 5}[source] if value == 0 else 1 / 5
        dice = 0.0 if value == 0 else 2 / 3
        assert math.isclose(losses["loss"].item(), dice - math.log(probability), abs_tol=1e-4)
        if value == 0:
            losses["loss"].sum().backward()
            assert logits.grad is not None
            gradient = logits.grad.flatten()
            unknown = {OURS: [3, 4], KIDNEYS: [2]}[source]
            assert all(gradient[0] == gradient[each] < 0 for each in unknown), "as right as background"
        seen[source, value] += 1
    assert {value for source, value in seen if source == OURS} == {0, 1, 2}
    assert {value for source, value in seen if source == KIDNEYS} == {0, 1, 3, 4}


def test_a_flip_takes_the_annotation_of_a_kidney_to_the_other_side(folder: Path, prepared: PreparedDataset) -> None:
    one_sided = described(
        folder,
        sources=with_source(1, annotates=["right kidney"]),
        augmentation=FIELDS["augmentation"] | {"flip": 1.0},
        foreground_fraction=1.0,
    )
    patches = PatchDataset(prepare(one_sided, None, Preparation(), Workspace(folder)), (5, 5, 5), patches_per_case=4)
    flipped = [item for item in map(patches.__getitem__, range(len(patches))) if item["case_id"].startswith(KIDNEYS)]
    assert flipped and all(item["annotated"].nonzero().flatten().tolist() == [0, 4] for item in flipped)
    assert all(set(item["label"].unique().tolist()) == {0, 4} for item in flipped)


def test_each_source_is_drawn_equally_often_whatever_its_number_of_cases(prepared: PreparedDataset) -> None:
    training = Counter(case.case_id.split("_")[0] for case in prepared.cases("train"))
    assert training == {OURS: 3, KIDNEYS: 2}
    for epoch in range(3):
        drawn = _drawn(PatchDataset(prepared, (2, 2, 2), patches_per_case=7), epoch)
        assert len(drawn) == 36, "35 would not be the same for both"
        assert Counter(case_id.split("_")[0] for case_id in drawn) == {OURS: 18, KIDNEYS: 18}
        cases = Counter(drawn)
        assert sorted(cases.values()) == [6, 6, 6, 9, 9]
        rounds = [{case_id.split("_")[0] for case_id in drawn[start : start + 2]} for start in range(0, 36, 2)]
        assert all(each == {OURS, KIDNEYS} for each in rounds), "any few steps see all sources"


def test_balance_holds_where_one_source_has_a_single_case(prepared: PreparedDataset) -> None:
    entries = tuple(each for each in prepared.entries if each.case_id not in ("kidneys_p1_a",))
    drawn = _drawn(PatchDataset(replace(prepared, entries=entries), (2, 2, 2), patches_per_case=3))
    assert Counter(drawn) == {"kidneys_p1_b": 6, "ours_img0001": 2, "ours_img0002": 2, "ours_img0003": 2}


def test_seed_epoch_and_place_decide_the_case(prepared: PreparedDataset) -> None:
    patches = PatchDataset(prepared, (2, 2, 2), patches_per_case=4, seed=3)
    first, second = _drawn(patches), _drawn(patches, epoch=1)
    again = PatchDataset(prepared, (2, 2, 2), patches_per_case=4, seed=3)
    again.set_epoch(1)
    assert [again[index]["case_id"] for index in reversed(range(len(again)))][::-1] == second != first
    assert _drawn(PatchDataset(prepared, (2, 2, 2), patches_per_case=4, seed=4)) != first


def test_without_sources_cases_come_in_the_order_they_came_before(tmp_path: Path) -> None:
    """The order as it was drawn before descriptions had sources."""
    fields = {"split": {"rule": "every_case", "splits": ["train"]}, "layout": "btcv"}
    description = DatasetDescription.model_validate(FIELDS | fields)
    plain = prepare(
        description,
        write_btcv(tmp_path / "raw", 5, num_classes=5),
        Preparation(),
        Workspace(tmp_path),  # type: ignore[arg-type]
    )
    patches = PatchDataset(plain, (2, 2, 2), patches_per_case=3, seed=2)
    names = [case.case_id for case in plain.cases("train")]
    rounds = (np.random.default_rng([2, 1, 0, turn]).permutation(5) for turn in range(3))
    assert _drawn(patches, epoch=1) == [names[place] for order in rounds for place in order]


def test_validation_leaves_out_what_a_case_does_not_annotate(folder: Path) -> None:
    """A network that calls every voxel right kidney: in ``ours``, which does not annotate it, that is no mistake."""
    split = {"rule": "every_case", "splits": ["train", "val"]}
    dataset = prepare(described(folder, split=split), None, Preparation(), Workspace(folder))

    class _RightKidney(torch.nn.Module):
        def forward(self, image_B1DHW: torch.Tensor) -> torch.Tensor:
            shape = (len(image_B1DHW), 5, *image_B1DHW.shape[2:])
            logits_BKDHW = torch.zeros(shape)
            logits_BKDHW[:, 3] = 1.0
            return logits_BKDHW

    found = validate(
        _RightKidney(),
        dataset,
        (8, 8, 8),
        0.25,
        lambda: torch.autocast("cpu", enabled=False),
        Workers(0, 1, 1, torch.device("cpu")),
    )
    kidneys = [case for case in dataset.cases("val") if case.case_id.startswith(KIDNEYS)]
    shares = [(case.label() == 3).double().mean().item() for case in kidneys]
    expected = sum(2 * share / (1 + share) for share in shares) / len(shares)
    assert found["right kidney"] == pytest.approx(expected)


def test_the_same_scan_in_two_sources_is_noticed(tmp_path: Path) -> None:
    write_sources(tmp_path)
    write_pair(tmp_path / "scans" / "bare", "twin", 5, FILE_IDS)
    dataset = prepare(described(tmp_path), None, Preparation(), Workspace(tmp_path))
    (note,) = [note for note in dataset.notes if "hold the same scan" in note]
    assert note.startswith("bare_twin (in no split) and kidneys_p1_a (train) hold the same scan")
