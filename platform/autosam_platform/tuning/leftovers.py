"""Cores that Ray keeps for workers which will never come, given back.

A trial that is stopped early has its Ray Train killed, workers first. What steers them notices that they died, and in
its last moment may reserve cores for new ones; nobody knows of that reservation, and it lasts as long as the sweep's
job (docs/log.md, 2026-11-26). On a small machine the next trial, or the evaluation, then waits for ever.
"""

import time

import ray
import ray.util
from ray.util.placement_group import PlacementGroup
from ray.util.state import list_actors
from ray.util.state.exception import RayStateApiException

_LOOK_SECONDS = 10.0
_EMPTY_SECONDS = 60.0  # a reservation whose workers are on their way is as long without any at most


class Leftovers:
    """Reservations of this job that nobody uses."""

    def __init__(self) -> None:
        self._looked = time.monotonic()
        self._empty_since: dict[str, float] = {}

    def look(self) -> None:
        """Give back what has been without a worker for a minute; asked often, it looks now and then."""
        now = time.monotonic()
        if now - self._looked < _LOOK_SECONDS:
            return
        self._looked = now
        reserved = _reserved()
        used = _used() if reserved else set()
        if used is None:
            return
        self._empty_since = {each: self._empty_since.get(each, now) for each in reserved - used}
        _give_back({each for each, since in self._empty_since.items() if now - since > _EMPTY_SECONDS})

    def give_back_all(self) -> None:
        """When all trials have ended, none of their reservations is needed."""
        _give_back(_reserved())


def _reserved() -> set[str]:
    job = ray.get_runtime_context().get_job_id()
    table = ray.util.placement_group_table()
    return {name for name, group in table.items() if name.endswith(job) and group["state"] == "CREATED"}


def _used() -> set[str] | None:
    """Reservations in which an actor lives or is about to; ``None`` where Ray does not say."""
    try:
        here = ray.get_runtime_context().gcs_address  # of several on a machine, Ray's own choice would be none
        actors = list_actors(here, detail=True, limit=10_000, timeout=10, filters=[("state", "!=", "DEAD")])
    except (RayStateApiException, ConnectionError):
        return None
    return {actor.placement_group_id for actor in actors if actor.placement_group_id}


def _give_back(names: set[str]) -> None:
    for name in names:
        ray.util.remove_placement_group(PlacementGroup(ray.PlacementGroupID(bytes.fromhex(name))))
