"""Kill a job's processes at random moments, start the same command until it ends, and compare with a quiet run.

    python tests/faults/kill_loop.py --rounds 10                     each job in turn, any victim
    python tests/faults/kill_loop.py --rounds 20 --job train --victim worker --seed 7
    python tests/faults/kill_loop.py --rounds 1 --victim ctrl-c      as a terminal does it, which must be answered

Each round has a workspace of its own, in which everything before the job is done. What must be equal to the last bit is
what the job leaves: weights, tables, label maps, and of curves each step once. Nothing else may be left: no temporary
file, no process, no shared memory, no run that the record calls RUNNING. Linux, since it looks into /proc.
"""

import argparse
import contextlib
import gzip
import json
import os
import random
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / part) for part in ("platform", "models", "tests")]

from patience import HANG_S  # noqa: E402
from synthetic_scans import write_btcv  # noqa: E402

from autosam_platform.tracking.writing import list_runs, read_curves  # noqa: E402
from autosam_platform.workspace import Workspace  # noqa: E402

VICTIMS = ("driver", "worker", "raylet", "gcs")
CTRL_C = "ctrl-c"
"""No victim: SIGINT to all processes of the terminal's group."""
_ANSWER = "the same command continues"
_MARK = "AUTOSAM_KILL_LOOP"
_TIMES = ("seconds", "wait_share")
"""Parts of the names of what tells how long something took."""
_MOST_STARTS = 5
_GONE = 150.0  # seconds that the processes of a killed job may take: of Ray, its agents ask a lost head for a minute

Results = dict[str, Any]
Expected = tuple[Results, float]
"""What a job leaves undisturbed, and the seconds that it takes."""


@dataclass(frozen=True)
class Scene:
    """Scans and a recipe, small enough that a training takes seconds."""

    folder: Path

    @classmethod
    def write(cls, folder: Path) -> "Scene":
        """Six scans: four to train on, one to validate, one to test."""
        scans = write_btcv(folder / "raw", 6)
        parts = [{"split": name, "cases": n} for name, n in (("train", 4), ("val", 1), ("test", 1))]
        tiny = {"extends": "btcv", "name": "tiny", "title": "tiny", "spacing_xyz": [2.0, 2.0, 3.0]}
        (scans / "tiny.yaml").write_text(json.dumps(tiny | {"split": {"rule": "in_order", "parts": parts}}))
        recipe = {
            "name": "tiny",
            "dataset": {"name": str(scans / "tiny.yaml"), "root": str(scans)},
            "model": {
                "name": "autosam_demo",
                "patch_DHW": [16, 16, 16],
                "options": {"embed_dim": 16, "heads": 2, "window": 4},
            },
            "training": {
                **{"epochs": 4, "warmup_epochs": 1, "patches_per_case": 6, "validate_every": 2, "loader_workers": 1},
                **{"deterministic": True, "precision": "fp32", "checkpoint_steps": 7},
            },
            "inference": {"overlap": 0.25},
            "compute": {"cpus_per_worker": 1, "memory_check": False},
        }
        (folder / "tiny.json").write_text(json.dumps(recipe))
        rates = {"type": "float", "low": 1e-4, "high": 1e-2, "log": True, "grid": [1e-3, 3e-3]}
        (folder / "space.yaml").write_text(json.dumps({"parameters": {"training.learning_rate": rates}}))
        return cls(folder)

    @property
    def recipe(self) -> str:
        return str(self.folder / "tiny.json")

    @property
    def scan(self) -> str:
        return str(self.folder / "raw" / "imagesTr" / "img0006.nii.gz")


@dataclass(frozen=True)
class Job:
    """A command, what is done before it, and what it leaves.

    Attributes:
        words: of the command, from the scene and the workspace.
        after: the job that must have been done.
        without: what of that one's leavings is removed again, as patterns.
        results: by the names of files, or of curves.
    """

    words: Callable[[Scene, Path], list[str]]
    results: Callable[[Path], Results]
    after: str | None = None
    without: Sequence[str] = ()


def _train(scene: Scene, workspace: Path) -> list[str]:
    return ["train_teacher.py", "--recipe", scene.recipe]


def _run(workspace: Path, name: str = "tiny-") -> str:
    """The first finished run whose name begins so: the teacher, unless a network is named."""
    return next(path.parents[1].name for path in sorted(workspace.glob(f"runs/{name}*/model/model.json")))


JOBS = {
    "prepare": Job(
        lambda scene, _: ["prepare.py", "--recipe", scene.recipe], lambda at: _files(at, "prepared/**/*.b2nd")
    ),
    "train": Job(_train, lambda at: _run_files(at) | _curves(at)),
    "evaluate": Job(
        lambda scene, at: ["evaluate.py", "--run", _run(at)],
        lambda at: _run_files(at),
        after="train",
        without=("runs/*/evaluation",),
    ),
    "predict": Job(
        lambda scene, at: ["predict.py", "--run", _run(at), "--input", scene.scan],
        lambda at: _files(at, "predictions/**/*.nii.gz"),
        after="train",
    ),
    "sweep": Job(
        lambda scene, _: [
            *("sweep.py", "--recipe", scene.recipe, "--space", str(scene.folder / "space.yaml"), "--grid"),
            *("--concurrent", "1"),
        ],
        lambda at: _run_files(at) | _curves(at),
    ),
    "export": Job(
        lambda scene, at: ["export.py", "--run", _run(at, "tiny-unet_nano-"), "--no-calibrate"],
        lambda at: _files(at, "bundles/*/models/*"),  # the card tells times
        after="distil",
    ),
    "distil": Job(
        lambda scene, at: [
            *("distill_student.py", "--recipe", scene.recipe, "--teacher", _run(at), "--student", "unet_nano"),
            *("--model.patch-DHW", "16", "16", "16"),
        ],
        lambda at: _run_files(at) | _curves(at),
        after="train",
    ),
}


def _run_files(workspace: Path) -> Results:
    patterns = ("model/model.safetensors", "evaluation/metrics.csv", "evaluation/predictions/*.nii.gz")
    return {name: found for each in patterns for name, found in _files(workspace, f"runs/*/{each}").items()}


def _files(workspace: Path, pattern: str) -> Results:
    """What files hold, by their names; of a compressed one, unpacked."""
    found: Results = {}
    for path in sorted(workspace.glob(pattern)):
        content = path.read_bytes()
        found[str(path.relative_to(workspace))] = gzip.decompress(content) if path.suffix == ".gz" else content
    return found


def _curves(workspace: Path) -> Results:
    found: Results = {}
    for run in list_runs(Workspace(workspace)):
        for name, points in read_curves(Workspace(workspace), run.run_id).items():
            if not any(part in name for part in _TIMES):
                found[f"{run.run_id} {name}"] = points
    return found


@dataclass
class Round:
    """What came of one."""

    job: str
    victims: list[str] = field(default_factory=list)
    starts: int = 0
    differs: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    failure: str = ""

    @property
    def sound(self) -> bool:
        """Did it end with the same results, and nothing else?"""
        return not (self.differs or self.left or self.failure)


class Process:
    """A start of the command, and all processes that come of it."""

    def __init__(self, words: Sequence[str], workspace: Path, log: Path) -> None:
        self.mark = secrets.token_hex(8)
        environment = os.environ | {"AUTOSAM_WORKSPACE": str(workspace), _MARK: self.mark}
        environment.pop("RAY_ADDRESS", None)
        command = [sys.executable, str(ROOT / "jobs" / words[0]), *words[1:]]
        with log.open("a") as out:
            self.driver = subprocess.Popen(
                command, env=environment, stdout=out, stderr=subprocess.STDOUT, cwd=workspace, start_new_session=True
            )

    def all(self) -> dict[int, str]:
        """Its processes that live, by what they are."""
        return dict(_marked(self.mark))

    def kill(self, kind: str, rng: random.Random) -> str | None:
        """Kill one of a kind, or of any, or interrupt them as a terminal does; gives what it was."""
        if kind == CTRL_C:
            os.killpg(self.driver.pid, signal.SIGINT)
            return CTRL_C
        alive = {pid: each for pid, each in self.all().items() if kind in ("any", each)}
        if not alive:
            return None
        chosen = rng.choice(sorted(set(alive.values())))  # each kind as likely as the others, however many it has
        pid = rng.choice([pid for pid, each in alive.items() if each == chosen])
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        return chosen

    def gone(self) -> list[str]:
        """Waits for its processes to end after the driver; gives those that do not."""
        deadline = time.monotonic() + _GONE
        while (left := self.all()) and time.monotonic() < deadline:
            time.sleep(0.5)
        told = [f"{kind} ({_words(pid)})" for pid, kind in sorted(left.items())]
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return told


def _words(pid: int) -> str:
    """How its command line begins, and ends."""
    with contextlib.suppress(OSError):
        words = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
        return words if len(words) < 160 else f"{words[:80]} … {words[-80:]}"
    return "gone"


def _marked(mark: str) -> Iterator[tuple[int, str]]:
    wanted = f"{_MARK}={mark}".encode()
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            if wanted not in (entry / "environ").read_bytes().split(b"\0"):
                continue
            words = (entry / "cmdline").read_bytes()
            state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue  # it ended while we looked
        if state != "Z" and words:
            yield int(entry.name), _kind(words)


def _kind(words: bytes) -> str:
    first = words.split(b"\0")[0]
    if first.endswith(b"gcs_server"):
        return "gcs"
    if first.endswith(b"/raylet"):
        return "raylet"
    return "driver" if b"/jobs/" in words else "worker"  # Ray's own helpers among them


def quiet_run(job: Job, scene: Scene, workspace: Path) -> Expected:
    """What the job leaves when nobody disturbs it, and the seconds that it takes."""
    started = time.monotonic()
    process = Process(job.words(scene, workspace), workspace, workspace.with_suffix(".log"))
    status = process.driver.wait(HANG_S)
    if status:
        raise SystemExit(f"the undisturbed run ended with status {status}: see {workspace.with_suffix('.log')}")
    seconds = time.monotonic() - started
    process.gone()
    return job.results(workspace), seconds


def disturbed(
    name: str, scene: Scene, workspace: Path, expected: Results, seconds: float, victim: str, rng: random.Random
) -> Round:
    """One round: a kill at a random moment of the first start, and of every second one after it."""
    job, found = JOBS[name], Round(name)
    shared = set(os.listdir("/dev/shm"))
    while found.starts < _MOST_STARTS:
        process = Process(job.words(scene, workspace), workspace, workspace.with_suffix(".log"))
        found.starts += 1
        struck = len(found.victims)
        if found.starts % 2:
            try:
                process.driver.wait(rng.uniform(0, seconds))
            except subprocess.TimeoutExpired:
                found.victims += [each] if (each := process.kill(victim, rng)) else []
        try:
            status = process.driver.wait(HANG_S)
        except subprocess.TimeoutExpired:
            process.driver.kill()
            found.failure = "it hung"
            break
        found.left += [f"process: {kind}" for kind in process.gone()]
        if status == 0:
            break
        interrupted = victim == CTRL_C and len(found.victims) > struck
        if interrupted and not _answered(status, workspace.with_suffix(".log")):
            found.failure = f"it ended with status {status} after Ctrl-C, or without '{_ANSWER}'"
            break
    else:
        found.failure = f"it did not end in {_MOST_STARTS} starts"
    if not found.failure:
        results = job.results(workspace)
        names = sorted(expected.keys() | results.keys())
        found.differs = [each for each in names if expected.get(each) != results.get(each)]
    found.left += [str(path.relative_to(workspace)) for path in workspace.rglob(".*.tmp-*")]
    found.left += [f"/dev/shm/{each}" for each in sorted(set(os.listdir("/dev/shm")) - shared)]
    found.left += [f"{run.run_id} is {run.state}" for run in list_runs(Workspace(workspace)) if run.state == "RUNNING"]
    return found


def struck(
    name: str, scene: Scene, start: Path, workspace: Path, expected: Expected, victim: str, rng: random.Random
) -> Round:
    """A round in which somebody is killed: a job that had ended by the moment is done again, with an earlier one.

    Args:
        start: is copied to ``workspace`` for it.
        expected: what the job leaves undisturbed, and the seconds that it took, maybe on a busier machine.
    """
    results, seconds = expected
    for _ in range(_MOST_STARTS):
        shutil.rmtree(workspace, ignore_errors=True)
        shutil.copytree(start, workspace)
        started = time.monotonic()
        found = disturbed(name, scene, workspace, results, seconds, victim, rng)
        if found.victims or not found.sound:
            break
        seconds = 0.8 * min(seconds, time.monotonic() - started)
    return found


def _answered(status: int, log: Path) -> bool:
    """Did a job that was interrupted say what continues, or before that its result, and nothing after it?

    Python itself ends by the signal, where its imports are interrupted or its last steps, which come after the result.
    """
    last = (log.read_text().splitlines() or [""])[-1]
    return status in (128 + signal.SIGINT, -signal.SIGINT) and (_ANSWER in last or last.startswith("Result: "))


def prepare_scene(names: Sequence[str], folder: Path) -> tuple[Scene, dict[str, Path], dict[str, Expected]]:
    """The scans; for each job the workspace that it starts in; and what is expected of it."""
    scene = Scene.write(folder)
    starts: dict[str, Path] = {}
    expected: dict[str, Expected] = {}

    def prepare(name: str) -> None:
        start, before = folder / f"start-{name}", JOBS[name].after
        if before is None:
            start.mkdir()
        else:
            if before not in expected:
                prepare(before)
            shutil.copytree(folder / before, start)
            for path in [path for pattern in JOBS[name].without for path in start.glob(pattern)]:
                shutil.rmtree(path)
        shutil.copytree(start, folder / name)
        starts[name], expected[name] = start, quiet_run(JOBS[name], scene, folder / name)

    for name in names:
        if name not in expected:
            prepare(name)
    return scene, starts, expected


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=10, help="of each job")
    parser.add_argument(
        "--job", choices=sorted(JOBS), action="append", help="one of them, or several; all if not given"
    )
    parser.add_argument("--victim", choices=("any", *VICTIMS, CTRL_C), default="any")
    parser.add_argument("--seed", type=int, default=0, help="of victims and moments")
    asked = parser.parse_args()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # what is started in the background ignores it
    names = asked.job or sorted(JOBS)
    folder = Path(tempfile.mkdtemp(prefix="kills-"))
    scene, starts, expected = prepare_scene(names, folder)
    rounds: list[Round] = []
    for number in range(asked.rounds):
        for name in names:
            workspace = folder / f"round-{number}-{name}"
            rng = random.Random(f"{asked.seed} {number} {name}")
            found = struck(name, scene, starts[name], workspace, expected[name], asked.victim, rng)
            rounds.append(found)
            killed = ", ".join(found.victims) or "nobody (it had ended)"
            print(f"{number + 1} {name}: killed {killed}; {found.starts} start(s); {_said(found)}", flush=True)
            if found.sound:
                shutil.rmtree(workspace)
    print(f"\n| Job | Rounds | Kills | Ended by itself | Same results | Nothing left |\n|{'---|' * 6}")
    for name in names:
        mine = [each for each in rounds if each.job == name]
        kills = sum(len(each.victims) for each in mine)
        alone = sum(each.starts == 1 for each in mine)
        same, clean = sum(not (each.differs or each.failure) for each in mine), sum(not each.left for each in mine)
        print(f"| {name} | {len(mine)} | {kills} | {alone} | {same} | {clean} |")
    if all(each.sound for each in rounds):
        shutil.rmtree(folder)
    else:
        raise SystemExit(f"{sum(not each.sound for each in rounds)} round(s) were not sound: see {folder}")


def _said(found: Round) -> str:
    problems = [found.failure] if found.failure else []
    problems += [f"differs: {', '.join(found.differs[:5])}"] if found.differs else []
    problems += [f"left: {', '.join(found.left[:5])}"] if found.left else []
    return "; ".join(problems) or "the same, and nothing left"


if __name__ == "__main__":
    main()
