"""Who computes which places of a batch, by hand."""

import pytest

from autosam_platform.training.sampling import EpochSampler


def _sampler(rank: int, world: int) -> EpochSampler:
    """13 places in three shares of two: two whole batches of six."""
    return EpochSampler(13, batch=2, shares=3, rank=rank, world=world, at_once=1)


def test_each_of_all_workers_has_its_own_share() -> None:
    assert [list(_sampler(rank, 3)) for rank in range(3)] == [[0, 1, 6, 7], [2, 3, 8, 9], [4, 5, 10, 11]]
    assert _sampler(0, 3).steps == 2


def test_fewer_workers_take_over_the_shares_of_those_that_are_away() -> None:
    assert list(_sampler(0, 2)) == [0, 1, 4, 5, 6, 7, 10, 11]
    assert list(_sampler(1, 2)) == [2, 3, 8, 9]
    assert list(_sampler(0, 1)) == list(range(12))
    assert [len(_sampler(rank, 2)) for rank in range(2)] == [8, 4]


def test_parts_begin_where_the_loader_cuts() -> None:
    sampler = EpochSampler(24, batch=4, shares=2, rank=0, world=1, at_once=2)
    assert sampler.parts(1) == [8, 10, 12, 14]
    sampler.first_step = 2
    assert list(sampler) == list(range(16, 24))


def test_more_workers_than_shares_are_refused() -> None:
    with pytest.raises(ValueError, match="3 workers cannot share 2"):
        EpochSampler(8, batch=1, shares=2, rank=0, world=3, at_once=1)
