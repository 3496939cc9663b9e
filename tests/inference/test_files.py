"""Writes that are whole or not there, and hashes that change with what they name."""

from pathlib import Path

import pytest

from autosam_inference.files import atomic_folder, atomic_write, content_hash, sync, write_json
from autosam_platform.workspace import workspace
from autosam_platform.workspace.root import WorkspaceError


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "a.nii.gz"
    target.write_text("old")
    with pytest.raises(RuntimeError), atomic_write(target) as temporary:
        assert temporary.name.endswith("a.nii.gz")
        temporary.write_text("half")
        raise RuntimeError
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_folder_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), atomic_folder(tmp_path / "model") as temporary:
        (temporary / "weights").write_text("half")
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []
    with atomic_folder(tmp_path / "model") as temporary:
        (temporary / "weights").write_text("all")
    assert (tmp_path / "model" / "weights").read_text() == "all"


def test_json_with_nan_is_refused_and_not_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "a.json", {"dice": float("nan")})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="no folder here that cannot be synced")
def test_a_folder_that_cannot_be_synced_is_no_error() -> None:
    """As folders of some network shares; a file that cannot be is one."""
    sync(Path("/proc"))
    with pytest.raises(OSError, match="Invalid argument"):
        sync(Path("/proc/version"))


def test_hash_follows_values_and_bytes_not_names(tmp_path: Path) -> None:
    a, b = tmp_path / "a", tmp_path / "b"
    a.write_bytes(b"same"), b.write_bytes(b"same")
    assert content_hash({"x": 1, "y": 2}, a) == content_hash({"y": 2, "x": 1}, b)
    b.write_bytes(b"other")
    assert content_hash(a) != content_hash(b)
    assert content_hash("ab", "c") != content_hash("a", "bc")
    assert len(content_hash(1)) == 16


def test_a_workspace_that_is_a_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "workspace"
    file.write_text("")
    monkeypatch.setenv("AUTOSAM_WORKSPACE", str(file))
    with pytest.raises(WorkspaceError, match=r"workspace is no folder .*: set AUTOSAM_WORKSPACE"):
        workspace()
