"""Cluster, and how a cluster is found: none, a real one, one that is gone, one that asks for a token."""

import os
import secrets
import subprocess
import sys
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from example_runs import APP
from page_texts import texts
from patience import HANG_S
from ray_head import ray_head
from streamlit.testing.v1 import AppTest

from dashboard.components.base.terminal import in_terminal
from dashboard.components.jobs import ray_jobs
from dashboard.components.jobs.cluster_state import Node, nodes
from dashboard.components.jobs.cluster_state import _node as made_node
from dashboard.components.jobs.ray_jobs import NoClusterError, tail

Page = Callable[..., AppTest]
pytestmark = pytest.mark.usefixtures("empty")


def test_without_a_cluster_the_page_says_so_and_how_one_starts(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "http://127.0.0.1:9")
    app = page("cluster")
    assert not app.exception and not app.error
    assert "No Ray cluster runs (nobody answers at 127.0.0.1:9" in texts(app.info)
    assert "The other pages work without one" in texts(app.info)
    assert texts(app.code) == in_terminal(ray_jobs.START)


def test_nodes_and_what_runs_on_them_are_shown(page: Page, ray_dashboard: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", ray_dashboard)
    app = page("cluster")
    assert not app.exception and not app.error
    shown = {metric.label: metric.value for metric in app.metric}
    assert shown["Nodes"] == "1" and shown["Cores reserved"].endswith("of 2")
    (node,) = app.dataframe[0].value.to_dict("records")
    assert node["node"].endswith("(head)") and node["cores"].endswith("of 2") and node["memory"].endswith("GB")
    assert nodes(ray_dashboard)[0].cores[1] == 2


def test_a_gpus_load_and_memory_are_said() -> None:
    class Told:
        node_id, node_ip, is_head_node, resources_total = "a", "10.0.0.1", False, {"CPU": 8.0, "GPU": 2.0}

    gpu = {"name": "H100", "utilizationGpu": 97, "memoryUsed": 40100, "memoryTotal": 80000}
    measured = {"cpu": 12.5, "mem": [64e9, 48e9, 25.0, 15e9], "gpus": [gpu, gpu | {"utilizationGpu": None}]}
    node = made_node(Told(), measured, {"GPU": [1.0, 2.0]})
    devices = ("H100: 97 %, 40.1 of 80.0 GB", "H100: load unknown, 40.1 of 80.0 GB")
    assert node == Node("10.0.0.1", False, (0.0, 8.0), (1.0, 2.0), (16.0, 64.0), 12.5, devices)


def test_the_cluster_of_this_machine_is_found_by_what_ray_start_noted(
    ray_dashboard: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dashboard.components.jobs.ray_clients import States

    (node,) = States(ray_dashboard).measured().values()
    noted = Path(node["raylet"]["tempDir"]) / "ray_current_cluster"
    for name in ("RAY_ADDRESS", "RAY_API_SERVER_ADDRESS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    (tmp_path / "ray").mkdir()
    (tmp_path / "ray" / noted.name).write_text(noted.read_text())
    assert ray_jobs.cluster() == ray_dashboard
    ray_jobs._found.clear()
    (tmp_path / "ray" / noted.name).write_text("127.0.0.1:9")  # left behind by a crash
    with pytest.raises(NoClusterError, match=r"nobody answers at 127\.0\.0\.1:9"):
        ray_jobs.cluster()


def test_an_address_that_cannot_be_used_is_said(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "ray://head:10001")
    assert "set RAY_ADDRESS=http://HEAD:8265" in texts(page("cluster").error)


def test_a_server_that_is_no_cluster_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("RAY_ADDRESS", f"http://127.0.0.1:{server.server_port}")
        with pytest.raises(NoClusterError, match="does not answer"):
            ray_jobs.cluster()
        server.shutdown()


ASK = f"""
import sys
from streamlit.testing.v1 import AppTest
app = AppTest.from_file({str(APP)!r}, default_timeout={HANG_S}).run()
app.switch_page("views/cluster.py").run()
print([metric.value for metric in app.metric][:1], [error.value for error in app.error], app.exception)
"""


def _seen(address: str, **environment: str) -> str:
    """What the page shows in a process of its own, since Ray reads its token once."""
    bare = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    settings = bare | {"RAY_ADDRESS": address} | environment
    done = subprocess.run([sys.executable, "-c", ASK], env=settings, capture_output=True, text=True, check=True)
    return done.stdout + done.stderr


def test_the_token_is_passed_on_and_never_shown(ray_of_its_own: None, tmp_path: Path) -> None:
    token, file = secrets.token_hex(32), tmp_path / "token"
    file.write_text(token)
    home = {"HOME": str(tmp_path)}
    with ray_head(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN_PATH=str(file)) as head:
        let_in = _seen(head.dashboard, RAY_AUTH_MODE="token", RAY_AUTH_TOKEN_PATH=str(file), **home)
        without = _seen(head.dashboard, RAY_AUTH_MODE="disabled", **home)
    assert "['1'] []" in let_in
    assert "uses token authentication. Start the app with RAY" in without.replace("\\", "")
    assert token not in let_in + without


def test_a_log_is_shown_without_colours_and_lines_written_over() -> None:
    text = "one\n\x1b[36mtwo\x1b[0m\n 0%|\r50%|\r100%|\nlast\r\n"
    assert tail(text, 10) == "one\ntwo\n100%|\nlast"
    assert tail(text, 2) == "100%|\nlast"
