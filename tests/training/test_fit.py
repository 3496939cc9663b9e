"""Fits on a real Ray with real data and a tiny teacher: killed, continued, spread over workers, stopped by a NaN."""

import functools
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
import torch
from patience import HANG_S, wait_until
from synthetic_scans import write_btcv

from autosam_inference.model import TrainedModel
from autosam_inference.prediction import predict
from autosam_inference.scans.scan import read_scan
from autosam_platform import cluster
from autosam_platform.data.description import load_description
from autosam_platform.data.preparation import Preparation, PreparedDataset, prepare
from autosam_platform.experiment import Experiment
from autosam_platform.locks import locked
from autosam_platform.tracking.writing import Run, list_runs, read_curves
from autosam_platform.training import checkpoints
from autosam_platform.training.fitting import Runner, Supervision, TrainingStopped, fit
from autosam_platform.training.in_process import InProcess
from autosam_platform.training.objectives import SegmentationObjective
from autosam_platform.training.on_ray import OnRay
from autosam_platform.training.samples import PatchSamples
from autosam_platform.workspace import Workspace

ROOT = Path(__file__).parents[2]
Capture = pytest.CaptureFixture[str]
TIMES = ("train/step_seconds", "train/wait_share", "train/seconds")
MODEL = {
    "name": "autosam_demo",
    "patch_DHW": (16, 16, 16),
    "options": {"embed_dim": 16, "heads": 2, "window": 4},
}


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six scans: four to train on, one to validate, one to test."""
    folder = write_btcv(tmp_path_factory.mktemp("raw"), 6)
    (folder / "tiny.yaml").write_text(
        "extends: btcv\nname: tiny\ntitle: tiny\nspacing_xyz: [2.0, 2.0, 3.0]\n"
        "split: {rule: in_order, parts: [{split: train, cases: 4}, {split: val, cases: 1}, {split: test, cases: 1}]}\n"
    )
    return folder


@pytest.fixture(scope="module")
def prepared(scans: Path, tmp_path_factory: pytest.TempPathFactory, ray_local: str) -> PreparedDataset:
    description = load_description(scans / "tiny.yaml")
    return prepare(description, scans, Preparation(), Workspace(tmp_path_factory.mktemp("prepared")))


def _experiment(scans: Path, **training: object) -> Experiment:
    compute = {name: training.pop(name) for name in ("workers", "min_workers", "accumulate") if name in training}
    defaults = {
        "epochs": 3,
        "warmup_epochs": 1,
        "patches_per_case": 4,
        "batch": 1,
        "validate_every": 2,
        "deterministic": True,
        "precision": "fp32",
        "loader_workers": 0,
    }
    return Experiment.model_validate(
        {
            "name": "tiny",
            "dataset": {"name": str(scans / "tiny.yaml"), "root": scans},
            "model": MODEL,
            "training": defaults | training,
            "inference": {"overlap": 0.25},
            "compute": {"cpus_per_worker": 1, "memory_check": False} | compute,
        }
    )


@pytest.fixture(scope="module")
def uninterrupted(scans: Path, prepared: PreparedDataset, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The same global batch of 2 in this process, on one worker of Ray and on two, none of them disturbed."""
    folders = {}
    for name, workers, runner in (("here", 1, InProcess()), ("1", 1, OnRay()), ("2", 2, OnRay())):
        workspace = tmp_path_factory.mktemp(f"workers-{name}")
        experiment = _experiment(scans, workers=workers, batch=2 // workers)
        result = fit(experiment, prepared, Workspace(workspace), runner=runner)
        assert not result.found
        folders[name] = result.run.folder
    return folders


def _weights(run: Path) -> dict[str, np.ndarray]:
    return safetensors.numpy.load_file(run / "model" / "model.safetensors")


def _same_bits(one: Path, other: Path) -> bool:
    first, second = _weights(one), _weights(other)
    return first.keys() == second.keys() and all(np.array_equal(first[name], second[name]) for name in first)


def _curves(run: Path) -> dict[str, list[tuple[int, float]]]:
    """All that was recorded at each step, but how long it took."""
    curves = _recorded(run)
    return {name: points for name, points in curves.items() if name not in TIMES}


def _recorded(run: Path) -> dict[str, list[tuple[int, float]]]:
    return read_curves(Workspace(run.parents[1]), run.name)


def test_two_workers_see_what_one_sees_with_the_same_global_batch(uninterrupted: dict[str, Path]) -> None:
    curves = [_recorded(uninterrupted[name]) for name in ("1", "2")]
    one, two = (dict(curve["train/loss"]) for curve in curves)
    assert sorted(one) == sorted(two) == list(range(1, 25))  # 3 epochs of 4 cases · 4 patches in batches of 2
    assert max(abs(one[step] - two[step]) for step in one) < 1e-3
    assert one[24] < one[1]
    assert curves[0]["val/dice/mean"][0][0] == curves[1]["val/dice/mean"][0][0] == 16


def test_a_batch_in_parts_is_the_batch(
    scans: Path, prepared: PreparedDataset, uninterrupted: dict[str, Path], tmp_path: Path
) -> None:
    experiment = _experiment(scans, batch=2, accumulate=2)
    in_parts = fit(experiment, prepared, Workspace(tmp_path), runner=InProcess(), quiet=True).run.folder
    assert in_parts.name == uninterrupted["here"].name  # so either goes on with the other's run
    found, expected = _recorded(in_parts), _recorded(uninterrupted["here"])
    for name in ("train/loss", "train/gradient_norm"):
        assert found[name][0][1] == pytest.approx(expected[name][0][1], rel=1e-5)  # before rounding has grown
        assert [step for step, _ in found[name]] == list(range(1, 25))
    one, two = (dict(each["train/loss"]) for each in (found, expected))
    assert max(abs(one[step] - two[step]) for step in one) < 1e-3


def test_one_worker_of_two_computes_the_others_share_too(
    scans: Path, prepared: PreparedDataset, uninterrupted: dict[str, Path], tmp_path: Path
) -> None:
    experiment = _experiment(scans, batch=1, workers=2, min_workers=1)
    alone = fit(experiment, prepared, Workspace(tmp_path), runner=InProcess(), quiet=True).run.folder
    assert alone.name == uninterrupted["2"].name
    found, expected = (dict(_recorded(run)["train/loss"]) for run in (alone, uninterrupted["2"]))
    assert sorted(found) == list(range(1, 25))
    assert found[1] == pytest.approx(expected[1], rel=1e-5)  # before rounding has grown
    assert max(abs(found[step] - expected[step]) for step in found) < 1e-3


def test_two_workers_share_what_three_would_compute(scans: Path, prepared: PreparedDataset, tmp_path: Path) -> None:
    """One of them has two shares of each batch, the other one; Ray here has two cores."""
    found = []
    for name, runner, least in (("alone", InProcess(), 1), ("shared", OnRay(), 2)):
        experiment = _experiment(scans, batch=1, workers=3, min_workers=least, epochs=1, warmup_epochs=0)
        run = fit(experiment, prepared, Workspace(tmp_path / name), runner=runner, quiet=True).run.folder
        found.append(_recorded(run))
    alone, shared = (each["train/gradient_norm"] for each in found)
    assert [step for step, _ in shared] == list(range(1, 6))  # 16 patches in batches of three
    assert shared[0][1] == pytest.approx(alone[0][1], rel=1e-4)  # before rounding has grown
    assert [value for _, value in shared] == pytest.approx([value for _, value in alone], rel=1e-2)


def test_the_loop_in_this_process_gives_the_bits_of_a_worker_on_ray(uninterrupted: dict[str, Path]) -> None:
    here, on_ray = uninterrupted["here"], uninterrupted["1"]
    assert _same_bits(here, on_ray)
    assert _curves(here) == _curves(on_ray) and len(_curves(here)["train/loss"]) == 24


def test_the_seconds_of_training_are_in_the_record_and_in_the_models_card(uninterrupted: dict[str, Path]) -> None:
    for run in uninterrupted.values():
        points = _recorded(run)["train/seconds"]
        seconds = [value for _, value in points]
        assert points[-1][0] == 24 and seconds == sorted(seconds) and seconds[0] > 0
        steps = sum(value for _, value in _recorded(run)["train/step_seconds"])
        assert seconds[-1] >= steps
        assert json.loads((run / "model" / "model.json").read_text())["training_seconds"] == round(seconds[-1], 1)


def test_a_finished_run_is_found_not_repeated(
    scans: Path, prepared: PreparedDataset, uninterrupted: dict[str, Path]
) -> None:
    folder = uninterrupted["1"]
    before = (folder / "model" / "model.safetensors").stat().st_mtime_ns
    result = fit(_experiment(scans, batch=2), prepared, Workspace(folder.parents[1]))
    assert result.found and result.run.folder == folder
    assert (folder / "model" / "model.safetensors").stat().st_mtime_ns == before
    (run,) = list_runs(Workspace(folder.parents[1]))
    assert run.state == "FINISHED"


def test_a_finished_model_that_was_damaged_is_made_again_from_its_checkpoint(
    scans: Path, prepared: PreparedDataset, uninterrupted: dict[str, Path], tmp_path: Path, capsys: Capture
) -> None:
    whole = uninterrupted["here"]
    broken = shutil.copytree(whole.parents[1], tmp_path / "workspace") / "runs" / whole.name
    _change_a_byte(broken / "model" / "model.safetensors")
    steps = len(_recorded(broken)["train/step_seconds"])
    result = fit(_experiment(scans, batch=2), prepared, Workspace(broken.parents[1]), runner=InProcess())
    assert not result.found and _same_bits(broken, whole)
    assert "model.safetensors was damaged or changed since it was written" in capsys.readouterr().out
    assert (broken / "model.damaged-1" / "model.safetensors").is_file()
    assert len(_recorded(broken)["train/step_seconds"]) == steps  # no step was done again
    assert fit(_experiment(scans, batch=2), prepared, Workspace(broken.parents[1]), runner=InProcess()).found


def _change_a_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) * 3 // 4] ^= 1
    path.write_bytes(content)


def test_a_run_that_another_process_trains_is_waited_for_and_found(
    scans: Path, prepared: PreparedDataset, tmp_path: Path, capsys: Capture
) -> None:
    experiment = _experiment(scans, epochs=1, warmup_epochs=0)
    workspace, results = Workspace(tmp_path), []

    def train() -> None:
        results.append(fit(experiment, prepared, workspace, runner=InProcess(), quiet=True))

    run = workspace.run(experiment.run_id(prepared.fingerprint))
    with locked(run.lock):  # as a process has it that trains
        waiting = threading.Thread(target=train)
        waiting.start()
        said = ""
        while "waiting for it" not in said and waiting.is_alive():
            said += capsys.readouterr().out
            time.sleep(0.05)
        assert f"{run.name} is being trained by another process: waiting for it" in said and not results
        shutil.copytree(_finished(experiment, prepared, tmp_path / "other"), run.model)
    waiting.join()
    assert [each.found for each in results] == [True]


def _finished(experiment: Experiment, prepared: PreparedDataset, folder: Path) -> Path:
    return fit(experiment, prepared, Workspace(folder), runner=InProcess(), quiet=True).run.model


def test_a_finished_run_leaves_its_best_checkpoint_and_its_settings(uninterrupted: dict[str, Path]) -> None:
    card = json.loads((uninterrupted["1"] / "model" / "model.json").read_text())
    assert (card["dataset"], card["num_classes"], card["patch"]) == ("tiny", 14, [16, 16, 16])
    assert card["epoch"] in (2, 3) and 0 <= card["validation_dice"] <= 1
    curves = read_curves(Workspace(uninterrupted["1"].parents[1]), uninterrupted["1"].name)
    assert card["validation_dice"] == pytest.approx(max(value for _, value in curves["val/dice/mean"]))


def _kill_when(appears: Path, pattern: str, marker: bytes, done: list[int]) -> None:
    """Kill -9 one process whose command line has ``marker``, soon after ``pattern`` appears below a folder."""
    wait_until(lambda: list(appears.glob(pattern)) and set(_processes(marker)) - {os.getpid()}, every_s=0.01)
    pid = min(set(_processes(marker)) - {os.getpid()})
    os.kill(pid, signal.SIGKILL)
    done.append(pid)


def _processes(marker: bytes) -> Iterator[int]:
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if marker in (entry / "cmdline").read_bytes():
                    yield int(entry.name)
            except OSError:
                continue  # it ended while we looked


@pytest.fixture(scope="module")
def killed_once(scans: Path, prepared: PreparedDataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same fit as the uninterrupted one of two workers, of which one was killed in the middle of an epoch."""
    killed: list[int] = []
    workspace = tmp_path_factory.mktemp("killed")
    # In the uninterrupted run checkpoints lie at the ends of epochs; here one lies in the middle, so that the run
    # goes on inside an epoch: where it stops must not matter.
    experiment = _experiment(scans, workers=2, batch=1, checkpoint_steps=3)
    run = workspace / "runs" / experiment.run_id(prepared.fingerprint)
    killer = threading.Thread(
        target=_kill_when, args=(run / "ray", "checkpoint_*/position.json", b"RayTrainWorker", killed), daemon=True
    )
    killer.start()
    result = fit(experiment, prepared, Workspace(workspace))
    killer.join()
    assert len(killed) == 1
    return result.run.folder


def test_a_worker_killed_in_mid_epoch_leaves_no_trace_in_weights_losses_and_scores(
    killed_once: Path, uninterrupted: dict[str, Path]
) -> None:
    """To the last bit; so two fits with one seed are the same, too."""
    assert _same_bits(killed_once, uninterrupted["2"])
    first, second = _curves(killed_once), _curves(uninterrupted["2"])
    assert {"train/loss", "train/gradient_norm", "val/dice/mean"} < first.keys() and len(first["train/loss"]) == 24
    assert first == second


def test_a_kill_between_a_checkpoint_and_its_record_loses_no_step(
    scans: Path,
    prepared: PreparedDataset,
    uninterrupted: dict[str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    record = Run.log_curve

    def killed(run: Run, curve: Sequence[dict[str, float]]) -> None:
        if list(tmp_path.glob("runs/*/ray/checkpoint_*")):
            raise KeyboardInterrupt
        record(run, curve)

    experiment = _experiment(scans, batch=2, checkpoint_steps=3)
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(Run, "log_curve", killed)
        fit(experiment, prepared, Workspace(tmp_path), runner=InProcess(), quiet=True)
    again = fit(experiment, prepared, Workspace(tmp_path), runner=InProcess(), quiet=True).run.folder
    assert _curves(again) == _curves(uninterrupted["here"])


class _Job:
    """`train_teacher` as a person starts it, in a workspace of its own where the data is prepared."""

    def __init__(self, experiment: Experiment, prepared: PreparedDataset, folder: Path, ray_address: str) -> None:
        self.workspace, self.recipe = folder / "workspace", folder / "tiny.json"  # JSON is YAML
        self.recipe.write_text(json.dumps(experiment.model_dump(mode="json")))
        shutil.copytree(prepared.folder, self.workspace / "prepared" / prepared.folder.name)
        script = str(ROOT / "jobs" / "train_teacher.py")
        self._command = [sys.executable, script, "--recipe", str(self.recipe), "--json"]
        self._environment = {**os.environ, "AUTOSAM_WORKSPACE": str(self.workspace), "RAY_ADDRESS": ray_address}

    @contextmanager
    def started(self, stderr: int = subprocess.STDOUT) -> Iterator[subprocess.Popen[str]]:
        """It is not left to train on where the test fails."""
        pipe = subprocess.PIPE
        process = subprocess.Popen(self._command, env=self._environment, stdout=pipe, stderr=stderr, text=True)
        try:
            yield process
        finally:
            process.kill()
            process.communicate()


def test_a_job_killed_and_started_again_ends_with_the_same_weights(
    scans: Path, prepared: PreparedDataset, uninterrupted: dict[str, Path], tmp_path: Path, ray_local: str
) -> None:
    job = _Job(_experiment(scans, batch=2), prepared, tmp_path, ray_local)
    killed: list[int] = []
    with job.started() as first:
        _kill_when(job.workspace / "runs", "*/ray/checkpoint_*/position.json", str(job.recipe).encode(), killed)
        assert killed == [first.pid] and first.wait() == -signal.SIGKILL
    with job.started(stderr=subprocess.PIPE) as again:
        said, complained = again.communicate(timeout=HANG_S)
    assert again.returncode == 0, said + complained
    last = json.loads(said.splitlines()[-1])
    assert "of 24" in said  # "from step 8 of 24": it continued
    assert last["n_cases"] == 1 and len(last["per_class"]) == 13
    assert _same_bits(Path(last["place"]), uninterrupted["1"])


def test_a_job_that_is_interrupted_says_what_continues_and_is_recorded_as_stopped(
    scans: Path, prepared: PreparedDataset, tmp_path: Path, ray_local: str
) -> None:
    """Ctrl-C first; then SIGTERM, which `ray job stop` sends, to the same command as it goes on."""
    job = _Job(_experiment(scans, epochs=200), prepared, tmp_path, ray_local)
    for number, status in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
        before = _checkpoints(job.workspace)
        with job.started() as process:
            wait_until(functools.partial(_has_new_checkpoint, job.workspace, before))
            process.send_signal(number)
            said, _ = process.communicate(timeout=HANG_S)
        assert process.returncode == status, said
        assert "Interrupted tiny-" in said and "of 200: stopped here, and the same command continues." in said
        assert "Traceback" not in said
        (run,) = list_runs(Workspace(job.workspace))
        assert run.state == "STOPPED"
        wait_until(lambda: not list(_processes(b"RayTrainWorker")))


def _checkpoints(workspace: Path) -> set[Path]:
    return set(workspace.glob("runs/*/ray/checkpoint_*/position.json"))


def _has_new_checkpoint(workspace: Path, before: set[Path]) -> bool:
    return bool(_checkpoints(workspace) - before)


class _Stopped(SegmentationObjective):
    """Ctrl-C in the middle of the second epoch."""

    seen, last = 0, 22

    def forward(self, logits_BKDHW: torch.Tensor, batch: dict[str, object]) -> dict[str, torch.Tensor]:
        type(self).seen += 1
        if type(self).seen == self.last:
            raise KeyboardInterrupt
        return super().forward(logits_BKDHW, batch)


def test_places_have_their_share_in_a_training_and_a_curve(
    scans: Path, prepared: PreparedDataset, tmp_path: Path
) -> None:
    """Eq. 1 with ¾ of the loss, the places of the label's organs with ¼."""
    workspace = Workspace(tmp_path)
    experiment = _experiment(scans, places=0.25, epochs=1, warmup_epochs=0)
    run = fit(experiment, prepared, workspace, runner=InProcess(), quiet=True).run
    curves = {name: dict(points) for name, points in read_curves(workspace, run.name).items()}
    assert curves["train/loss"]
    for step, loss in curves["train/loss"].items():
        voxels = curves["train/dice_loss"][step] + curves["train/cross_entropy"][step]
        assert loss == pytest.approx(0.75 * voxels + 0.25 * curves["train/places_loss"][step], rel=1e-5)


def test_a_mean_of_weights_that_muon_steps_goes_on_elsewhere_with_the_same_bits(
    scans: Path, prepared: PreparedDataset, tmp_path: Path
) -> None:
    """Stopped here, ended by a worker of Ray; what is validated and saved is the mean."""
    experiment = _experiment(scans, optimizer="muon", ema=0.9, decay="cosine", checkpoint_steps=5, epochs=2)
    whole, broken = (Workspace(tmp_path / name) for name in ("whole", "broken"))
    expected = fit(experiment, prepared, whole, runner=InProcess()).run.folder
    with pytest.raises(KeyboardInterrupt):
        fit(experiment, prepared, broken, Supervision(_Stopped), InProcess())
    found = fit(experiment, prepared, broken, runner=OnRay()).run.folder
    assert _same_bits(found, expected)
    newest = checkpoints.newest(found / "ray")
    assert newest is not None
    mean, trained = (safetensors.numpy.load_file(newest / f"{name}.safetensors") for name in ("weights", "trained"))
    assert not any(np.array_equal(mean[name], trained[name]) for name in mean if "conv" in name)
    assert all(np.array_equal(values, mean[name]) for name, values in _weights(found).items())


class _Removing(SegmentationObjective):
    """Somebody tidies the workspace while the run is trained."""

    runs = Path()

    def forward(self, logits_BKDHW: torch.Tensor, batch: dict[str, object]) -> dict[str, torch.Tensor]:
        for run in type(self).runs.glob("*"):
            shutil.rmtree(run)
        return super().forward(logits_BKDHW, batch)


def test_a_run_whose_folder_is_removed_says_so(
    scans: Path, prepared: PreparedDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_Removing, "runs", tmp_path / "runs")
    with pytest.raises(TrainingStopped, match=r"tiny-\w+ was removed, or emptied, while the run was trained: the same"):
        fit(_experiment(scans), prepared, Workspace(tmp_path), Supervision(_Removing), InProcess())


class _StoppedSooner(_Stopped):
    """At the fifth step of a network of three answers."""

    seen, last = 0, 14


def test_a_network_of_several_answers_trains_goes_on_with_the_same_bits_and_predicts_with_one(
    scans: Path, prepared: PreparedDataset, tmp_path: Path
) -> None:
    """In mid-epoch, with blocks left out at random, and a mean of weights that is validated and predicts."""
    options = {"width": 12, "heads": 1, "drop_path": 0.5}
    section = {"name": "nnformer", "patch_DHW": (16, 32, 32), "options": options}
    experiment = _experiment(scans, ema=0.9, checkpoint_steps=3, epochs=1, warmup_epochs=0.5, patches_per_case=2)
    experiment = experiment.model_copy(update={"model": experiment.model.model_validate(section)})
    whole, broken = (Workspace(tmp_path / name) for name in ("whole", "broken"))
    expected = fit(experiment, prepared, whole, runner=InProcess()).run
    with pytest.raises(KeyboardInterrupt):
        fit(experiment, prepared, broken, Supervision(_StoppedSooner), InProcess())
    found = fit(experiment, prepared, broken, runner=InProcess()).run
    assert _same_bits(found.folder, expected.folder) and _curves(found.folder) == _curves(expected.folder)
    assert [step for step, _ in _curves(found.folder)["train/loss"]] == list(range(1, 9))
    scan = read_scan(next(iter(sorted((scans / "imagesTr").glob("*.nii.gz")))))
    label_DHW = predict(TrainedModel.load(found.model), scan).label_DHW
    assert label_DHW.shape == scan.volume.array_DHW.shape


class _NotANumber(SegmentationObjective):
    """A loss that is NaN for one case, once it has been seen twice."""

    seen = 0

    def forward(self, logits_BKDHW: torch.Tensor, batch: dict[str, object]) -> dict[str, torch.Tensor]:
        losses = super().forward(logits_BKDHW, batch)
        type(self).seen += "img0003" in batch["case_id"]  # type: ignore[operator]
        return {name: loss * (float("nan") if type(self).seen == 2 else 1.0) for name, loss in losses.items()}


def test_a_loss_that_is_not_finite_stops_the_run_before_the_optimiser_and_names_the_case(
    scans: Path, prepared: PreparedDataset, tmp_path: Path
) -> None:
    with pytest.raises(TrainingStopped, match=r"not finite.*img0003.*learning-rate"):
        fit(
            _experiment(scans, seed=5, checkpoint_steps=1),
            prepared,
            Workspace(tmp_path),
            Supervision(_NotANumber),
            InProcess(),
        )
    (run,) = list_runs(Workspace(tmp_path))
    assert run.state == "FAILED"
    assert not (tmp_path / "runs" / run.run_id / "model").exists()
    weights = sorted((tmp_path / "runs" / run.run_id / "ray").glob("checkpoint_*/weights.safetensors"))
    last = safetensors.numpy.load_file(weights[-1])
    assert all(np.isfinite(values).all() for values in last.values())


class _Bottomless(SegmentationObjective):
    """A loss that is finite, and whose gradient is not: the square root at zero."""

    def forward(self, logits_BKDHW: torch.Tensor, batch: dict[str, object]) -> dict[str, torch.Tensor]:
        losses = super().forward(logits_BKDHW, batch)  # type: ignore[arg-type]
        return losses | {"loss": losses["loss"] + (logits_BKDHW * 0).flatten(1).sum(1).sqrt()}


def test_a_gradient_that_is_not_finite_stops_the_run_too(
    scans: Path, prepared: PreparedDataset, tmp_path: Path
) -> None:
    with pytest.raises(TrainingStopped, match=r"gradient is not finite .*epoch 1, step 1, in img000\d\. No weight"):
        fit(_experiment(scans, seed=6), prepared, Workspace(tmp_path), Supervision(_Bottomless), InProcess())


def test_a_run_that_the_memory_cannot_hold_is_refused_by_all_workers(
    scans: Path, prepared: PreparedDataset, tmp_path: Path
) -> None:
    huge = {"name": "autosam_demo", "patch_DHW": (16, 16, 16), "options": {"embed_dim": 32768, "heads": 2}}
    experiment = _experiment(scans, workers=2)
    section = experiment.model.model_validate(huge)
    checked = experiment.compute.model_copy(update={"memory_check": True})
    with pytest.raises(TrainingStopped, match=r"does not fit.*GB are free.*--model.patch-DHW"):
        fit(experiment.model_copy(update={"model": section, "compute": checked}), prepared, Workspace(tmp_path))


class _OneSample(PatchSamples):
    """Less than the training cases let expect, as where hardly a slice shows an organ."""

    def dataset(self, prepared: PreparedDataset, experiment: Experiment) -> Any:
        return torch.utils.data.Subset(super().dataset(prepared, experiment), [0])


@pytest.mark.parametrize(("runner", "workers"), [(InProcess(), 1), (OnRay(), 2)])
def test_an_epoch_without_a_step_is_refused_by_all_workers(
    scans: Path, prepared: PreparedDataset, tmp_path: Path, runner: Runner, workers: int
) -> None:
    experiment, supervision = _experiment(scans, batch=2, workers=workers), Supervision(samples=_OneSample())
    with pytest.raises(TrainingStopped, match=r"1 patch\(es\) does not fill a batch of .*--training.patches-per-case"):
        fit(experiment, prepared, Workspace(tmp_path), supervision, runner, quiet=True)


def test_no_node_is_waited_for_where_none_can_join(
    scans: Path, prepared: PreparedDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    experiment = _experiment(scans, workers=5)
    compute = experiment.compute.model_copy(update={"wait_for_nodes": True})
    monkeypatch.setattr(cluster, "_started_here", True)
    with pytest.raises(TrainingStopped, match=r"no node can join the Ray that was started for this command alone"):
        fit(experiment.model_copy(update={"compute": compute}), prepared, Workspace(tmp_path))


def test_more_workers_than_cores_are_refused_with_the_setting_to_change(
    scans: Path, prepared: PreparedDataset, tmp_path: Path
) -> None:
    with pytest.raises(
        TrainingStopped, match=r"5 worker\(s\) want 5 CPUs and the cluster has 2: lower --compute.workers"
    ):
        fit(_experiment(scans, workers=5), prepared, Workspace(tmp_path))
