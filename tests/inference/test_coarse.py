"""A scan of boxes in air, and a network that tells organs by their HU: what is spared, and when it is not."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from small_cards import organs, small_card

from autosam_inference import Scan, TrainedModel, Volume, predict
from autosam_inference.card import Scaling, UnknownOrganError
from autosam_inference.coarse import Search, body_box
from autosam_inference.prediction import Prediction

SPACING_MM = 4.0
SIZE = (64, 48, 48)
BODY = (slice(2, 62), slice(8, 40), slice(6, 42))
LIVER = (slice(26, 38), slice(14, 24), slice(10, 22))
SPLEEN = (slice(30, 38), slice(26, 34), slice(28, 36))
LIVER_HU, SPLEEN_HU = 150, 350


@dataclass(frozen=True)
class ByHounsfield:
    """Class 1 from 75 HU on, class 2 from 250 HU on; counts the windows that it is asked about."""

    device: str = "cpu"
    asked: list[int] = field(default_factory=list)

    def logits(self, patches_BCDHW: NDArray[np.float32]) -> NDArray[np.float32]:
        self.asked.append(len(patches_BCDHW))
        hu_BDHW = patches_BCDHW[:, 0] * 2000 - 1000
        return np.stack([np.zeros_like(hu_BDHW), hu_BDHW - 75, 2 * hu_BDHW - 325], axis=1)

    def synchronize(self) -> None:
        """numpy is done when it returns."""

    def use_threads(self, count: int) -> None:
        """numpy computes with one."""


def scan_of(*painted: tuple[tuple[slice, ...], float], body: tuple[slice, ...] = BODY) -> Scan:
    hu_DHW = np.full(SIZE, -1000.0, np.float32)
    hu_DHW[body] = 0
    for box, hu in painted:
        hu_DHW[box] = hu
    return noisy(hu_DHW, SPACING_MM)


def noisy(hu_DHW: NDArray[np.float32], slice_mm: float) -> Scan:
    noise_DHW = np.random.default_rng(0).integers(-5, 6, hu_DHW.shape)
    return Scan.of(Volume((hu_DHW + noise_DHW).astype(np.int16), (slice_mm, SPACING_MM, SPACING_MM)))


def segment(scan: Scan, **options: Any) -> tuple[Prediction, int]:
    """The prediction, and how many windows the network was asked about."""
    card = small_card(
        organs(2),
        patch=(16, 16, 16),
        spacing_xyz=(SPACING_MM,) * 3,
        hu_window=(-1000, 1000),
        scaling=Scaling(to=(0.0, 1.0)),
    )
    runtime = ByHounsfield()
    prediction = predict(TrainedModel(card, runtime, 0.5), scan, **options)
    return prediction, sum(runtime.asked)


def test_organs_are_found_in_a_box_of_their_own_and_are_those_of_the_whole_scan() -> None:
    scan = scan_of((LIVER, LIVER_HU), (SPLEEN, SPLEEN_HU))
    (whole, asked_of_whole), (found, asked) = segment(scan, coarse=False), segment(scan)
    np.testing.assert_array_equal(found.label_DHW, whole.label_DHW)
    assert found.volumes_ml == whole.volumes_ml and found.doubts == ()
    assert whole.search is not None and (whole.search.name, whole.search.share) == ("the whole scan", 1.0)
    assert found.search is not None and found.search.name == "the organs' box"
    assert found.search.share < 0.5 and asked < asked_of_whole / 2
    assert all(
        box.start <= organ.start and box.stop >= organ.stop for box, organ in zip(found.search.box, LIVER, strict=True)
    )
    assert set(found.seconds) == {"coarse", "resample", "network"} and set(whole.seconds) == {"resample", "network"}


def test_an_organ_that_is_not_found_has_the_whole_body_computed() -> None:
    scan = scan_of((LIVER, LIVER_HU))
    found, asked = segment(scan)
    assert found.doubts == ("organ 2 not found in the organs' box: searched again, in more.",)
    assert found.search is not None and found.search.name == "the body's box"
    assert asked > found.search.windows  # the first search is counted too
    np.testing.assert_array_equal(found.label_DHW, segment(scan, coarse=False)[0].label_DHW)


def test_an_organ_that_goes_on_beyond_the_box_is_followed() -> None:
    """Too thin to be seen at twice the spacing, a vessel leaves the liver for the feet."""
    vessel = (slice(4, 26), slice(18, 19), slice(15, 16))
    scan = scan_of((LIVER, LIVER_HU), (SPLEEN, SPLEEN_HU), (vessel, 120))
    found, _ = segment(scan)
    assert found.doubts == ("organ 1 reach the edge of the organs' box: searched again, in more.",)
    assert (found.label_DHW[vessel] == 1).all()
    np.testing.assert_array_equal(found.label_DHW, segment(scan, coarse=False)[0].label_DHW)


@pytest.mark.parametrize("thick_mm", [5, 8, 16])
def test_an_organ_that_goes_on_beyond_the_box_is_followed_in_thick_slices_too(thick_mm: int) -> None:
    """Where a box ends, the middle of the last slice in it may be farther from its face than the edge is wide."""
    for liver_mm in range(80, 150, 12):
        feet, low, high = (round(mm / thick_mm) for mm in (10, liver_mm, liver_mm + 50))
        hu_DHW = np.full((256 // thick_mm, *SIZE[1:]), -1000, np.float32)
        hu_DHW[1:-1, *BODY[1:]] = 0
        hu_DHW[low:high, *LIVER[1:]] = LIVER_HU
        hu_DHW[low + 1 : high, *SPLEEN[1:]] = SPLEEN_HU
        hu_DHW[feet:low, 18, 15] = 120  # a vessel, too thin to be seen at twice the spacing
        scan = noisy(hu_DHW, thick_mm)
        (found, _), (whole, _) = segment(scan), segment(scan, coarse=False)
        np.testing.assert_array_equal(found.label_DHW, whole.label_DHW)


def test_the_edge_of_a_box_holds_a_slice_however_thick() -> None:
    """Of 16 slices over 64 voxels the middles are 2, 6, 10 …: in 11 to 38 lie those of the slices 3 to 8."""
    search = Search((slice(11, 38), slice(0, 48), slice(0, 48)), SIZE, "a box", (1, 1, 1), 1, 1)
    assert list(search.inner_edges((16, 48, 48))) == [(0, slice(3, 4)), (0, slice(8, 9))]
    assert list(search.inner_edges(SIZE)) == [(0, slice(11, 12)), (0, slice(37, 38))]


def test_an_organ_at_the_edge_of_the_body_s_box_has_the_whole_scan_computed() -> None:
    """A plate as thin as a table's is no body; a network that sees an organ in it is asked about everything."""
    plate = (slice(0, 64), slice(0, 2), slice(0, 48))
    joined = (slice(30, 32), slice(0, 14), slice(12, 14))
    found, _ = segment(scan_of((LIVER, LIVER_HU), (SPLEEN, SPLEEN_HU), (plate, 150), (joined, 150)))
    assert found.search is not None and found.search.name == "the whole scan"
    assert (found.label_DHW[30:32, 0:2] == 1).all()


def test_where_the_look_sees_nothing_all_of_the_body_is_computed() -> None:
    scan = scan_of(((slice(30, 31), slice(20, 21), slice(20, 21)), 350))  # a single voxel, gone at twice the spacing
    found, _ = segment(scan)
    assert found.search is not None and found.search.name == "the body's box" and found.doubts == ()
    assert found.label_DHW[30, 20, 20] == 2


def test_only_the_organs_that_are_asked_for_come_out_and_cost() -> None:
    scan = scan_of((LIVER, LIVER_HU), (SPLEEN, SPLEEN_HU))
    (both, asked_of_both), (one, asked) = segment(scan), segment(scan, organs={"organ 2"})
    np.testing.assert_array_equal(one.label_DHW, np.where(both.label_DHW == 2, 2, 0))
    assert [each.name for each in one.classes] == ["organ 2"]
    assert one.volumes_ml == {"organ 2": both.volumes_ml["organ 2"]}  # nothing is said of the liver
    assert asked < asked_of_both
    np.testing.assert_array_equal(one.label_DHW, segment(scan, organs={"organ 2"}, coarse=False)[0].label_DHW)


@pytest.mark.parametrize(
    ("names", "message"), [({"liver"}, "knows no liver: choose among organ 1"), (set(), "no organ")]
)
def test_an_unknown_organ_is_refused(names: set[str], message: str) -> None:
    with pytest.raises(UnknownOrganError, match=message):
        segment(scan_of((LIVER, LIVER_HU)), organs=names)


def test_the_bodys_box_leaves_out_air_and_a_table() -> None:
    table = (slice(0, 64), slice(1, 3), slice(0, 48))
    volume = scan_of((table, 0)).volume
    box = body_box(volume, SIZE)
    assert all(inside.start <= part.start and part.stop <= inside.stop for inside, part in zip(box, BODY, strict=True))
    assert box == (slice(0, 64), slice(4, 44), slice(4, 44))  # the body, and a block of 4 voxels around its blocks


def test_a_scan_without_a_body_is_taken_whole() -> None:
    hu_DHW = np.full((20, 20, 20), -1000, np.int16)
    assert body_box(Volume(hu_DHW, (1.0, 1.0, 1.0)), (20, 20, 20)) == (slice(0, 20),) * 3
