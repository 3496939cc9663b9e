"""A bundle is read whole and unchanged or not at all, from a folder or a zip, and nothing in it leads out or is run."""

import json
import os
import random
import shutil
import stat
import zipfile
from pathlib import Path

import pytest
from small_bundles import CLASSES, copied, small_bundle

from autosam_inference import TrainedModel
from autosam_inference.bundle import Bundle, BundleError, is_bundle
from autosam_inference.bundle.card import CARD, IR, LICENCE, ONNX, SCHEMA
from autosam_inference.files import write_sealed
from autosam_inference.runtimes.chosen import RuntimeMissingError


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_bundle(tmp_path_factory.mktemp("bundles") / "Bündel mit Leerzeichen")


def zipped(folder: Path, place: Path, around: str = "") -> Path:
    with zipfile.ZipFile(place, "w") as archive:
        for path in sorted(each for each in folder.rglob("*") if each.is_file()):
            archive.write(path, around + path.relative_to(folder).as_posix())
    return place


@pytest.mark.parametrize("around", ["", "bundle/"], ids=["members", "a folder around them"])
def test_a_zip_holds_what_the_folder_holds_and_nothing_is_unpacked(
    folder: Path, tmp_path: Path, around: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = zipped(folder, tmp_path / "bundle.zip", around)
    monkeypatch.setenv("TMPDIR", str(tmp_path / "nowhere"))
    ours, theirs = Bundle.load(folder), Bundle.load(place)
    assert ours.card == theirs.card and len(ours.card.classes) == CLASSES - 1
    for name in ours.card.files:
        assert ours.read(name) == theirs.read(name) == (folder / name).read_bytes()
    assert sorted(tmp_path.iterdir()) == [place]


def test_no_flipped_bit_of_any_file_is_ever_used(folder: Path, tmp_path: Path) -> None:
    bundle, rng = copied(folder, tmp_path / "bundle"), random.Random(0)
    names = sorted(each.relative_to(bundle).as_posix() for each in bundle.rglob("*") if each.is_file())
    assert CARD in names and IR in names
    for name in names:
        path, whole = bundle / name, (bundle / name).read_bytes()
        for _ in range(5):
            place = rng.randrange(len(whole))
            path.write_bytes(whole[:place] + bytes([whole[place] ^ 1 << rng.randrange(8)]) + whole[place + 1 :])
            with pytest.raises(BundleError, match=rf"{name} (was changed|is damaged|does not describe)"):
                Bundle.load(bundle)
        path.write_bytes(whole)
    Bundle.load(bundle)


def test_what_changed_after_the_loading_is_not_read(folder: Path, tmp_path: Path) -> None:
    bundle = copied(folder, tmp_path / "bundle")
    loaded = Bundle.load(bundle)
    (bundle / ONNX).write_bytes((bundle / ONNX).read_bytes()[:-1] + b"\0\0")
    with pytest.raises(BundleError, match=f"{ONNX} was changed since it was exported"):
        loaded.read(ONNX)


def test_missing_and_extra_files_are_named(folder: Path, tmp_path: Path) -> None:
    bundle = copied(folder, tmp_path / "bundle")
    (bundle / ".DS_Store").write_bytes(b"of a file manager")
    Bundle.load(bundle)
    (bundle / "models" / "model.py").write_text("raise SystemExit")
    with pytest.raises(BundleError, match=r"holds what its card does not know \(models/model\.py\): .*remove it"):
        Bundle.load(bundle)
    (bundle / "models" / "model.py").unlink()
    (bundle / LICENCE).unlink()
    with pytest.raises(BundleError, match="LICENSE is missing: copy the whole bundle"):
        Bundle.load(bundle)


def test_a_link_in_a_folder_is_refused(folder: Path, tmp_path: Path) -> None:
    bundle = copied(folder, tmp_path / "bundle")
    secret = shutil.copy(bundle / LICENCE, tmp_path / "elsewhere")
    (bundle / LICENCE).unlink()
    (bundle / LICENCE).symlink_to(secret)
    with pytest.raises(BundleError, match="LICENSE is a link"):
        Bundle.load(bundle)
    (bundle / LICENCE).unlink()
    (bundle / LICENCE).symlink_to(tmp_path, target_is_directory=True)
    with pytest.raises(BundleError, match="LICENSE is a link"):
        Bundle.load(bundle)


@pytest.mark.parametrize("name", ["../out", "/etc/passwd", "models/../../out", "C:/out", "..\\out", "models/a:b"])
def test_a_member_that_leads_out_is_refused(folder: Path, tmp_path: Path, name: str) -> None:
    place = zipped(folder, tmp_path / "bundle.zip")
    with zipfile.ZipFile(place, "a") as archive:
        archive.writestr(name, b"")
    with pytest.raises(BundleError, match="leads out of it"):
        Bundle.load(place)


def test_a_link_in_a_zip_is_refused(folder: Path, tmp_path: Path) -> None:
    place = zipped(folder, tmp_path / "bundle.zip")
    link = zipfile.ZipInfo("docs/link")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(place, "a") as archive:
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(BundleError, match="leads out of it"):
        Bundle.load(place)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_members_of_one_name_are_refused(folder: Path, tmp_path: Path) -> None:
    place = zipped(folder, tmp_path / "bundle.zip")
    with zipfile.ZipFile(place, "a") as archive:
        archive.writestr(LICENCE, b"another")
    with pytest.raises(BundleError, match="two members of one name"):
        Bundle.load(place)


def test_a_zip_that_unpacks_to_too_much_is_refused_before_it_is_read(folder: Path, tmp_path: Path) -> None:
    """A directory may state any length; what is read ends at the length stated, and that is bounded."""
    place = zipped(folder, tmp_path / "bundle.zip")
    with zipfile.ZipFile(place, "a") as archive:
        archive.writestr("models/bomb", b"")
        archive.getinfo("models/bomb").file_size = 5 << 30
    with pytest.raises(BundleError, match="a bundle has at most"):
        Bundle.load(place)


def test_a_member_longer_than_stated_is_an_error(folder: Path, tmp_path: Path) -> None:
    place = tmp_path / "bundle.zip"
    with zipfile.ZipFile(place, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(each for each in folder.rglob("*") if each.is_file()):
            archive.write(path, path.relative_to(folder).as_posix())
        archive.getinfo(ONNX).file_size = 10
    with pytest.raises(BundleError, match=ONNX):
        Bundle.load(place)


def test_a_truncated_zip_is_said(folder: Path, tmp_path: Path) -> None:
    place = zipped(folder, tmp_path / "bundle.zip")
    place.write_bytes(place.read_bytes()[:-30])
    with pytest.raises(BundleError, match="cannot be read as a zip"):
        Bundle.load(place)


def test_a_newer_bundle_names_the_version_that_reads_it(folder: Path, tmp_path: Path) -> None:
    bundle = copied(folder, tmp_path / "bundle")
    card = json.loads((bundle / CARD).read_text()) | {"bundle_schema": SCHEMA + 1, "written_by": "9.8.7", "new": 1}
    card.pop("seal")
    write_sealed(bundle / CARD, card)
    with pytest.raises(BundleError, match=rf"schema {SCHEMA + 1}, .* up to {SCHEMA}: install \S+ 9\.8\.7 or newer"):
        Bundle.load(bundle)


def test_what_is_no_bundle_is_told_apart(folder: Path, tmp_path: Path) -> None:
    assert is_bundle(folder) and not is_bundle(tmp_path) and not is_bundle(tmp_path / "nothing")
    with pytest.raises(BundleError, match=r"holds no configs/card\.json, so it is no bundle: name what .*export"):
        Bundle.load(tmp_path)
    with pytest.raises(BundleError, match="is not there"):
        Bundle.load(tmp_path / "nothing.zip")
    (tmp_path / "scan.nii.gz").write_bytes(os.urandom(100))
    with pytest.raises(BundleError, match="cannot be read as a zip"):
        TrainedModel.load(tmp_path / "scan.nii.gz")


def test_a_device_is_for_torch_alone(folder: Path) -> None:
    with pytest.raises(RuntimeMissingError, match="openvino computes on the cpu, not on 'cuda:0'"):
        TrainedModel.load(folder, device="cuda:0")
