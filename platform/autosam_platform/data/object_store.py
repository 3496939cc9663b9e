"""Scans in an S3 store: copied into the workspace once, and an object again where it has changed.

Everything else stays a folder: the record of runs is an SQLite file, a run has one writer by a lock, and what is
written takes its name in one step, none of which an object store has (docs/reliability.md).
"""

import os
import re
import shutil
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from pyarrow import ArrowException, fs
from tqdm import tqdm

from autosam_inference.errors import UserError
from autosam_inference.files import atomic_write, content_hash
from autosam_inference.scans.names import short_name
from autosam_models.sizes import bytes_text
from autosam_platform.locks import locked
from autosam_platform.places import StoreAddress
from autosam_platform.workspace import Workspace

_AT_A_TIME = 8  # objects; most of the time of a small one is the wait for the first byte
_PIECE = 8 * 2**20  # bytes
_GRAIN_NS = 2_000_000_000  # S3 tells times in whole seconds
_LONGEST = 255  # bytes of a name, on all file systems in use
_ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
_REGIONS = ("AWS_REGION", "AWS_DEFAULT_REGION")


class ObjectStoreError(UserError):
    """An object store that cannot be read, or holds what cannot be copied; the message names it and what to do."""


class _EndedError(Exception):
    """Somebody else failed, or Ctrl-C: what is copied by half is no copy."""


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
        """Is its copy there? One of an object that was young when it was copied is made again."""
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
    identity = content_hash(address.path, _endpoint(address)[1])[:8]
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
    scheme, endpoint = _endpoint(address)
    region = address.options.get("region") or next(filter(None, map(os.environ.get, _REGIONS)), None)
    if region is None and endpoint is None:
        region = fs.resolve_s3_region(address.bucket)
    anonymous = "anonymous" in address.options
    return fs.S3FileSystem(anonymous=anonymous, region=region, endpoint_override=endpoint, scheme=scheme)


def _endpoint(address: StoreAddress) -> tuple[str | None, str | None]:
    """Scheme and host of a store that is not Amazon's: the address's, else the environment's, as AWS's tools take it.

    Arrow reads the environment's too, but then looks for a bucket by a host name of its own.
    """
    told = address.options.get("endpoint_override")
    if told is None:
        url = next(filter(None, map(os.environ.get, _ENDPOINTS)), "")
        scheme, _, host = url.rpartition("://")
        return address.options.get("scheme") or scheme or None, host.rstrip("/") or None
    return address.options.get("scheme"), told


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
    taken = {str(parent).casefold() for name in names for parent in PurePosixPath(name).parents}
    for name in names:
        if _is_no_path(name) or name.casefold() in taken:  # Windows and macOS do not tell A from a
            raise ObjectStoreError(f"{address} holds an object {name!r}, a name that no file here can have: rename it.")
        taken.add(name.casefold())
    return [
        _Object(each.path, folder / name, each.size, each.mtime_ns) for each, name in zip(files, names, strict=True)
    ]


def _is_no_path(name: str) -> bool:
    parts = name.split("/")
    forbidden = r'[\x00-\x1f\\:*?"<>|]' if os.name == "nt" else r"[\x00\\]"
    too_long = any(len(os.fsencode(part)) > _LONGEST for part in parts)
    return bool(re.search(forbidden, name) or {"", ".", ".."} & set(parts)) or too_long


def _remove_others(folder: Path, objects: Sequence[_Object]) -> None:
    """What is no copy of an object that is there, what a killed copier left, and folders that are empty then."""
    kept = {each.copy for each in objects}
    for path in sorted(folder.rglob("*"), reverse=True):  # what is in a folder before the folder
        if path.is_dir() and not path.is_symlink():
            if not any(path.iterdir()):
                path.rmdir()
        elif path not in kept:
            path.unlink(missing_ok=True)


def _require_disk(missing: Sequence[_Object], folder: Path, address: StoreAddress) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    needed, free = sum(each.size for each in missing), shutil.disk_usage(folder).free
    if needed > free:
        raise ObjectStoreError(
            f"{address}: {_many(missing)} to copy, and {bytes_text(free)} are free in {folder}: name a folder that "
            "holds this dataset alone, or make room."
        )


def _many(objects: Sequence[_Object]) -> str:
    size = bytes_text(sum(each.size for each in objects))
    return f"{len(objects)} object{'' if len(objects) == 1 else 's'} of {size}"


def _copy_all(store: fs.S3FileSystem, missing: Sequence[_Object], address: StoreAddress) -> None:
    print(f"{address}: {_many(missing)} to copy", flush=True)
    total = sum(each.size for each in missing)
    bar = tqdm(total=total, unit="B", unit_scale=True, desc=f"copying {address.path}")
    ended = threading.Event()
    with bar, ThreadPoolExecutor(_AT_A_TIME) as pool:
        try:
            for _ in pool.map(lambda each: _copy(store, each, address, bar, ended), missing):
                pass
        finally:
            ended.set()  # Ctrl-C does not wait for what the threads have begun
            pool.shutdown(cancel_futures=True)


def _copy(store: fs.S3FileSystem, each: _Object, address: StoreAddress, bar: tqdm, ended: threading.Event) -> None:
    started_ns = time.time_ns()
    with atomic_write(each.copy) as temporary:
        with temporary.open("wb") as going:
            for piece in _pieces(store, each, address):
                if ended.is_set():
                    raise _EndedError
                going.write(piece)
                bar.update(len(piece))
        # Of one that is younger than the store's clock can tell, the copy keeps its own time: it is compared again.
        if started_ns - each.changed_ns > _GRAIN_NS:
            os.utime(temporary, ns=(each.changed_ns, each.changed_ns))


def _pieces(store: fs.S3FileSystem, each: _Object, address: StoreAddress) -> Iterator[bytes]:
    """The object's bytes; apart from where they are written, since a full disk is not the store's fault.

    Each piece is a request of its own, so an object that changed meanwhile would be a mixture of both.

    Raises:
        ObjectStoreError: it did change.
    """
    read = 0
    with _reasons(address):
        with store.open_input_stream(each.path, compression=None) as coming:
            while piece := coming.read(_PIECE):
                read += len(piece)
                yield piece
        now = store.get_file_info(each.path)
    if (read, now.size, now.mtime_ns) != (each.size, each.size, each.changed_ns):
        raise ObjectStoreError(f"s3://{each.path} was changed while it was copied: the same command continues.")


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
