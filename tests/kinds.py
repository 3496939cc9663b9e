"""Which tests stay together, and which are slow: read off their files and fixtures, so that none is forgotten.

`make test` shares the tests out to two processes, a file at a time, so that what its tests share is made once. All that
touches Ray is one group: two of Ray's clusters at a time want four cores, and each may take the other for its own.
"""

import functools
import re
from pathlib import Path

import pytest
from xdist.scheduler import LoadScopeScheduling

TESTS = Path(__file__).parent
RAY = ("ray_local", "ray_dashboard", "ray_of_its_own")
"""Fixtures of a test that touches Ray."""
_NAMES_RAY = re.compile(rf"\b({'|'.join(RAY)})\b")

SLOW_FILES = {
    "test_bundles_on_pages.py",
    "test_autosam_reference.py",
    "test_base_install.py",
    "test_benchmarks.py",
    "test_dashboard_pages.py",
    "test_database.py",
    "test_dice_regression.py",
    "test_estimate.py",
    "test_every_model.py",
    "test_export.py",
    "test_included_at_the_bedside.py",
    "test_launch_page.py",
    "test_memory.py",
    "test_mirrored_phantom.py",
    "test_pacs.py",
    "test_phantom.py",
    "test_phantom_body.py",
    "test_phantom_series.py",
    "test_predict_bundle.py",
    "test_predict_command.py",
    "test_predict_dicom.py",
    "test_predict_page.py",
    "test_published.py",
    "test_sam_import.py",
    "test_swin_attention.py",
    "test_tracking.py",
    "test_watch_killed.py",
    "test_watching.py",
}
"""Files without Ray or a browser that take more than about five seconds each."""


@functools.cache
def group_of(file: Path) -> str:
    """The group of a file's tests: "ray" where it names a fixture of Ray, "browser", or its own."""
    if _NAMES_RAY.search(file.read_text(encoding="utf-8")):
        return "ray"
    return "browser" if file.parent.name == "browser" else file.name


def begins(file: Path) -> int:
    """Sorts what takes longest to the beginning."""
    return {"ray": 0, "browser": 1}.get(group_of(file), 2)


def uses_ray(item: pytest.Item) -> bool:
    return not set(RAY).isdisjoint(getattr(item, "fixturenames", ()))


def is_slow(item: pytest.Item) -> bool:
    """Left out by `make test-quick`."""
    return uses_ray(item) or group_of(item.path) == "browser" or item.path.name in SLOW_FILES


class GroupScheduling(LoadScopeScheduling):
    """Gives a free process the next group, in the order of the tests.

    xdist's own --dist=loadgroup puts a group's name into the ids of its tests, which pytest 9.2 does not let it.
    """

    def __init__(self, config: pytest.Config, log: object) -> None:
        config.option.loadscopereorder = False
        super().__init__(config, log)
        self._root = config.rootpath

    def _split_scope(self, nodeid: str) -> str:
        return group_of(self._root / nodeid.partition("::")[0])
