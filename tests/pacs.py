"""A PACS on this machine (Debian's orthanc), and what a ward asks of it with dcmtk's commands."""

import json
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pydicom
from patience import HANG_S
from pydicom.dataset import Dataset

ORTHANC = shutil.which("Orthanc") or shutil.which("Orthanc", path="/usr/sbin")  # Debian's place, not in every PATH
MISSING = [name for name in ("storescu", "findscu", "getscu", "movescu") if shutil.which(name) is None]
MISSING += [] if ORTHANC else ["orthanc"]
"""What is not installed."""


@dataclass(frozen=True)
class Pacs:
    """A PACS that knows one other station, the ward, at the port ``ward``."""

    dicom: int
    web: int
    ward: int

    def _ask(self, command: str, *words: object) -> str:
        names = ["-aet", "WARD", "-aec", "PACS", "127.0.0.1", str(self.dicom)]
        line = [command, *names, *(str(each) for each in words)]
        done = subprocess.run(line, capture_output=True, text=True, timeout=HANG_S, check=False)
        assert done.returncode == 0, f"{' '.join(line)}\n{done.stdout}{done.stderr}"
        return done.stdout + done.stderr

    def store(self, *files: Path) -> None:
        """C-STORE."""
        self._ask("storescu", "-R", *files)

    def upload(self, file: Path) -> None:
        """By the web, as the PACS's own page does."""
        address = f"http://127.0.0.1:{self.web}/instances"
        request = urllib.request.Request(address, file.read_bytes(), {"Content-Type": "application/dicom"})
        with _opener().open(request, timeout=HANG_S) as answer:
            assert json.load(answer)["Status"] == "Success"

    def download(self, uid: str, path: Path) -> Path:
        """An object by its SOPInstanceUID, by the web."""
        query = json.dumps({"Level": "Instance", "Query": {"SOPInstanceUID": uid}}).encode()
        with _opener().open(f"http://127.0.0.1:{self.web}/tools/find", query, timeout=HANG_S) as answer:
            (name,) = json.load(answer)
        with _opener().open(f"http://127.0.0.1:{self.web}/instances/{name}/file", timeout=HANG_S) as answer:
            path.write_bytes(answer.read())
        return path

    def find(self, folder: Path, level: str, **keys: str) -> list[Dataset]:
        """C-FIND: what the PACS holds at a level (STUDY, SERIES); keys without a value are asked for."""
        folder.mkdir()
        words = [part for name, value in keys.items() for part in ("-k", f"{name}={value}")]
        self._ask("findscu", "-S", "-X", "-od", folder, "-k", f"QueryRetrieveLevel={level}", *words)
        return [pydicom.dcmread(each, force=True) for each in sorted(folder.iterdir())]

    def get(self, folder: Path, study: str, series: str) -> Path:
        """C-GET: the files of a series, over the connection that asks."""
        folder.mkdir()
        self._ask("getscu", "-S", *_of_series(study, series), "-od", folder)
        return folder

    def move(self, folder: Path, study: str, series: str) -> Path:
        """C-MOVE: the files of a series, sent to the ward's own port."""
        folder.mkdir()
        self._ask("movescu", "-S", "-aem", "WARD", "+P", self.ward, *_of_series(study, series), "-od", folder)
        return folder


def _of_series(study: str, series: str) -> list[str]:
    keys = ("QueryRetrieveLevel=SERIES", f"StudyInstanceUID={study}", f"SeriesInstanceUID={series}")
    return [part for key in keys for part in ("-k", key)]


def _opener() -> urllib.request.OpenerDirector:
    return urllib.request.build_opener(urllib.request.ProxyHandler({}))


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


@contextmanager
def running_pacs(folder: Path) -> Iterator[Pacs]:
    """An empty PACS whose files lie in ``folder``, and which answers this machine alone."""
    pacs = Pacs(*_free_ports(3))
    settings = {
        "StorageDirectory": str(folder / "store"),
        "IndexDirectory": str(folder / "store"),
        "HttpPort": pacs.web,
        "RemoteAccessAllowed": False,
        "WebDavEnabled": False,
        "DicomAet": "PACS",
        "DicomPort": pacs.dicom,
        "DicomCheckCalledAet": True,
        "DicomCheckModalityHost": True,
        "DicomAlwaysAllowStore": False,  # but for the ward, which is on this machine
        "DicomModalities": {"ward": ["WARD", "127.0.0.1", pacs.ward]},
        "Plugins": [],
    }
    (folder / "settings.json").write_text(json.dumps(settings))
    with (folder / "log").open("w") as log:
        assert ORTHANC is not None
        process = subprocess.Popen([ORTHANC, str(folder / "settings.json")], stdout=log, stderr=log)
    try:
        _wait(process, pacs, folder / "log")
        yield pacs
    finally:
        process.terminate()
        process.wait(HANG_S)


def _wait(process: subprocess.Popen[bytes], pacs: Pacs, log: Path) -> None:
    until = time.monotonic() + HANG_S
    while time.monotonic() < until and process.poll() is None:
        try:
            for port in (pacs.dicom, pacs.web):
                socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.1)
    raise AssertionError(f"the PACS did not start:\n{log.read_text()}")
