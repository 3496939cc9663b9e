"""``ray_cluster.yaml``'s autoscaler at work: machines come for a job that needs them, and go when it is done.

Ray's fake provider stands in for AWS and starts each node as processes of this machine. It is given the types of nodes
with their limits; a node has a core in place of its GPUs, and nothing is installed on it.
"""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from kill_loop import Scene
from patience import wait_until
from ray_head import Head, listed_nodes, ray_head

from autosam_platform.workspace import Workspace

ROOT = Path(__file__).parents[2]
_HEAD_TYPE = "ray.head.default"  # the fake provider's only name for it


def _in_small(described: dict[str, Any]) -> dict[str, Any]:
    """The cluster with nodes of one core, of which an idle one goes after seconds; what AWS alone needs is left out."""
    types = {name: {**each, "resources": {"CPU": 1}, "node_config": {}} for name, each in _types(described).items()}
    types[_HEAD_TYPE] = types.pop(described["head_node_type"])
    kept = {name: described[name] for name in ("cluster_name", "max_workers")}
    provider = {"type": "fake_multinode", "use_node_id_as_ip": True}
    provider |= {"disable_node_updaters": True, "disable_launch_config_check": True}
    kinds = ("initialization", "setup", "head_setup", "worker_setup", "head_start_ray", "worker_start_ray")
    empty = [*(f"{each}_commands" for each in kinds), "cluster_synced_files", "rsync_exclude", "rsync_filter"]
    return kept | {
        **{name: [] for name in empty},
        **{"docker": {}, "auth": {}, "file_mounts": {}, "file_mounts_sync_continuously": False},
        **{"upscaling_speed": 1.0, "idle_timeout_minutes": 0.2, "provider": provider},
        **{"head_node_type": _HEAD_TYPE, "available_node_types": types},
    }


def _types(described: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return described["available_node_types"]


def _others(head: Head, state: str) -> set[str]:
    nodes = listed_nodes(head.dashboard)
    return {node["node_id"] for node in nodes if not node["is_head_node"] and node["state"] == state}


@pytest.mark.machines
def test_a_machine_comes_for_a_job_and_goes_when_it_is_idle(tmp_path: Path) -> None:
    described = yaml.safe_load((ROOT / "ray_cluster.yaml").read_text())
    assert [each["min_workers"] for each in _types(described).values()] == [0, 0]
    scene = Scene.write(tmp_path)
    workspace = Workspace(tmp_path / "workspace")
    # Two workers of a core each, and the head has one.
    words = [str(ROOT / "jobs" / "train_teacher.py"), "--recipe", scene.recipe]
    words += ["--compute.workers", "2", "--compute.wait-for-nodes"]
    with ray_head(cpus=1, scaling=_in_small(described)) as head:
        assert not _others(head, "ALIVE") | _others(head, "DEAD")
        submit = [sys.executable, "-m", "ray.scripts.scripts", "job", "submit", "--address", head.dashboard]
        submit += ["--runtime-env-json", f'{{"env_vars": {{"AUTOSAM_WORKSPACE": "{workspace}"}}}}']
        with (tmp_path / "job.log").open("w") as log:
            job = subprocess.Popen([*submit, "--", sys.executable, *words], stdout=log, stderr=subprocess.STDOUT)
        seen: set[str] = set()

        def ended() -> bool:
            seen.update(_others(head, "ALIVE"))
            return job.poll() is not None

        wait_until(ended, every_s=0.5)
        assert job.returncode == 0, (tmp_path / "job.log").read_text()
        assert len(seen) == 1, "one further machine was needed, and no more came"
        wait_until(lambda: _others(head, "DEAD") == seen, every_s=0.5)
    (run,) = workspace.finished_runs
    assert run.name.startswith("tiny-")
