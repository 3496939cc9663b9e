"""A bundle comes to its place whole, replaces bundles alone, and clears away what a killed export left."""

import hashlib
import json
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from small_cards import organs, small_card

from autosam_inference.bundle import Bundle
from autosam_inference.bundle.card import CARD, SCHEMA
from autosam_platform.export.network import ExportError
from autosam_platform.export.writing import write_bundle


def filled(folder: Path, text: str = "one") -> dict[str, Any]:
    (folder / "docs").mkdir()
    (folder / "docs" / "README.md").write_text(text)
    return small_card(organs(2)).model_dump(mode="json") | {"bundle_schema": SCHEMA, "written_by": "0.0.0"}


@pytest.mark.parametrize("name", ["Mein Bündel", "bundle.ZIP"])
def test_a_bundle_replaces_a_bundle_and_leaves_nothing_else(tmp_path: Path, name: str) -> None:
    place = tmp_path / "out" / name
    write_bundle(place, filled)
    write_bundle(place, lambda folder: filled(folder, "two"))
    bundle = Bundle.load(place)
    assert bundle.read("docs/README.md") == b"two"
    assert bundle.card.files["docs/README.md"].sha256 == hashlib.sha256(b"two").hexdigest()
    assert {each.name for each in place.parent.iterdir()} == {name}
    assert zipfile.is_zipfile(place) == (place.suffix == ".ZIP")


def test_a_killed_export_leaves_the_old_bundle_and_its_rest_is_cleared(tmp_path: Path) -> None:
    place = tmp_path / "bundle"
    write_bundle(place, filled)
    for left in (".0123abcd.tmp-bundle", ".0123abcd.tmp-.89abcdef.tmp-bundle"):
        (tmp_path / left / "models").mkdir(parents=True)
    (tmp_path / ".0123abcd.tmp-bundle.zip").write_bytes(b"of another export")
    with pytest.raises(KeyboardInterrupt):
        write_bundle(place, _interrupted)
    assert Bundle.load(place).read("docs/README.md") == b"one"
    assert {each.name for each in tmp_path.iterdir()} == {"bundle", ".0123abcd.tmp-bundle.zip"}


def _interrupted(folder: Path) -> dict[str, Any]:
    filled(folder)
    raise KeyboardInterrupt


def test_one_export_at_a_time_writes_to_a_place(tmp_path: Path) -> None:
    """Although each takes its lock away when it is done."""
    inside: list[int] = []
    most: list[int] = []

    def fill(folder: Path) -> dict[str, Any]:
        inside.append(1)
        most.append(len(inside))
        time.sleep(0.02)
        inside.pop()
        return filled(folder)

    with ThreadPoolExecutor(6) as threads:
        for each in [threads.submit(write_bundle, tmp_path / "bundle", fill) for _ in range(6)]:
            each.result()
    assert most == [1] * 6 and [each.name for each in tmp_path.iterdir()] == ["bundle"]


def test_a_damaged_bundle_may_be_replaced_and_an_empty_folder_taken(tmp_path: Path) -> None:
    write_bundle(tmp_path / "bundle", filled)
    (tmp_path / "bundle" / "docs" / "README.md").unlink()
    (tmp_path / "empty").mkdir()
    for name in ("bundle", "empty"):
        write_bundle(tmp_path / name, lambda folder: filled(folder, "whole"))
        assert Bundle.load(tmp_path / name).read("docs/README.md") == b"whole"


def test_a_place_that_cannot_be_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ExportError, match=r"file/out cannot be made \(Not a directory\): name another place"):
        write_bundle(tmp_path / "file" / "out" / "bundle", filled)


def test_a_card_of_something_else_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / CARD).parent.mkdir()
    (tmp_path / CARD).write_text(json.dumps({"name": "an app's own card"}))
    with pytest.raises(ExportError, match="is no bundle, so it is not replaced"):
        write_bundle(tmp_path, filled)
