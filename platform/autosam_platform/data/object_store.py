"""Scans in an S3 store: copied into the workspace once, and an object again where it has changed.

Everything else stays a folder: the record of runs is an SQLite file, a run has one writer by a lock, and what is
written takes its name in one step, none of which an object store has (docs/reliability.md).
"""

import os
import re
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from pyarrow import ArrowException, fs
from tqdm import tqdm

from autosam_inference.errors import UserError
from autosam_inference.files import atomic_write, content_hash, remove_leftovers
from autosam_inference.scans.names import short_name
from autosam_models.sizes import gigabytes
from autosam_platform.locks import locked
from autosam_platform.places import StoreAddress
from autosam_platform.workspace import Workspace

_AT_A_TIME = 8  # objects; most of the time of a small one is the wait for the first byte
_PIECE = 8 * 2**20  # bytes


class ObjectStoreError(UserError):
    """An object store that cannot be read, or holds what cannot be copied; the message names it and what to do."""


@dataclass(frozen=True)
class _Object:
    """An object, and where its copy goes.

    Attributes:
        path: with the bucket.
        copy: has the object's size and the time of its last change, by which it is found again.
    """

    path: str
    copy: Path
    size: int
    changed_ns: int

    @property
    def is_copied(self) -> bool:
        try:
            found = self.copy.stat()
        except OSError:
            return False
        return (found.st_size, found.st_mtime_ns) == (self.size, self.changed_ns)


def on_disk(place: str | Path, workspace: Workspace) -> Path:
    """A folder of this machine: ``place`` itself, or a copy of the objects where it is the address of an S3 store.

    Copies of objects that are not there any more are removed. A copy that was interrupted goes on where it was.

    Raises:
        ObjectStoreError: the store cannot be read, an object has a name that no file can have, or the disk is full.
        ValueError: an address of no S3 store.
    """
    address = StoreAddress.parse(place)
    if address is None:
        return Path(place)
    held = address.folder or address.bucket
    identity = content_hash(address.path, address.options.get("endpoint_override"))[:8]
    folder = workspace.dataset(f"{short_name(PurePosixPath(held).name)}-{identity}")
    with locked(folder.with_name(f"{folder.name}.lock"), busy=f"{address} is being copied by another job: waiting."):
        with _reasons(address):
            store = _open(address)
            objects = _objects(store, address, folder)
        _remove_others(folder, objects)
        missing = [each for each in objects if not each.is_copied]
        _require_disk(missing, folder, address)
        if missing:
            _copy_all(store, missing, address)
    return folder


def _open(address: StoreAddress) -> fs.S3FileSystem:
    given = dict(address.options)
    anonymous = given.pop("anonymous", None) is not None
    if not given.keys() & {"region", "endpoint_override"} and not any(map(os.environ.get, _REGION_OR_ENDPOINT)):
        given["region"] = fs.resolve_s3_region(address.bucket)
    return fs.S3FileSystem(anonymous=anonymous, **given)


_REGION_OR_ENDPOINT = ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3")


def _objects(store: fs.S3FileSystem, address: StoreAddress, folder: Path) -> list[_Object]:
    """All of the address, in the order of their names.

    Raises:
        ObjectStoreError: there is none, or one whose name is no path of a file below ``folder``.
    """
    listed = store.get_file_info(fs.FileSelector(address.path, recursive=True, allow_not_found=True))
    files = sorted((each for each in listed if each.type == fs.FileType.File), key=lambda each: each.path)
    if not files:
        raise ObjectStoreError(f"{address} holds no object: check the names of bucket and folder.")
    names = [each.path.removeprefix(address.path).removeprefix("/") for each in files]
    above = {str(parent) for name in names for parent in PurePosixPath(name).parents}
    for name in names:
        if re.search(r"[\\\0]", name) or {"", ".", ".."} & set(name.split("/")) or name in above:
            raise ObjectStoreError(f"{address} holds an object {name!r}, a name that no file here can have: rename it.")
    return [
        _Object(each.path, folder / name, each.size, each.mtime_ns) for each, name in zip(files, names, strict=True)
    ]


def _remove_others(folder: Path, objects: Sequence[_Object]) -> None:
    """What is no copy of an object that is there, and what a killed copier left."""
    kept = {each.copy for each in objects}
    for path in list(folder.rglob("*")):
        if path.is_dir() and not path.is_symlink():
            remove_leftovers(path)
        elif path not in kept:
            path.unlink(missing_ok=True)


def _require_disk(missing: Sequence[_Object], folder: Path, address: StoreAddress) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    needed, free = sum(each.size for each in missing), shutil.disk_usage(folder).free
    if needed > free:
        raise ObjectStoreError(
            f"{address} has {len(missing)} objects of {gigabytes(needed)} to copy, and {gigabytes(free)} are free in "
            f"{folder}: name a folder that holds this dataset alone, or make room."
        )


def _copy_all(store: fs.S3FileSystem, missing: Sequence[_Object], address: StoreAddress) -> None:
    print(f"{address}: {len(missing)} objects, {gigabytes(sum(each.size for each in missing))}", flush=True)
    total = sum(each.size for each in missing)
    bar = tqdm(total=total, unit="B", unit_scale=True, desc=f"copying {address.path}")
    with bar, ThreadPoolExecutor(_AT_A_TIME) as pool:
        try:
            for copied in pool.map(lambda each: _copy(store, each, address), missing):
                bar.update(copied)
        finally:
            pool.shutdown(cancel_futures=True)


def _copy(store: fs.S3FileSystem, each: _Object, address: StoreAddress) -> int:
    """Copy one; returns its size."""
    with atomic_write(each.copy) as temporary:
        with temporary.open("wb") as going:
            for piece in _pieces(store, each, address):
                going.write(piece)
        os.utime(temporary, ns=(each.changed_ns, each.changed_ns))
    return each.size


def _pieces(store: fs.S3FileSystem, each: _Object, address: StoreAddress) -> Iterator[bytes]:
    """The object's bytes; apart from where they are written, since a full disk is not the store's fault."""
    read = 0
    with _reasons(address), store.open_input_stream(each.path, compression=None) as coming:
        while piece := coming.read(_PIECE):
            read += len(piece)
            yield piece
        if read != each.size:
            raise OSError(f"{each.path} had {each.size} bytes when it was listed and {read} when it was read")


@contextmanager
def _reasons(address: StoreAddress) -> Iterator[None]:
    """Arrow's errors as one that tells what to do."""
    try:
        yield
    except (OSError, ArrowException) as error:
        reason = re.split(r"; Details|\(Request ID|\. Detail", str(error))[0].strip().rstrip(".:")
        raise ObjectStoreError(
            f"{address} cannot be read ({reason}): check the address, and the keys (AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY, or ~/.aws/credentials; of a public bucket ?anonymous=true). The same command "
            "continues."
        ) from error
