"""Cores that were reserved for workers that never come are free again; those of a living one stay."""

import pytest
import ray
from ray.util.placement_group import PlacementGroup, placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from autosam_platform.tuning import leftovers
from autosam_platform.tuning.leftovers import Leftovers


@ray.remote(num_cpus=1)
class Worker:
    def ping(self) -> bool:
        return True


@pytest.fixture
def reserved(ray_local: str) -> tuple[PlacementGroup, PlacementGroup]:
    """A core with a worker and a core without."""
    groups = placement_group([{"CPU": 1}]), placement_group([{"CPU": 1}])
    ray.get([group.ready() for group in groups])
    return groups


def _state(group: PlacementGroup) -> str:
    return str(ray.util.placement_group_table(group)["state"])


def test_what_nobody_uses_is_given_back_after_a_while(
    reserved: tuple[PlacementGroup, PlacementGroup], monkeypatch: pytest.MonkeyPatch
) -> None:
    used, empty = reserved
    worker = Worker.options(scheduling_strategy=PlacementGroupSchedulingStrategy(used)).remote()
    assert ray.get(worker.ping.remote())
    monkeypatch.setattr(leftovers, "_LOOK_SECONDS", 0.0)
    ours = Leftovers()
    ours.look()
    assert _state(used) == _state(empty) == "CREATED", "its worker may be on its way"
    monkeypatch.setattr(leftovers, "_EMPTY_SECONDS", 0.0)
    ours.look()
    assert (_state(used), _state(empty)) == ("CREATED", "REMOVED")
    ray.kill(worker)
    ours.give_back_all()
    assert _state(used) == "REMOVED"
