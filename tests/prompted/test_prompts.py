"""Prompts: inside the organ, boxes around it, and the same whatever else is asked for before."""

import numpy as np
import pytest

from autosam_models.prompted.asking import Asking
from autosam_platform.prompted.prompts import box, points, prompt_of

MASK = np.zeros((12, 20), np.bool_)
MASK[4:7, 10:16] = True
MASK[9, 18] = True


@pytest.mark.parametrize("count", [1, 5, 19])
def test_points_lie_in_the_organ_and_differ(count: int) -> None:
    drawn = points(MASK, count, np.random.default_rng(0))
    assert drawn.shape == (count, 2)
    assert all(MASK[int(y), int(x)] for x, y in drawn)
    assert len({tuple(each) for each in drawn.tolist()}) == count  # of 19 pixels


def test_every_pixel_may_be_drawn_and_few_pixels_are_drawn_again() -> None:
    seen = {tuple(points(MASK, 1, np.random.default_rng(seed))[0].tolist()) for seed in range(300)}
    assert len(seen) == 19
    single = np.zeros((5, 5), np.bool_)
    single[3, 1] = True
    assert points(single, 3, np.random.default_rng(0)).tolist() == [[1, 3]] * 3


def test_a_box_is_around_all_parts_and_its_margins_end_with_the_slice() -> None:
    assert box(MASK, np.zeros(4, int)).tolist() == [[10, 4], [18, 9]]
    assert box(MASK, np.array([1, 2, 0, 1])).tolist() == [[9, 2], [18, 10]]
    assert box(MASK, np.full(4, 30)).tolist() == [[0, 0], [19, 11]]
    assert prompt_of(Asking(prompt="box", margin=2), MASK, "a", 3, 7).tolist() == [[8, 2], [19, 11]]


def test_a_prompt_hangs_on_seed_case_organ_and_slice_and_on_nothing_else() -> None:
    asking = Asking(points=3)
    told = [("a", 1, 0), ("a", 1, 1), ("a", 2, 0), ("b", 1, 0)]
    one = [prompt_of(asking, MASK, *each).tolist() for each in told]
    again = [prompt_of(asking, MASK, *each).tolist() for each in reversed(told)]
    assert one == again[::-1]
    other_seed = prompt_of(Asking(points=3, prompt_seed=1), MASK, *told[0]).tolist()
    assert len({str(each) for each in [*one, other_seed]}) == 5
