"""Commands to copy: what they tell, and that they work where the app's surroundings are lacking."""

import os
import subprocess

import pytest

from dashboard.components.base.terminal import in_terminal

SERVER = "MLFLOW_TRACKING_URI"


def _run(command: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.defpath} | variables
    return subprocess.run(["sh", "-c", command], cwd="/", env=environment, capture_output=True, text=True)


@pytest.mark.usefixtures("empty")
@pytest.mark.parametrize(
    "server",
    ["postgresql://user:secret@host/db", "postgresql://user:s/e#c@secret@host", "http://host:5000?password=secret"],
)
def test_a_password_of_the_record_of_runs_is_not_shown(monkeypatch: pytest.MonkeyPatch, server: str) -> None:
    """The command takes the terminal's own value; without one it stops, since the record would go elsewhere."""
    monkeypatch.setenv(SERVER, server)
    command = in_terminal(["printenv", SERVER])
    assert "secret" not in command and "user" not in command
    assert _run(command, **{SERVER: server}).stdout == f"{server}\n"
    refused = _run(command)
    assert refused.returncode != 0 and not refused.stdout
    assert f"{SERVER}: set it first" in refused.stderr


@pytest.mark.usefixtures("empty")
@pytest.mark.parametrize("server", ["http://host:5000", "sqlite:////our work/mlflow.db"])
def test_a_place_without_a_password_stands_in_the_command(monkeypatch: pytest.MonkeyPatch, server: str) -> None:
    monkeypatch.setenv(SERVER, server)
    assert _run(in_terminal(["printenv", SERVER])).stdout == f"{server}\n"
