"""Who computes which places of a batch, by hand; and that there is a batch to compute."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from several_sources import described

from autosam_platform.data.prepared import PreparedDataset
from autosam_platform.experiment import Experiment
from autosam_platform.training.fitting import Runner, TrainingStopped, fit
from autosam_platform.training.sampling import EpochSampler, NoStepError
from autosam_platform.workspace import Workspace


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


def test_an_epoch_that_fills_no_batch_is_refused() -> None:
    assert EpochSampler(32, batch=4, shares=8, rank=0, world=1, at_once=4).steps == 1
    with pytest.raises(
        NoStepError, match=r"31 patch\(es\) does not fill a batch of 32 .*patches-per-case, or lower --tr"
    ):
        EpochSampler(31, batch=4, shares=8, rank=0, world=1, at_once=4)


class _Touched(Exception):
    """The runner was asked."""


class _Untouched:
    """A runner that is not to be asked for anything."""

    def with_resources(self, experiment: Experiment) -> Experiment:
        raise _Touched


def _fit(folder: Path, cases: int, **changes: Any) -> None:
    """On a dataset of which only the number of training cases is known."""
    training = [SimpleNamespace(case_id=str(number)) for number in range(cases)]
    description = described(folder, sources=[], layout="btcv")
    prepared = SimpleNamespace(fingerprint="0" * 16, description=description, cases=lambda _: training)
    experiment = Experiment.model_validate(changes)
    fit(experiment, cast(PreparedDataset, prepared), Workspace(folder), runner=cast(Runner, _Untouched()), quiet=True)


@pytest.mark.parametrize(
    ("cases", "batch", "workers", "told"),
    [
        (10, 16, 1, r"10 training case\(s\) with 1 .* batch of 16 "),
        (24, 4, 8, r"batch of 32 \(--training.batch 4 on 8 w"),
    ],
)
def test_a_fit_that_would_make_no_step_is_refused_before_its_workers_start(
    tmp_path: Path, cases: int, batch: int, workers: int, told: str
) -> None:
    changes = {"training": {"batch": batch}, "compute": {"workers": workers}}
    with pytest.raises(TrainingStopped, match=f"{told}.*patches-per-case to 2, or lower --training.batch or --compute"):
        _fit(tmp_path, cases, **changes)
    with pytest.raises(_Touched):
        _fit(tmp_path, cases, **changes | {"training": {"batch": batch, "patches_per_case": 2}})


def test_what_trains_nothing_needs_no_step(tmp_path: Path) -> None:
    as_it_is = {"name": "sam_demo", "patch_DHW": (1, 128, 128), "options": {"tune": "none"}}
    with pytest.raises(_Touched):
        _fit(tmp_path, 3, model=as_it_is, training={"batch": 16})
