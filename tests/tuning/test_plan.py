"""How a sweep shares cores, GPUs and disk: figures that a reader can check."""

from pathlib import Path
from typing import Any

import pytest

from autosam_platform.experiment import ComputeSection, Experiment
from autosam_platform.training.size import count_parameters
from autosam_platform.tuning.plan import PlanError, compute_of_each, disk_needed, prune, require_disk, share, size_of
from autosam_platform.tuning.trials import Trial
from autosam_platform.workspace import Workspace

GPU_NODE = {"CPU": 16.0, "GPU": 4.0}


@pytest.mark.parametrize(
    ("compute", "nodes", "wanted", "at_a_time", "cores"),
    [
        ({}, [{"CPU": 1}], 5, 1, 1),
        ({}, [{"CPU": 2}], 5, 2, 1),
        ({}, [{"CPU": 2}], 1, 1, 2),
        ({}, [{"CPU": 16}], 3, 3, 5),
        ({}, [{"CPU": 64}], 3, 3, 8),
        ({}, [{"CPU": 1}] * 4, 2, 2, 1),  # a worker of two cores would fit nowhere
        ({}, [{"CPU": 3}, {"CPU": 3}], 2, 2, 3),
        ({"workers": 2}, [{"CPU": 4}], 5, 2, 1),
        ({"cpus_per_worker": 2}, [{"CPU": 3}, {"CPU": 3}], 5, 2, 2),
        ({}, [GPU_NODE], 9, 4, 4),
        ({"workers": 2}, [GPU_NODE], 9, 2, 4),
        ({"gpu": False}, [GPU_NODE], 9, 9, 1),
        ({"workers": 8, "wait_for_nodes": True}, [{"CPU": 2}], 3, 1, 1),
        ({"workers": 4, "min_workers": 2}, [{"CPU": 3}], 3, 1, 1),  # one that may begin with two of its four
        ({"workers": 8, "min_workers": 1}, [{"CPU": 4}], 3, 1, 1),  # four begin, and more may join
        ({"workers": 2, "min_workers": 1}, [{"CPU": 4}], 3, 2, 1),  # two that have all of theirs
    ],
)
def test_trials_share_the_cluster(
    compute: dict[str, Any], nodes: list[dict[str, float]], wanted: int, at_a_time: int, cores: int
) -> None:
    plan = share(ComputeSection.model_validate(compute), nodes, wanted, most=False)
    assert (plan.at_a_time, plan.compute.cpus_per_worker) == (at_a_time, cores)
    assert plan.compute.gpu is (compute.get("gpu", True) and nodes == [GPU_NODE])


def test_the_plan_is_said_in_words() -> None:
    two = [{"CPU": 2.0}]
    assert share(ComputeSection(), two, 2, most=False).said == "2 trials at a time, 1 core each, on 2 cores"
    assert share(ComputeSection(), two, 1, most=False).said == "1 trial at a time, 2 cores each, on 2 cores"
    assert share(ComputeSection(), two, 3, most=True).said.endswith("on 2 cores; 3 do not fit")
    said = share(ComputeSection(workers=2), [GPU_NODE], 2, most=False).said
    assert said == "2 trials at a time, 8 cores and 2 GPUs each, on 16 cores and 4 GPUs"
    fewer = share(ComputeSection(workers=4, min_workers=2), two, 2, most=True).said
    assert fewer == "1 trial at a time, 2 cores each, on 2 cores; 2 do not fit"


def test_the_last_of_a_grid_takes_all_cores() -> None:
    nodes, points = [{"CPU": 2}], [{"a": value} for value in (0.0, 0.2, 0.5)]
    plan = share(ComputeSection(), nodes, 2, most=False)
    computes = compute_of_each(ComputeSection(), plan, points, nodes)
    assert [(point, compute.cpus_per_worker) for point, compute in computes] == [(None, 1), ({"a": 0.5}, 2)]
    assert compute_of_each(ComputeSection(), plan, points[:2], nodes) == [(None, plan.compute)]
    assert compute_of_each(ComputeSection(), plan, [], nodes) == [(None, plan.compute)]


def test_a_trial_that_fits_nowhere_is_refused() -> None:
    with pytest.raises(PlanError, match=r"3 worker\(s\) with 1 core\(s\) each does not fit on 2 cores"):
        share(ComputeSection(workers=3), [{"CPU": 2}], 1, most=False)
    with pytest.raises(
        PlanError, match=r"a trial of 3 worker\(s\) .* \(or --compute.min-workers, where fewer may begin"
    ):
        share(ComputeSection(workers=4, min_workers=3), [{"CPU": 2}], 1, most=False)


def test_disk_is_for_checkpoints_of_those_that_run_and_of_the_best_and_for_all_models() -> None:
    # 100 weights, 10 of them trained: a checkpoint is 4·100 + 2·4·10 = 480 bytes, a model 400
    assert disk_needed([(100, 10), (50, 10)], trials=5, at_a_time=2) == (2 + 1) * 3 * 480 + 5 * 2 * 400


def test_too_little_disk_is_refused_with_budget_and_free_space(tmp_path: Path) -> None:
    assert require_disk(10**6, tmp_path, 50, used=0).startswith("1.0 MB of disk at most; the budget is 50 GB")
    with pytest.raises(PlanError, match=r"needs 3.0 GB of disk .* the budget is 2 GB \(--disk-gb\), .* are free"):
        require_disk(3 * 10**9, tmp_path, 2, used=0)
    with pytest.raises(PlanError, match=r"beside 1\.5 GB taken so far"):
        require_disk(10**9, tmp_path, 2, used=15 * 10**8)
    with pytest.raises(PlanError, match="are free"):
        require_disk(10**18, tmp_path, 10**10, used=0)


def test_parameters_are_counted_without_making_them() -> None:
    model = {"name": "swin_unetr_tiny", "patch_DHW": (64, 64, 64)}
    total, trained = count_parameters(Experiment.model_validate({"model": model}), num_classes=14)
    assert total == trained and round(total / 1e6, 2) == 4.08


def test_sams_own_weights_are_not_trained() -> None:
    model = {"name": "autosam_vit_b", "checkpoint": "sam.pth"}
    total, trained = count_parameters(Experiment.model_validate({"model": model}), num_classes=14)
    assert 114e6 < total < 116e6 and 26e6 < trained < 27e6


def test_checkpoints_of_beaten_trials_go_and_nothing_else(tmp_path: Path) -> None:
    trials = [
        Trial(number=1, values={}, state="finished", run="best", made=True, dice=0.9),
        Trial(number=2, values={}, state="finished", run="beaten", made=True, dice=0.5),
        Trial(number=3, values={}, state="stopped", run="stopped", made=True),
        Trial(number=4, values={}, state="running", run="running", made=True),
        Trial(number=5, values={}, state="finished", run="before", made=False, dice=0.1),
        Trial(number=6, values={}, state="stopped", run="running", made=True),  # the same values as trial 4
    ]
    for name in ("best", "beaten", "stopped", "running", "before", "other"):
        for part in ("ray", "model"):
            (tmp_path / "runs" / name / part).mkdir(parents=True)
            (tmp_path / "runs" / name / part / "file").write_text("1234")
    assert size_of(trials[:2], Workspace(tmp_path)) == 16
    prune(trials, trials[0], Workspace(tmp_path))
    assert {path.parent.name for path in tmp_path.glob("runs/*/ray")} == {"best", "running", "before", "other"}
    assert len(list(tmp_path.glob("runs/*/model/file"))) == 6
