"""A training on two machines: equal to one of two cores, and the same when a machine, the network or the head fails.

Where namespaces are not allowed this is skipped, and says why; docs/reliability.md has what it found.
"""

import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from kill_loop import JOBS, ROOT, Job, Results, Scene, quiet_run
from patience import HANG_S, wait_until
from two_machines import PACKAGES, Cluster, NoNamespacesError, two_machines

pytestmark = pytest.mark.usefixtures("ray_of_its_own")

_CUT_S = 30.0
_NOTICE_S = 300


@dataclass(frozen=True)
class Trial:
    """The two machines, and the training that they are given.

    Attributes:
        project: a copy of it, which is sent along.
        words: of the command, script first.
    """

    cluster: Cluster
    project: Path
    words: list[str]
    folder: Path
    scene: Scene

    def run(self, name: str, disturb: Callable[[Path], None] | None = None, *more: str) -> tuple[int, str, Path]:
        """Train, disturbed meanwhile; gives the job's status, what it said, and the workspace."""
        workspace = self.folder / name
        workspace.mkdir(exist_ok=True)
        script, *words = self.words
        process = self.cluster.submit(self.project, workspace, "python", f"jobs/{script}", *words, *more)
        try:
            if disturb is not None:
                disturb(workspace)
            said, _ = process.communicate(timeout=HANG_S)
        finally:
            process.kill()
        return process.returncode, said, workspace


@pytest.fixture(scope="module")
def trial(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trial]:
    folder = tmp_path_factory.mktemp("two")
    scene = Scene.write(folder / "scene")
    project = folder / "project"
    for name in PACKAGES:
        shutil.copytree(ROOT / name, project / name, ignore=shutil.ignore_patterns("__pycache__"))
    words = ["train_teacher.py", "--recipe", scene.recipe, "--compute.workers", "2", "--training.epochs", "12"]
    words += ["--training.validate-every", "12"]
    try:
        with two_machines(folder) as cluster:
            yield Trial(cluster, project, words, folder, scene)
    except NoNamespacesError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def expected(trial: Trial) -> Results:
    """What the training leaves on one machine of two cores."""
    one = trial.folder / "one"
    one.mkdir()
    return quiet_run(Job(lambda _, __: trial.words, JOBS["train"].results), trial.scene, one)[0]


def _differs(workspace: Path, expected: Results) -> list[str]:
    """Names of what is not as on one machine."""
    found = JOBS["train"].results(workspace)
    return [name for name in sorted(found.keys() | expected.keys()) if found.get(name) != expected.get(name)]


def _in_training(workspace: Path) -> None:
    """Returns in the middle of an epoch, after a checkpoint was kept."""
    wait_until(lambda: list(workspace.glob("runs/*/ray/checkpoint_*/position.json")))
    time.sleep(1.0)


def test_two_machines_train_as_one(trial: Trial, expected: Results) -> None:
    status, said, workspace = trial.run("both", None, "--verbose")
    assert status == 0, said
    assert "2 worker(s) on cpu" in said
    started = said.partition("Started training worker group")[2][:1000]
    assert all(f"ip={each.address}" in started for each in (trial.cluster.head, trial.cluster.worker)), said
    assert not _differs(workspace, expected)


@pytest.mark.machines
def test_a_machine_that_dies_and_comes_back_changes_nothing(trial: Trial, expected: Results) -> None:
    def disturb(workspace: Path) -> None:
        _in_training(workspace)
        trial.cluster.worker.kill()
        time.sleep(5)
        trial.cluster.start_worker()

    status, said, workspace = trial.run("machine", disturb)
    assert status == 0, said
    assert "from step" in said, "it was disturbed"
    assert not _differs(workspace, expected)


@pytest.mark.machines
def test_a_network_that_is_cut_changes_nothing(trial: Trial, expected: Results) -> None:
    def disturb(workspace: Path) -> None:
        _in_training(workspace)
        trial.cluster.worker.plug(False)
        time.sleep(_CUT_S)
        trial.cluster.worker.plug(True)
        # The head took it for dead, unless that is later here: then Ray on it ends, and what runs a cluster starts it.
        worker, finished = trial.cluster.worker, workspace.glob
        wait_until(lambda: not worker.alive() or list(finished("runs/*/model/model.json")))
        if not worker.alive():
            trial.cluster.start_worker()

    status, said, workspace = trial.run("network", disturb)
    assert status == 0, said
    assert not _differs(workspace, expected)


@pytest.mark.machines
def test_the_same_command_goes_on_after_the_head_died(trial: Trial, expected: Results) -> None:
    def disturb(workspace: Path) -> None:
        _in_training(workspace)
        trial.cluster.head.kill()
        trial.cluster.worker.kill()  # without a head it would end by itself, after a minute
        trial.cluster.start_head()
        trial.cluster.start_worker()

    status, said, _ = trial.run("head", disturb)
    assert status != 0, said
    status, said, workspace = trial.run("head")
    assert status == 0, said
    assert "from step" in said, "it went on"
    assert not _differs(workspace, expected)


@pytest.mark.machines
def test_a_machine_that_leaves_is_done_without(trial: Trial) -> None:
    """Notice is given, and the only checkpoint kept; when the machine is gone, the run goes on with one worker."""

    def disturb(workspace: Path) -> None:
        wait_until(lambda: list(workspace.glob("runs/*/progress.json")))
        trial.cluster.drain_worker(_NOTICE_S)
        _in_training(workspace)
        trial.cluster.worker.kill()

    more = ["--training.epochs", "30", "--training.validate-every", "30", "--training.checkpoint-epochs", "30"]
    more += ["--training.checkpoint-steps", "0"]
    status, said, workspace = trial.run("elastic", disturb, *more, "--compute.min-workers", "1")
    assert status == 0, said
    before, notice, after = said.partition("a machine is about to be taken away: keeping a checkpoint")
    assert notice and "2 worker(s) on cpu" in before
    assert "1 of 2 workers on cpu" in after and "from step" in after
    (losses,) = (curve for name, curve in JOBS["train"].results(workspace).items() if name.endswith("train/loss"))
    assert [step for step, _ in losses] == list(range(1, 30 * 12 + 1))  # 4 cases of 6 patches, two at a time
