"""Scans in an S3 store: what is copied, copied again, removed, refused; and a dataset prepared from there."""

import os
import shutil
import time
from collections import namedtuple
from collections.abc import Iterator
from pathlib import Path

import pytest
from pyarrow import fs
from s3_store import ENVIRONMENT, Store, running_store
from synthetic_scans import write_btcv

from autosam_platform.data import object_store
from autosam_platform.data.description import load_description
from autosam_platform.data.object_store import ObjectStoreError, on_disk
from autosam_platform.data.preparation import Preparation, prepare
from autosam_platform.experiment import Experiment
from autosam_platform.places import StoreAddress, require_local
from autosam_platform.workspace import Workspace

FREE = namedtuple("FREE", "free")


@pytest.fixture(scope="module")
def store() -> Iterator[Store]:
    with running_store() as running:
        yield running


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    for name in [name for name in os.environ if name.startswith("AWS_") and name not in ENVIRONMENT]:
        monkeypatch.delenv(name)
    return Workspace(tmp_path / "workspace")


def _put(store: Store, **objects: bytes) -> None:
    for name, body in objects.items():
        store.client.put_object(Bucket="scans", Key=name.replace("__", "/"), Body=body)


def _held(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("place", "path", "options"),
    [
        ("s3://bucket/a/b", "bucket/a/b", {}),
        ("s3:/bucket/a/b/", "bucket/a/b", {}),  # as ``Path`` leaves it
        ("S3://bucket", "bucket", {}),
        ("s3://b/a?region=eu-west-1&anonymous=true", "b/a", {"region": "eu-west-1", "anonymous": "true"}),
        ("s3://b/my scans?endpoint_override=host:9000", "b/my scans", {"endpoint_override": "host:9000"}),
    ],
)
def test_an_address_is_read(place: str, path: str, options: dict[str, str]) -> None:
    address = StoreAddress.parse(Path(place))
    assert address is not None and (address.path, address.options) == (path, options)
    assert StoreAddress.parse(str(address)) == address


@pytest.mark.parametrize("place", ["/scans/s3", "scans", "C:\\scans", "C:/scans", "./s3:x", "~/scans"])
def test_a_path_is_no_address(place: str) -> None:
    assert StoreAddress.parse(place) is None


@pytest.mark.parametrize(
    ("place", "reason"),
    [
        ("gs://bucket/a", r"gs://bucket/a is an address \(gs:\), and of addresses only s3:// is read: mount it"),
        ("s3://", "no address of a folder in a bucket: write s3://bucket/folder"),
        ("s3://buck et/a", "no address of a folder in a bucket"),
        ("s3://bucket/a?anonymous=false", "no address"),
        ("s3://bucket/a?endpoint_override=http://host:9000", "endpoint_override=HOST:PORT, scheme=http"),
    ],
)
def test_what_is_no_address_of_a_store_is_refused(place: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        StoreAddress.parse(place)


@pytest.mark.parametrize(
    "place",
    [
        "s3://AKIAME:SECRET@word@bucket/scans",
        "s3://AKIAME:SEC/SECRET@bucket/scans",  # as half of all keys have a slash
        "s3://bucket/scans?endpoint_override=AKIAME:SECRET@host",
        "s3://bucket/scans?secret_key=SECRET",
        "s3a://AKIAME:SECRET@bucket/scans",
        "https://AKIAME:SECRET@host/scans",
    ],
)
def test_keys_in_an_address_are_refused_and_not_repeated(place: str) -> None:
    for check in (StoreAddress.parse, require_local):
        with pytest.raises(ValueError, match=r"address|keys") as refused:
            check(Path(place))
        assert "AKIAME" not in str(refused.value) and "SEC" not in str(refused.value).replace("AWS_SECRET", "")


def test_an_experiment_keeps_the_address_with_both_slashes() -> None:
    told = "s3://bucket/btcv?region=eu-west-1"
    experiment = Experiment.model_validate({"dataset": {"name": "btcv", "root": told}})
    settings = experiment.model_dump(mode="json")
    assert settings["dataset"]["root"] == told
    assert Experiment.model_validate(settings) == experiment
    assert Workspace(Path("/elsewhere")).recorded_settings(experiment)["dataset"]["root"] == told
    assert Workspace(Path("/elsewhere")).settings_here(settings) == settings


def test_objects_are_copied_once_and_again_where_they_changed(
    store: Store, workspace: Workspace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _put(store, once__a=b"one", once__deep__b=b"two", once__empty=b"", onceness__c=b"another folder")
    store.client.put_object(Bucket="scans", Key="once/marker/", Body=b"")  # as consoles make a folder
    monkeypatch.setattr(object_store, "_GRAIN_NS", 0)  # else what is this young is copied again
    folder = on_disk(store.address("once"), workspace)
    assert _held(folder) == {"a": b"one", "deep/b": b"two", "empty": b""}
    assert folder.parent == workspace.dataset("x").parent
    before = {path: path.stat().st_ino for path in folder.rglob("*")}

    capsys.readouterr()
    assert on_disk(store.address("once/"), workspace) == folder
    assert {path: path.stat().st_ino for path in folder.rglob("*")} == before, "nothing was written again"
    assert capsys.readouterr().out == ""

    (folder / "deep/b").write_bytes(b"twO")  # damage: of the same length, later
    (folder / "stranger").write_bytes(b"not in the store")
    (folder / ".0123abcd.tmp-a").write_bytes(b"of a copier that was killed")
    store.client.delete_object(Bucket="scans", Key="once/empty")
    _put(store, once__a=b"four")
    on_disk(store.address("once"), workspace)
    assert _held(folder) == {"a": b"four", "deep/b": b"two"}
    assert "2 objects of 7 bytes to copy" in capsys.readouterr().out

    store.client.delete_object(Bucket="scans", Key="once/deep/b")
    _put(store, once__deep=b"an object where a folder was")
    on_disk(store.address("once"), workspace)
    assert _held(folder) == {"a": b"four", "deep": b"an object where a folder was"}


def test_an_object_that_was_young_when_it_was_copied_is_copied_again(store: Store, workspace: Workspace) -> None:
    """The store tells whole seconds: it could have changed within the same one, at the same size."""
    _put(store, young__a=b"one")
    folder = on_disk(store.address("young"), workspace)
    _put(store, young__a=b"two")
    assert on_disk(store.address("young"), workspace) == folder
    assert _held(folder) == {"a": b"two"}


def test_a_store_may_be_named_by_the_environment(
    store: Store, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    _put(store, elsewhere__a=b"one")
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{store.host}/")
    folder = on_disk("s3://scans/elsewhere", workspace)
    assert _held(folder) == {"a": b"one"}
    assert folder == on_disk(store.address("elsewhere"), workspace), "the same store, whoever names it"


def test_a_public_bucket_is_asked_without_keys(
    store: Store, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    _put(store, public__a=b"one")
    with pytest.raises(ObjectStoreError, match=r"cannot be read \(.*ACCESS_DENIED.*\): check the address, and the key"):
        on_disk(store.address("public", "&anonymous=true"), workspace)
    store.client.put_object_acl(Bucket="scans", Key="public/a", ACL="public-read")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    folder = on_disk(store.address("public", "&anonymous=true"), workspace)
    assert _held(folder) == {"a": b"one"}


@pytest.mark.parametrize("name", ["odd/../../../../escaped", "odd/back\\slash", "odd/twice//named", f"odd/{'ä' * 128}"])
def test_a_name_that_no_file_can_have_is_refused(store: Store, workspace: Workspace, tmp_path: Path, name: str) -> None:
    store.client.put_object(Bucket="scans", Key=name, Body=b"x")
    try:
        with pytest.raises(ObjectStoreError, match="a name that no file here can have: rename it"):
            on_disk(store.address("odd"), workspace)
        assert not list(tmp_path.rglob("*escaped*"))
    finally:
        store.client.delete_object(Bucket="scans", Key=name)


def test_names_that_are_one_file_or_file_and_folder_are_refused(store: Store, workspace: Workspace) -> None:
    _put(store, both__a=b"x", both__a__b=b"y", alike__A=b"x", alike__a=b"y")
    with pytest.raises(ObjectStoreError, match="an object 'a', a name that no file here can have"):
        on_disk(store.address("both"), workspace)
    with pytest.raises(ObjectStoreError, match="an object 'a', a name that no file here can have"):
        on_disk(store.address("alike"), workspace)


def test_an_address_that_holds_nothing_is_refused(store: Store, workspace: Workspace) -> None:
    with pytest.raises(ObjectStoreError, match=r"s3://scans/none\?.* holds no object: check the names"):
        on_disk(store.address("none"), workspace)
    with pytest.raises(ObjectStoreError, match=r"s3://nobody/none\?.* holds no object"):
        on_disk(store.address("none").replace("scans", "nobody"), workspace)


def test_a_store_that_does_not_answer_is_named(workspace: Workspace) -> None:
    with pytest.raises(ObjectStoreError, match=r"s3://scans/x\?.* cannot be read \(.*NETWORK_CONNECTION"):
        on_disk("s3://scans/x?endpoint_override=127.0.0.1:1&scheme=http", workspace)


def test_what_the_disk_cannot_hold_is_refused_before_the_work(
    store: Store, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    _put(store, large__a=b"12345", large__b=b"6789")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: FREE(8))
    with pytest.raises(ObjectStoreError, match="2 objects of 9 bytes to copy, and 8 bytes are free"):
        on_disk(store.address("large"), workspace)
    assert not list(workspace.folder.rglob("large-*/*"))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: FREE(9))
    assert _held(on_disk(store.address("large"), workspace)) == {"a": b"12345", "b": b"6789"}


@pytest.mark.parametrize("after", [b"longer", b"two"])
def test_an_object_that_changes_while_it_is_copied_is_no_copy(
    store: Store, workspace: Workspace, monkeypatch: pytest.MonkeyPatch, after: bytes
) -> None:
    """Of the same size, too: each piece is a request of its own, so a large one would be of both."""
    store.client.put_object(Bucket="scans", Key=f"moving{len(after)}/a", Body=b"one")
    time.sleep(1)  # the store tells whole seconds
    address = store.address(f"moving{len(after)}")
    listed = fs.S3FileSystem.get_file_info

    class Changing(fs.S3FileSystem):
        def get_file_info(self, asked: str | fs.FileSelector) -> fs.FileInfo | list[fs.FileInfo]:
            found = listed(self, asked)
            if isinstance(asked, fs.FileSelector):
                store.client.put_object(Bucket="scans", Key=f"moving{len(after)}/a", Body=after)
            return found

    with monkeypatch.context() as patched:
        patched.setattr(fs, "S3FileSystem", Changing)
        with pytest.raises(ObjectStoreError, match=r"moving./a was changed while it was copied: the same command cont"):
            on_disk(address, workspace)
    assert not list(workspace.folder.rglob("moving*/a"))
    assert _held(on_disk(address, workspace)) == {"a": after}


def test_ctrl_c_does_not_wait_for_what_is_being_copied(
    store: Store, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first piece of one object is the moment of Ctrl-C; of the other's many pieces no more is copied."""
    _put(store, stopped__a=b"x" * 10, stopped__b=b"y" * 1000)
    monkeypatch.setattr(object_store, "_PIECE", 10)
    monkeypatch.setattr(object_store, "_AT_A_TIME", 1)
    written: list[int] = []

    class Bar:
        def __init__(self, **_: object) -> None: ...

        def __enter__(self) -> "Bar":
            return self

        def __exit__(self, *_: object) -> None: ...

        def update(self, size: int) -> None:
            written.append(size)
            raise KeyboardInterrupt

    monkeypatch.setattr(object_store, "tqdm", Bar)
    with pytest.raises(KeyboardInterrupt):
        on_disk(store.address("stopped"), workspace)
    assert sum(written) <= 20
    assert not list(workspace.folder.rglob("stopped-*/*"))


@pytest.mark.usefixtures("ray_local")
def test_a_dataset_is_prepared_from_a_store_as_from_a_folder(
    store: Store, workspace: Workspace, tmp_path: Path
) -> None:
    scans = write_btcv(tmp_path / "raw", 30)
    store.put("btcv", scans)
    description = load_description("btcv")
    there = prepare(description, store.address("btcv"), Preparation(), workspace)
    here = prepare(description, scans, Preparation(), Workspace(tmp_path / "other"))
    assert there.fingerprint == here.fingerprint
    assert [each.content for each in there.entries] == [each.content for each in here.entries]
    assert len(there.cases("train")) == len(here.cases("train")) > 0
