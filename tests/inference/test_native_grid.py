"""Labels on the scan's grid, slice by slice, against interpolating the whole volume at once."""

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from autosam_inference.native_grid import Part, labels_on_grid, native_range
from autosam_inference.sliding_window import Slab


def cut(logits_KDHW: Tensor, thickness: int) -> list[Slab]:
    depth = logits_KDHW.shape[1]
    starts = range(0, depth, thickness)
    return [Slab(at, min(at + thickness, depth), logits_KDHW[:, at : at + thickness]) for at in starts]


@pytest.mark.parametrize("thickness", [1, 2, 3, 5, 100])
@pytest.mark.parametrize("native", [(7, 6, 5), (20, 13, 9), (19, 6, 5), (3, 4, 11), (1, 1, 1), (40, 12, 10)], ids=str)
def test_any_slab_thickness_equals_the_whole_volume_at_once(native: tuple[int, int, int], thickness: int) -> None:
    logits_KDHW = torch.randn(5, 7, 6, 5, generator=torch.Generator().manual_seed(3))
    whole_KDHW = F.interpolate(logits_KDHW[None], size=native, mode="trilinear", align_corners=False)[0]

    label_DHW = labels_on_grid(cut(logits_KDHW, thickness), 7, native)

    assert label_DHW.dtype == np.uint8
    np.testing.assert_array_equal(label_DHW, whole_KDHW.argmax(0).numpy())
    slabs = [Slab(slab.start, slab.stop, slab.logits_KDHW.numpy()) for slab in cut(logits_KDHW, thickness)]
    np.testing.assert_array_equal(labels_on_grid(slabs, 7, native), label_DHW)


@pytest.mark.parametrize("native", [(7, 6, 5), (20, 13, 9), (3, 4, 11), (40, 31, 23)], ids=str)
def test_blocks_of_one_class_are_not_interpolated_and_right(native: tuple[int, int, int]) -> None:
    # Coarse random classes with a clear lead: most cells have one class at all their corners.
    generator = torch.Generator().manual_seed(4)
    lead_KDHW = F.interpolate(torch.randn(1, 3, 2, 2, 2, generator=generator), size=(7, 16, 15), mode="trilinear")[0]
    logits_KDHW = lead_KDHW + 0.01 * torch.randn(3, 7, 16, 15, generator=generator)
    whole_KDHW = F.interpolate(logits_KDHW[None], size=native, mode="trilinear", align_corners=False)[0]
    np.testing.assert_array_equal(labels_on_grid(cut(logits_KDHW, 3), 7, native), whole_KDHW.argmax(0).numpy())


@pytest.mark.parametrize("native", [(19, 15, 23), (40, 31, 60), (5, 6, 7)], ids=str)
def test_a_box_has_the_labels_of_the_whole_inside_and_background_around(native: tuple[int, int, int]) -> None:
    logits_KDHW = torch.randn(5, 12, 16, 20, generator=torch.Generator().manual_seed(3))
    whole_DHW = labels_on_grid(cut(logits_KDHW, 4), 12, native)
    box = (slice(0, 9), slice(3, 16), slice(5, 17))
    parts = [Part(each.start, each.stop, n) for each, n in zip(box, (12, 16, 20), strict=True)]
    found_DHW = labels_on_grid(cut(logits_KDHW[:, *box], 4), 9, native, (parts[0], parts[1], parts[2]))
    inside = [native_range(part, n) for part, n in zip(parts, native, strict=True)]
    outside_DHW = found_DHW.copy()
    outside_DHW[tuple(inside)] = 0
    assert not outside_DHW.any()
    # At a face the whole is interpolated with what the box has not: an own voxel less, where the box is cut.
    inner = tuple(
        slice(
            part.start + -(-n // part_of.of) * (part_of.start > 0),
            part.stop - -(-n // part_of.of) * (part_of.stop < part_of.of),
        )
        for part, part_of, n in zip(inside, parts, native, strict=True)
    )
    assert found_DHW[inner].size
    np.testing.assert_array_equal(found_DHW[inner], whole_DHW[inner])


def test_parts_of_an_axis_share_its_native_voxels_out_without_a_gap() -> None:
    for of, native in ((7, 7), (5, 13), (13, 5), (100, 3)):
        ranges = [native_range(Part(start, start + 1, of), native) for start in range(of)]
        assert [n for each in ranges for n in range(each.start, each.stop)] == list(range(native))


def test_values_by_hand() -> None:
    # One row along the depth: class 1 minus class 0 is -1, +3. Four native slices lie at -0.25 (held at the
    # edge), 0.25, 0.75 and 1.25 (held): the differences there are -1, -1 + 4 × 0.25 = 0, 2 and 3.
    # The tie at 0 goes to the lower id.
    difference = torch.tensor([-1.0, 3.0])
    logits_KDHW = torch.stack([torch.zeros(2), difference]).reshape(2, 2, 1, 1)
    label_DHW = labels_on_grid(cut(logits_KDHW, 1), 2, (4, 1, 1))
    assert label_DHW.flatten().tolist() == [0, 0, 1, 1]


def test_slabs_with_a_gap_or_an_early_end_are_refused() -> None:
    slabs = cut(torch.zeros(2, 6, 2, 2), 2)
    with pytest.raises(ValueError, match="begins at slice 4"):
        labels_on_grid([slabs[0], slabs[2]], 6, (6, 2, 2))
    with pytest.raises(ValueError, match="end at slice 4 of 6"):
        labels_on_grid(slabs[:2], 6, (6, 2, 2))
