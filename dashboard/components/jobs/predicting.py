"""Predictions that the page Predict started: outside the app's process, so that closing it stops nothing.

Each has a record and a log in the workspace's ``predicting/``, by which any page finds it again, and a folder in
``predictions/`` with what jobs/predict.py wrote. Where no Ray cluster runs, the process that predicts holds a lock on
its log as long as it lives.
"""

import fcntl
import json
import os
import re
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from autosam_inference.files import write_json
from autosam_platform.workspace import PredictionFolder, workspace
from dashboard.components.base.places import PROJECT, ReadingError, checked_id
from dashboard.components.jobs import ray_jobs
from dashboard.components.jobs.in_turn import WAITS
from dashboard.components.jobs.model_choice import ModelChoice
from dashboard.components.jobs.scan_choice import ScanChoice

WAITING, RUNNING, DONE, FAILED = "waiting", "running", "done", "failed"
ACTIVE = (WAITING, RUNNING)
_IN_TURN = Path(__file__).with_name("in_turn.py")
_WINDOWS = re.compile(r"window (\d+) of (\d+)")


@dataclass(frozen=True)
class PredictionJob:
    """A scan, the run whose model (or the bundle that) segments it, and what works on it.

    Attributes:
        name: of its folder in predictions/.
        job_id: of the Ray job; empty where a process of this machine predicts.
        process: that process; 0 for a Ray job.
    """

    name: str
    scan: Path
    run: str
    started: datetime
    job_id: str
    process: int

    @property
    def output(self) -> PredictionFolder:
        """What is there when the prediction is done."""
        return workspace().new_prediction(self.name, self.scan)

    @property
    def log(self) -> Path:
        """What the process printed; a Ray job's log is Ray's."""
        return workspace().predicting / f"{self.name}.log"


def start(choice: ScanChoice, model: ModelChoice, address: str | None) -> PredictionJob:
    """Predict a scan with a model: on the cluster at ``address``, else in a process of this machine.

    A prediction that goes on, or is done, is found. Without a cluster ``at_once()`` go on at most, and others wait.

    Raises:
        ReadingError, NoClusterError: the cluster does not take it.
    """
    scan = choice.path
    name = workspace().prediction_name(scan, model.name, choice.series)
    known = find(name)
    if known is not None:
        if state(known, address) != FAILED:
            return known
        known.output.label.unlink(missing_ok=True)  # half of an attempt, which the job would not replace
    new = PredictionJob(name, scan, model.name, datetime.now(UTC), "", 0)
    words = ["--input", str(scan), "--run", model.told, "--output", str(new.output.label)]
    words += [] if choice.series is None else ["--series", choice.series]
    words += ["--straighten"] * choice.straighten
    if address is not None:
        return _recorded(new, ray_jobs.submit(address, "predict", words), 0)
    return _recorded(new, "", _start_process(new.log, words))


def _recorded(new: PredictionJob, job_id: str, process: int) -> PredictionJob:
    content = {
        "scan": workspace().relative(new.scan),
        "run": new.run,
        "started": new.started.isoformat(),
        "job_id": job_id,
    }
    write_json(_record(new.name), content | {"process": process})
    return replace(new, job_id=job_id, process=process)


def _record(name: str) -> Path:
    return workspace().predicting / f"{name}.json"


def at_once() -> int:
    """Predictions that processes of this machine make at a time: one per core that the app may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _start_process(log: Path, words: list[str]) -> int:
    log.parent.mkdir(parents=True, exist_ok=True)
    turns = [sys.executable, str(_IN_TURN), str(workspace().predicting), str(at_once())]
    command = [*turns, sys.executable, str(PROJECT / "jobs" / "predict.py"), *words]
    settings = {**os.environ, "AUTOSAM_WORKSPACE": str(workspace().folder)}
    with log.open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # goes to the process with its output, and is free when that ends
        process = subprocess.Popen(
            command,
            cwd=PROJECT,
            env=settings,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            start_new_session=True,
        )
    threading.Thread(target=process.wait, daemon=True).start()  # else it stays in the list of processes
    return process.pid


def find(name: str) -> PredictionJob | None:
    """The prediction of this name, if the page started one.

    Raises:
        ReadingError: its record is damaged, or ``name`` is none.
    """
    path = _record(checked_id("prediction", name))
    if not path.exists():
        return None
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        scan, started = workspace().resolve(str(told["scan"])), datetime.fromisoformat(told["started"])
        return PredictionJob(name, scan, str(told["run"]), started, str(told["job_id"]), int(told["process"]))
    except (ValueError, KeyError, TypeError) as error:
        raise ReadingError(f"{path} is no record of a prediction ({error!r}): remove it and predict again.") from error


def listed(most: int) -> list[PredictionJob]:
    """The newest predictions that can be read, newest first."""
    found = []
    records = workspace().predicting.glob("*.json")
    for path in sorted(records, key=lambda path: path.stat().st_mtime, reverse=True)[:most]:
        try:
            found.append(find(path.stem))
        except ReadingError:
            continue  # the page of that prediction says so
    return [each for each in found if each is not None]


def state(prediction: PredictionJob, address: str | None) -> str:
    """WAITING, RUNNING, DONE or FAILED; what a cluster that is gone was doing has failed.

    It is done when all its files are there.
    """
    if prediction.output.whole:
        return DONE
    if not prediction.job_id:
        if not _locked(prediction.log):
            return FAILED
        return WAITING if prediction.log.read_bytes() == WAITS.encode() else RUNNING
    job = ray_jobs.find_job(address, prediction.job_id) if address else None
    if job is None or not job.active:
        return FAILED
    return WAITING if job.state == "PENDING" else RUNNING


def _locked(log: Path) -> bool:
    if not log.exists():
        return False
    with log.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def log_of(prediction: PredictionJob, address: str | None) -> str:
    """The end of what was printed."""
    if not prediction.job_id:
        return ray_jobs.tail(prediction.log.read_text("utf-8", "replace"), 200) if prediction.log.exists() else ""
    known = address is not None and ray_jobs.find_job(address, prediction.job_id)
    return ray_jobs.log_of(address, prediction.job_id) if address and known else ""


def progress(log: str) -> float | None:
    """Share of the windows that are predicted; ``None`` before the first are."""
    counts = _WINDOWS.findall(log)
    return int(counts[-1][0]) / int(counts[-1][1]) if counts else None


def stop(prediction: PredictionJob, address: str | None) -> None:
    """End a prediction that goes on."""
    if prediction.job_id and address:
        ray_jobs.stop(address, prediction.job_id)
    elif _locked(prediction.log):  # the number may be another process's by now
        os.killpg(prediction.process, signal.SIGTERM)
