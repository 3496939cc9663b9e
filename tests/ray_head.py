"""A cluster as `ray start --head` makes it, on free ports and in a folder of its own."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from patience import wait_until
from ray.util import get_node_ip_address

_PORTS = ("--port", "--dashboard-port", "--dashboard-agent-listen-port", "--ray-client-server-port")


class Head(NamedTuple):
    """Where a cluster is: for drivers, and for its dashboard."""

    address: str
    dashboard: str


@contextmanager
def ray_head(cpus: int = 2, scaling: Mapping[str, Any] | None = None, **environment: str) -> Iterator[Head]:
    """Start a head. It ends with the block, and nothing else does.

    Args:
        scaling: a cluster's description, as `ray up` takes it, whose nodes are processes of this machine: Ray's fake
            provider.
    """
    folder = Path(tempfile.mkdtemp(prefix="ray-", dir="/tmp"))  # Ray's sockets need a short path
    ports = _free_ports(len(_PORTS))
    command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block", f"--num-cpus={cpus}"]
    if scaling is not None:
        # A node looks for the head at its usual port where it is not told another.
        provider = scaling["provider"] | {"gcs_address": f"{get_node_ip_address()}:{ports[0]}"}
        (folder / "cluster.yaml").write_text(json.dumps({**scaling, "provider": provider}))
        command.append(f"--autoscaling-config={folder / 'cluster.yaml'}")
        environment |= {"RAY_FAKE_CLUSTER": "1", "AUTOSCALER_UPDATE_INTERVAL_S": "1"}
    command += ["--disable-usage-stats", f"--temp-dir={folder}"]
    command += [f"{name}={port}" for name, port in zip(_PORTS, ports, strict=True)]
    settings = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")} | environment
    with (folder / "start.log").open("wb") as log:
        head = subprocess.Popen(command, env=settings, stdout=log, stderr=log, start_new_session=True)
    try:
        made = Head(f"127.0.0.1:{ports[0]}", f"http://127.0.0.1:{ports[1]}")
        token = environment.get("RAY_AUTH_TOKEN_PATH")
        _wait_for(head, made.dashboard, folder / "start.log", Path(token).read_text() if token else "")
        yield made
    finally:
        _end(head)
        shutil.rmtree(folder, ignore_errors=True)


def _end(head: subprocess.Popen[bytes]) -> None:
    """With all processes of the cluster; it would wait half a minute for workers whose driver was killed."""
    head.terminate()
    with suppress(subprocess.TimeoutExpired):
        head.wait(timeout=5)
    with suppress(ProcessLookupError):
        os.killpg(head.pid, signal.SIGKILL)
    head.wait(timeout=60)


def _free_ports(count: int) -> list[int]:
    with ExitStack() as held:
        probes = [held.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]


def _wait_for(head: subprocess.Popen[bytes], address: str, log: Path, token: str) -> None:
    def ready() -> bool:
        assert head.poll() is None, log.read_text()
        written = (log.parent / "ray_current_cluster").exists()  # the last that it writes
        return written and bool(listed_nodes(address, token))

    wait_until(ready, every_s=0.2)


def listed_nodes(address: str, token: str = "") -> list[dict[str, Any]]:
    """What a cluster's dashboard says of its nodes, dead ones too; nothing where it does not answer yet."""
    question = urllib.request.Request(f"{address}/api/v0/nodes")
    if token:
        question.add_header("Authorization", f"Bearer {token}")
    try:
        with urllib.request.urlopen(question, timeout=5) as answer:
            return json.load(answer)["data"]["result"]["result"]
    except OSError:
        return []
