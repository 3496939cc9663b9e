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
from patience import wait_until
from two_machines import PACKAGES, Cluster, NoNamespacesError, two_machines

pytestmark = pytest.mark.usefixtures("ray_of_its_own")

_CUT_S = 30.0
_NOTICE_S = 300


@dataclass(frozen=True)
class Trial:
    """The two machines, and the training that they are given.

    Attributes:
        project: a copy of it, which is sent along.
        expected: what the training leaves on one machine.
    """

    cluster: Cluster
    project: Path
    words: list[str]
    folder: Path
    expected: Results

    def run(self, name: str, disturb: Callable[[Path], None] | None = None, *more: str) -> tuple[int, str, Path]:
        """Train, disturbed meanwhile; gives the job's status, what it said, and the workspace."""
        workspace = self.folder / name
        workspace.mkdir(exist_ok=True)
        script, *words = self.words
        process = self.cluster.submit(self.project, workspace, "python", f"jobs/{script}", *words, *more)
        if disturb is not None:
            disturb(workspace)
        said, _ = process.communicate()
        return process.returncode, said, workspace

    def differs(self, workspace: Path) -> list[str]:
        """Names of what is not as on one machine."""
        found = JOBS["train"].results(workspace)
        names = sorted(found.keys() | self.expected.keys())
        return [name for name in names if found.get(name) != self.expected.get(name)]


@pytest.fixture(scope="module")
def trial(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trial]:
    folder = tmp_path_factory.mktemp("two")
    scene = Scene.write(folder / "scene")
    project = folder / "project"
    for name in PACKAGES:
        shutil.copytree(ROOT / name, project / name, ignore=shutil.ignore_patterns("__pycache__"))
    words = ["train_teacher.py", "--recipe", scene.recipe, "--compute.workers", "2", "--training.epochs", "12"]
    words += ["--training.validate-every", "12"]
    one = folder / "one"
    one.mkdir()
    try:
        with two_machines(folder) as cluster:
            expected, _ = quiet_run(Job(lambda _, __: words, JOBS["train"].results), scene, one)
            yield Trial(cluster, project, words, folder, expected)
    except NoNamespacesError as error:
        pytest.skip(str(error))


def _in_training(workspace: Path) -> None:
    """Returns in the middle of an epoch, after a checkpoint was kept."""
    wait_until(lambda: list(workspace.glob("runs/*/ray/checkpoint_*/position.json")))
    time.sleep(1.0)


def test_two_machines_train_as_one(trial: Trial) -> None:
    status, said, workspace = trial.run("both", None, "--verbose")
    assert status == 0, said
    assert "2 worker(s) on cpu" in said
    started = said.partition("Started training worker group")[2][:1000]
    assert all(f"ip={each.address}" in started for each in (trial.cluster.head, trial.cluster.worker)), said
    assert not trial.differs(workspace)


@pytest.mark.machines
def test_a_machine_that_dies_and_comes_back_changes_nothing(trial: Trial) -> None:
    def disturb(workspace: Path) -> None:
        _in_training(workspace)
        trial.cluster.worker.kill()
        time.sleep(5)
        trial.cluster.start_worker()

    status, said, workspace = trial.run("machine", disturb)
    assert status == 0, said
    assert not trial.differs(workspace)


@pytest.mark.machines
def test_a_network_that_is_cut_changes_nothing(trial: Trial) -> None:
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
    assert not trial.differs(workspace)


@pytest.mark.machines
def test_the_same_command_goes_on_after_the_head_died(trial: Trial) -> None:
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
    assert not trial.differs(workspace)


@pytest.mark.machines
def test_a_machine_that_leaves_is_done_without(trial: Trial) -> None:
    """Notice is given, and the only checkpoint kept; when the machine is gone, the run goes on with one worker."""

    def disturb(workspace: Path) -> None:
        wait_until(lambda: list(workspace.glob("runs/*/progress.json")))
        trial.cluster.drain_worker(_NOTICE_S)
        _in_training(workspace)
        trial.cluster.worker.kill()

    more = ["--training.epochs", "60", "--training.validate-every", "60", "--training.checkpoint-epochs", "60"]
    more += ["--training.checkpoint-steps", "0"]
    status, said, workspace = trial.run("elastic", disturb, *more, "--compute.min-workers", "1")
    assert status == 0, said
    before, notice, after = said.partition("a machine is about to be taken away: keeping a checkpoint")
    assert notice and "2 worker(s) on cpu" in before
    assert "1 of 2 workers on cpu" in after and "from step" in after
    (losses,) = (curve for name, curve in JOBS["train"].results(workspace).items() if name.endswith("train/loss"))
    assert [step for step, _ in losses] == list(range(1, len(losses) + 1)) and len(losses) > 600
