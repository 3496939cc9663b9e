"""Which files a form may name."""

import os
from pathlib import Path

import pytest

from dashboard.components.base.places import PROJECT, ReadingError, allowed_path, allowed_roots


@pytest.fixture(autouse=True)
def _own_workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTOSAM_WORKSPACE", str(tmp_path / "workspace"))
    monkeypatch.delenv("AUTOSAM_ALLOWED_FOLDERS", raising=False)


def test_the_workspace_the_project_and_the_folders_named_are_allowed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scans, more = tmp_path / "scans", tmp_path / "more"
    monkeypatch.setenv("AUTOSAM_ALLOWED_FOLDERS", os.pathsep.join([str(scans), "", str(more)]))
    assert allowed_roots() == [tmp_path / "workspace", PROJECT, scans, more]
    assert allowed_path(str(scans / "a b ä.nii.gz")) == scans / "a b ä.nii.gz"
    assert allowed_path(str(tmp_path / "workspace" / "x")) == tmp_path / "workspace" / "x"
    assert allowed_path("jobs/recipes/demo.yaml") == PROJECT / "jobs" / "recipes" / "demo.yaml"


@pytest.mark.parametrize("text", ["/etc/passwd", "..", "jobs/../../x", "/", "~", "~nobody-of-that-name/x"])
def test_what_lies_elsewhere_is_refused_with_the_remedy(text: str) -> None:
    with pytest.raises(ReadingError, match="AUTOSAM_ALLOWED_FOLDERS=FOLDER"):
        allowed_path(text)


@pytest.mark.parametrize("text", ["", "  ", "a\x00b", "a\nb"])
def test_what_is_no_path_is_refused(text: str) -> None:
    with pytest.raises(ReadingError, match="is no path"):
        allowed_path(text)


@pytest.mark.parametrize("text", ["a/" * 2500, "jobs/" + "ä" * 150])
def test_what_no_disk_can_hold_is_refused_in_a_line(text: str) -> None:
    with pytest.raises(ReadingError, match=f"has {len(text):,} characters, and is no path") as refused:
        allowed_path(text)
    assert len(str(refused.value)) < 250


def test_an_address_is_no_folder_of_the_project() -> None:
    with pytest.raises(ReadingError, match=r"s3://bucket/scans is an address .* from a terminal, where --data"):
        allowed_path("s3://bucket/scans")


def test_links_are_followed_before_they_are_judged(tmp_path: Path) -> None:
    workspace, outside = tmp_path / "workspace", tmp_path / "outside"
    workspace.mkdir()
    outside.mkdir()
    (workspace / "link").symlink_to(outside)
    (workspace / "circle").symlink_to(workspace / "circle")
    for name in ("link", "link/scan.nii.gz", "circle"):
        with pytest.raises(ReadingError, match="outside the folders"):
            allowed_path(str(workspace / name))
