"""ray_cluster.yaml on this machine: Ray's own autoscaler starts a node for a job, and ends it afterwards.

The file is the project's, with Ray's fake provider in place of the cloud and nodes of one core.
"""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from kill_loop import ROOT, Scene
from patience import HANG_S, wait_until
from ray_head import listed_nodes, ray_head

HEAD = "ray.head.default"  # the fake provider knows it by this name


def _small() -> dict[str, Any]:
    cluster = yaml.safe_load((ROOT / "ray_cluster.yaml").read_text(encoding="utf-8"))
    types = cluster["available_node_types"]
    types[HEAD] = types.pop(cluster["head_node_type"])
    for each in types.values():
        each |= {"resources": {"CPU": 1}, "node_config": {}}
    commands = {key: [] for key in [*cluster, "initialization_commands"] if key.endswith("_commands")}
    changes = {
        **{"provider": {"type": "fake_multinode"}, "head_node_type": HEAD, "idle_timeout_minutes": 0.1},
        **{"file_mounts": {}, "cluster_synced_files": [], "file_mounts_sync_continuously": False, "auth": {}},
    }
    return cluster | commands | changes


def _nodes(dashboard: str) -> list[str]:
    return sorted(each["state"] for each in listed_nodes(dashboard))


@pytest.mark.usefixtures("ray_of_its_own")
def test_a_node_comes_for_a_job_and_goes_after_it(tmp_path: Path) -> None:
    scene, workspace = Scene.write(tmp_path / "scene"), tmp_path / "workspace"
    (tmp_path / "cluster.yaml").write_text(yaml.safe_dump(_small()))
    asked = {"RAY_FAKE_CLUSTER": "1", "AUTOSCALER_UPDATE_INTERVAL_S": "1", "RAY_AUTH_MODE": "disabled"}
    with ray_head(f"--autoscaling-config={tmp_path / 'cluster.yaml'}", cores=1, **asked) as head:
        environment = os.environ | {"AUTOSAM_WORKSPACE": str(workspace), "RAY_ADDRESS": head.address}
        environment["RAY_AUTH_MODE"] = "disabled"
        command = [sys.executable, ROOT / "jobs" / "train_teacher.py", "--recipe", scene.recipe]
        command += ["--compute.workers", "2", "--training.epochs", "1", "--training.warmup-epochs", "0"]
        command += ["--compute.wait-for-nodes"]
        assert _nodes(head.dashboard) == ["ALIVE"]
        done = subprocess.run(
            [str(each) for each in command], env=environment, capture_output=True, text=True, timeout=HANG_S
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert "2 worker(s) want 2 CPUs and the cluster has 1: waiting for nodes to join" in done.stdout
        assert "2 worker(s) on cpu" in done.stdout
        wait_until(lambda: _nodes(head.dashboard) == ["ALIVE", "DEAD"], every_s=0.5)
