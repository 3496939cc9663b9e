"""Labels on the scan's grid, slice by slice, against interpolating the whole volume at once."""

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from autosam_inference.native_grid import labels_on_grid
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
