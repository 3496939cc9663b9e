"""What a fit says while machines that it needs are away."""

import pytest

from autosam_platform.experiment import ComputeSection
from autosam_platform.training import on_ray

Capture = pytest.CaptureFixture[str]


def _said(monkeypatch: pytest.MonkeyPatch, capsys: Capture, compute: ComputeSection, cores: list[int]) -> list[str]:
    """After each look, where the cluster has so many cores."""
    monkeypatch.setattr(on_ray, "_ASK_SECONDS", 0.0)
    watch, said = on_ray._Missing(compute), []
    for count in cores:
        monkeypatch.setattr(on_ray.ray, "cluster_resources", lambda count=count: {"CPU": float(count)})
        watch.look()
        said.append(capsys.readouterr().out)
    return said


def test_it_is_said_once_and_again_when_it_is_over(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    compute = ComputeSection(workers=2, cpus_per_worker=4)
    said = _said(monkeypatch, capsys, compute, [8, 4, 4, 8, 8])
    assert said[0] == said[2] == said[4] == ""
    assert said[1].startswith("2 worker(s) want 8 CPUs and the cluster has 4: a machine has gone, waiting")
    assert "--compute.min-workers" in said[1]
    assert said[3] == "there are machines enough again\n"


def test_nodes_that_were_never_there_have_not_gone(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    compute = ComputeSection(workers=2, cpus_per_worker=4, wait_for_nodes=True)
    said = _said(monkeypatch, capsys, compute, [4, 4, 8, 4])
    assert said[:3] == ["", "", ""] and "a machine has gone" in said[3]


def test_a_fit_that_goes_on_with_fewer_waits_only_for_those(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    compute = ComputeSection(workers=2, min_workers=1, cpus_per_worker=4)
    said = _said(monkeypatch, capsys, compute, [4, 2])
    assert said[0] == "" and said[1].startswith("1 worker(s) want 4 CPUs and the cluster has 2")
    assert "--compute.min-workers" not in said[1]


def test_the_cluster_is_not_asked_all_the_time(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    monkeypatch.setattr(on_ray.ray, "cluster_resources", lambda: pytest.fail("it was asked"))
    on_ray._Missing(ComputeSection()).look()
    assert capsys.readouterr().out == ""
