"""Serve the app as ``streamlit run`` does, on a port of its own."""

import os
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

from patience import wait_until

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class App:
    """A server of the app; called with a page and its parameters it gives an address."""

    port: int
    pid: int

    def __call__(self, name: str = "", **parameters: str) -> str:
        return f"http://127.0.0.1:{self.port}/{name}?{urlencode(parameters)}"


def free_port() -> int:
    """A port that nothing listens on at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def served(
    workspace: Path,
    *options: str,
    port: int | None = None,
    environment: Mapping[str, str] | None = None,
    script: Path = ROOT / "dashboard" / "app.py",
) -> Iterator[App]:
    """Serve the app while the context is open.

    Args:
        options: of ``streamlit run``.
        port: one of its own where none is given.
        script: another app, to compare with.
    """
    port = port or free_port()
    command = [sys.executable, "-m", "streamlit", "run", str(script), f"--server.port={port}"]
    settings = {**os.environ, "AUTOSAM_WORKSPACE": str(workspace), **(environment or {})}
    server = subprocess.Popen([*command, *options], cwd=ROOT, env=settings, stdout=subprocess.DEVNULL)
    try:
        _wait_for(server, f"http://127.0.0.1:{port}/_stcore/health")
        yield App(port, server.pid)
    finally:
        server.terminate()
        server.wait(timeout=30)


def _wait_for(server: subprocess.Popen[bytes], address: str) -> None:
    def answers() -> bool:
        assert server.poll() is None, "the app's server ended by itself"
        with suppress(OSError), urllib.request.urlopen(address, timeout=5):  # our own address
            return True
        return False

    wait_until(answers, every_s=0.2)
