"""Which folder a scan's results go to, and what is kept of one that is written to again."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from autosam_inference.bedside.finding import Content
from autosam_inference.bedside.folder import ResultError, folder_for, publish
from autosam_inference.bedside.record import ScanRecord, is_whole, read_record

NAME = "ct-0123"


def record(folder: Path, content: Content) -> ScanRecord:
    return ScanRecord(
        scan=folder.name,
        made_of="made",
        content=content.hash,
        images=content.images,
        shape_xyz=(1, 1, 1),
        spacing_xyz=(1.0, 1.0, 1.0),
        organs=(),
        seconds={"total": 1.0},
        model={},
        options={},
        versions={},
    )


def write(content: Content, text: str, *endings: str) -> Callable[[Path], ScanRecord]:
    def files(folder: Path) -> ScanRecord:
        for ending in endings or (".nii.gz", ".png"):
            (folder / f"{folder.name}{ending}").write_text(text)
        return record(folder, content)

    return files


def put(output: Path, content: Content) -> str:
    """Name of the folder that its results were put into."""
    folder = folder_for(output, NAME, content)
    publish(folder, write(content, content.hash))
    return folder.name


def test_a_series_replaces_only_what_was_made_of_a_part_of_it(tmp_path: Path) -> None:
    few, many = Content("few00000", ("a", "b")), Content("many0000", ("a", "b", "c"))
    other, more = Content("other000", ("x", "y")), Content("more0000", ("x", "y", "z"))
    assert put(tmp_path, few) == NAME
    assert put(tmp_path, other) == f"{NAME}~other000"
    assert put(tmp_path, many) == NAME
    assert put(tmp_path, more) == f"{NAME}~other000"
    assert put(tmp_path, few) == f"{NAME}~few00000"
    for content, name in ((many, NAME), (more, f"{NAME}~other000"), (few, f"{NAME}~few00000")):
        assert put(tmp_path, content) == name
    assert len(list(tmp_path.iterdir())) == 3


def test_a_record_that_does_not_tell_its_images_is_replaced_by_the_same_content_alone(tmp_path: Path) -> None:
    """As older versions wrote it."""
    put(tmp_path, Content("old00000"))
    assert put(tmp_path, Content("old00000", ("a", "b"))) == NAME
    put(tmp_path / "further", Content("old00000"))
    assert put(tmp_path / "further", Content("new00000", ("a", "b"))) == f"{NAME}~new00000"


def test_what_was_changed_by_hand_is_kept_however_often(tmp_path: Path) -> None:
    content = Content("hash")
    folder = tmp_path / NAME
    publish(folder, write(content, "ours"))
    for text in ("first", "second"):
        (folder / f"{NAME}.nii.gz").write_text(text)
        notes = publish(folder, write(content, "again")).notes
    assert notes == (f"{NAME}.nii.gz was changed since it was written: it is kept as {NAME}~changed-2.nii.gz.",)
    assert (folder / f"{NAME}~changed.nii.gz").read_text() == "first"
    assert (folder / f"{NAME}~changed-2.nii.gz").read_text() == "second"
    assert (folder / f"{NAME}.nii.gz").read_text() == (folder / f"{NAME}.png").read_text() == "again"
    made = read_record(folder)
    assert made is not None and made.notes == notes and is_whole(made, folder)
    publish(folder, write(content, "less", ".nii.gz"))
    assert not (folder / f"{NAME}.png").exists() and len(list(folder.iterdir())) == 4


def test_what_a_kill_left_of_two_results_is_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """None of it was changed by hand, whichever of the files were replaced by then."""
    content, folder = Content("hash"), tmp_path / NAME
    replace = os.replace

    def killed(source: Path, target: Path) -> None:
        if str(target).endswith(".png"):
            raise KeyboardInterrupt
        replace(source, target)

    publish(folder, write(content, "first"))
    for text in ("second", "third"):
        with monkeypatch.context() as change, pytest.raises(KeyboardInterrupt):
            change.setattr(os, "replace", killed)
            publish(folder, write(content, text))
        left = read_record(folder)
        assert left is not None and left.state == "writing" and not is_whole(left, folder)
    assert publish(folder, write(content, "fourth")).notes == ()
    assert {each.name for each in folder.iterdir()} == {f"{NAME}{end}" for end in (".nii.gz", ".png", ".result.json")}


def test_a_file_of_somebody_else_is_not_replaced(tmp_path: Path) -> None:
    content, folder = Content("hash"), tmp_path / NAME
    publish(folder, write(content, "ours", ".nii.gz"))
    (folder / f"{NAME}.png").write_text("a doctor's")
    with pytest.raises(ResultError, match=r"ct-0123\.png in its folder is no file of ours"):
        publish(folder, write(content, "ours"))
    assert (folder / f"{NAME}.png").read_text() == "a doctor's"
