"""A head and a worker as two machines on one: network namespaces with a switch between, and folders of their own.

Each has one core for Ray, a name, an address, its own folder for Ray, and does not see the project's packages, so that
code comes to it with a job or not at all. Python's environment and a workspace are shared, as a cluster's file system
has them. This process is a third machine, from which jobs are sent. Linux, as root.
"""

import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from patience import HANG_S, wait_until
from ray_head import listed_nodes

ROOT = Path(__file__).parents[2]
PACKAGES = ("platform", "models", "jobs", "dashboard")


class NoNamespacesError(RuntimeError):
    """They are not allowed here; the message says by whom."""


@dataclass(frozen=True)
class Machine:
    """One of them.

    Attributes:
        name: of its namespace, and its host name.
        port: of the switch that its cable is in.
        hidden: folders that it does not have.
    """

    name: str
    address: str
    port: str
    hidden: Sequence[Path]

    def start(self, command: Sequence[object], environment: dict[str, str], log: Path) -> subprocess.Popen[bytes]:
        """Start a command on it."""
        hiding = "".join(f"mount -t tmpfs none '{path}'; " for path in self.hidden)
        inside = ["unshare", "--uts", "sh", "-ec", f'hostname {self.name}; {hiding}exec "$@"', "sh"]
        words = ["ip", "netns", "exec", self.name, *inside, *map(str, command)]
        with log.open("ab") as out:
            return subprocess.Popen(words, env=environment, stdout=out, stderr=out, start_new_session=True)

    def kill(self) -> None:
        """Its power goes: every process on it ends at once."""
        while pids := _ip("netns", "pids", self.name).split():
            subprocess.run(["kill", "-9", *pids], capture_output=True, check=False)

    def alive(self) -> bool:
        """Does anything run on it?"""
        return bool(_ip("netns", "pids", self.name).split())

    def plug(self, connected: bool) -> None:
        """Put its cable into the switch, or pull it."""
        _ip("link", "set", self.port, "up" if connected else "down")


@dataclass
class Cluster:
    """Ray on both.

    Attributes:
        folder: for logs and the token.
        environment: of every command.
        temporary: Ray's own folder, of which each has its own.
    """

    head: Machine
    worker: Machine
    folder: Path
    environment: dict[str, str]
    temporary: Path

    @property
    def dashboard(self) -> str:
        """Where jobs are sent to."""
        return f"http://{self.head.address}:8265"

    def start_head(self) -> None:
        """Start the head, and wait until it takes jobs."""
        self._ray("--head", f"--dashboard-host={self.head.address}", f"--temp-dir={self.temporary}", on=self.head)
        wait_until(self.nodes, every_s=0.5)

    def start_worker(self) -> None:
        """Start the worker, and wait until it has joined."""
        known = self.nodes().keys()  # one that has died counts as alive until the head has noticed
        self._ray(f"--address={self.head.address}:6379", on=self.worker)
        wait_until(lambda: self.nodes().keys() - known, every_s=0.5)

    def _ray(self, *options: str, on: Machine) -> None:
        command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--block", "--num-cpus=1", *options]
        command += [f"--node-ip-address={on.address}", "--disable-usage-stats", "--object-store-memory=200000000"]
        on.start(command, self.environment, self.folder / f"{on.name}.log")

    def nodes(self) -> dict[str, str]:
        """Addresses of the nodes that the head believes alive, by their ids; none where it does not answer."""
        listed = listed_nodes(self.dashboard, Path(self.environment["RAY_AUTH_TOKEN_PATH"]).read_text())
        return {each["node_id"]: each["node_ip"] for each in listed if each["state"] == "ALIVE"}

    def drain_worker(self, seconds: int) -> None:
        """Give the worker notice, as a cloud does before it takes a spot machine."""
        (node,) = (node for node, address in self.nodes().items() if address == self.worker.address)
        done = self._asked(
            *("drain-node", "--address", f"{self.head.address}:6379", "--node-id", node),
            *("--reason", "DRAIN_NODE_REASON_PREEMPTION", "--reason-message", "spot"),
            *("--deadline-remaining-seconds", str(seconds)),
        )
        assert done.returncode == 0, done.stdout + done.stderr

    def submit(self, project: Path, workspace: Path, *command: str) -> subprocess.Popen[str]:
        """Send a job from this process's machine, with the project; its log comes out."""
        words = [*_RAY, "job", "submit", "--address", self.dashboard, "--working-dir", str(project)]
        words += ["--runtime-env-json", json.dumps({"env_vars": {"AUTOSAM_WORKSPACE": str(workspace)}}), "--", *command]
        return subprocess.Popen(
            words, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=project
        )

    def _asked(self, *words: str) -> subprocess.CompletedProcess[str]:
        command = [*_RAY, *words]
        return subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=HANG_S)


_RAY = (sys.executable, "-m", "ray.scripts.scripts")


@contextmanager
def two_machines(folder: Path) -> Iterator[Cluster]:
    """Both with Ray running, and nothing of them afterwards.

    Args:
        folder: for their logs and the token.

    Raises:
        NoNamespacesError: they are not to be had here.
    """
    if sys.platform != "linux" or os.geteuid() != 0 or not (shutil.which("ip") and shutil.which("unshare")):
        raise NoNamespacesError("two machines need Linux, root, and the commands ip (iproute2) and unshare")
    mark, net = secrets.token_hex(2), f"10.213.{secrets.randbelow(256)}"
    token = folder / "token"
    token.write_text(secrets.token_hex(32))
    token.chmod(0o600)
    settings = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "PYTHONPATH"))}
    settings |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(token)}
    settings["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{settings['PATH']}"
    hidden = [ROOT / each for each in PACKAGES]
    head = Machine(f"as{mark}h", f"{net}.1", f"as{mark}p1", hidden)
    temporary = Path(tempfile.mkdtemp(prefix="ray-", dir="/tmp"))  # its sockets need a short path
    worker = Machine(f"as{mark}w", f"{net}.2", f"as{mark}p2", [*hidden, temporary])
    cluster = Cluster(head, worker, folder, settings, temporary)
    machines, switch = (cluster.head, cluster.worker), f"as{mark}b"
    try:
        _connect(machines, switch, f"{net}.254/24")
        cluster.start_head()
        cluster.start_worker()
        yield cluster
    finally:
        for each in machines:
            with suppress(RuntimeError):  # where it was not made
                each.kill()
                _ip("netns", "del", each.name)
            shutil.rmtree(Path("/etc/netns") / each.name, ignore_errors=True)
        with suppress(RuntimeError):
            _ip("link", "del", switch)
        shutil.rmtree(cluster.temporary, ignore_errors=True)


def _connect(machines: Sequence[Machine], switch: str, own: str) -> None:
    """A switch, this process's own address on it, and a cable to each machine, which knows the others by name."""
    try:
        _ip("link", "add", switch, "type", "bridge")
        _ip("addr", "add", own, "dev", switch)
        _ip("link", "set", switch, "up")
        for each in machines:
            _ip("netns", "add", each.name)
            _ip("link", "add", each.port, "type", "veth", "peer", "name", "eth0", "netns", each.name)
            _ip("link", "set", each.port, "master", switch, "up")
            _ip("-n", each.name, "addr", "add", f"{each.address}/24", "dev", "eth0")
            _ip("-n", each.name, "link", "set", "lo", "up")
            _ip("-n", each.name, "link", "set", "eth0", "up")
            place = Path("/etc/netns") / each.name
            place.mkdir(parents=True)
            (place / "hosts").write_text("".join(f"{other.address} {other.name}\n" for other in machines))
    except RuntimeError as error:
        raise NoNamespacesError(str(error)) from error


def _ip(*words: str) -> str:
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"ip {' '.join(words)}: {done.stderr.strip()}")
    return done.stdout
