"""What a process may still take, where containers set limits."""

from pathlib import Path

import pytest

from autosam_platform import measure

GB = 10**9


def _cgroup(folder: Path, limit: int | str, used: int, cached: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "memory.max").write_text(f"{limit}\n")
    (folder / "memory.current").write_text(f"{used}\n")
    (folder / "memory.stat").write_text(f"anon {used - cached}\nfile {cached}\ninactive_file {cached}\nactive_file 0\n")


def _free(folder: Path, membership: str) -> list[int]:
    (folder / "membership").write_text(membership)
    return measure._free_in_containers(folder / "membership", folder / "mount")


def test_pages_of_files_that_were_read_are_free(tmp_path: Path) -> None:
    """As after a preparation that has read 30 GB in a container of 32 GB."""
    _cgroup(tmp_path / "mount", 32 * GB, used=31 * GB, cached=30 * GB)
    assert _free(tmp_path, "0::/\n") == [31 * GB]


def test_limits_around_a_container_hold_for_it_too(tmp_path: Path) -> None:
    """A job of a batch system: its own step has more left than the job that it is a part of."""
    job = tmp_path / "mount" / "slurm" / "job_1"
    _cgroup(job / "step_0", 16 * GB, used=2 * GB, cached=0)
    _cgroup(job, 8 * GB, used=6 * GB, cached=1 * GB)
    _cgroup(job.parent, "max", used=100 * GB, cached=0)
    _cgroup(tmp_path, 1 * GB, used=1 * GB, cached=0)  # no cgroup: beside the folder of them
    assert _free(tmp_path, "4:memory:/other\n0::/slurm/job_1/step_0\n") == [14 * GB, 3 * GB]


@pytest.mark.parametrize("membership", ["0::/not/mounted/here\n", "0::/../outside\n", "4:memory:/of/version/1\n"])
def test_a_container_that_sees_only_its_own_cgroup_has_its_limit(tmp_path: Path, membership: str) -> None:
    _cgroup(tmp_path / "mount", 2 * GB, used=3 * GB, cached=0)
    assert _free(tmp_path, membership) == [0]


def test_without_limits_nothing_is_said_of_them(tmp_path: Path) -> None:
    assert _free(tmp_path, "0::/\n") == []
    assert measure._free_in_containers(tmp_path / "none", tmp_path) == []
