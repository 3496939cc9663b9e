"""Workspaces to draw pages from, and a way to open pages as a browser does."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import streamlit as st
from example_runs import APP, write_workspace
from patience import HANG_S
from streamlit.testing.v1 import AppTest


@pytest.fixture
def page() -> Callable[..., AppTest]:
    """Open a page of the app with the parameters of its address, as a browser does."""

    def open_page(name: str, **address: str) -> AppTest:
        app = AppTest.from_file(str(APP), default_timeout=HANG_S).run()
        app.switch_page(f"views/{name}.py")
        for key, value in address.items():
            app.query_params[key] = value
        return app.run()

    return open_page


@pytest.fixture(autouse=True)
def _no_cluster_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A demo may be running here: pages find a cluster only where a test names one."""
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:9")


@pytest.fixture(autouse=True)
def _fresh_caches() -> Iterator[None]:
    yield
    st.cache_data.clear()
    st.cache_resource.clear()


@pytest.fixture
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A workspace in which nothing has been done."""
    monkeypatch.setenv("AUTOSAM_WORKSPACE", str(tmp_path))
    return tmp_path


@pytest.fixture
def unchanged(example: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three runs to look at: evaluated, in progress, and failed before an evaluation."""
    monkeypatch.setenv("AUTOSAM_WORKSPACE", str(example))
    return example


@pytest.fixture
def workspace(example: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same three runs in a workspace of the test's own, to break."""
    copy = tmp_path / "workspace"
    shutil.copytree(example, copy)
    for record in copy.glob("runs/*/evaluation/cases/*.json"):
        record.write_text(record.read_text(encoding="utf-8").replace(str(example), str(copy)), encoding="utf-8")
    monkeypatch.setenv("AUTOSAM_WORKSPACE", str(copy))
    return copy


@pytest.fixture(scope="session")
def example(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Made once, since MLflow takes seconds to make its database."""
    root = tmp_path_factory.mktemp("example")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        write_workspace(root)
    return root
