"""A run that the memory cannot hold is refused before it starts, with what to change."""

from pathlib import Path

import pytest
import torch

from autosam_models import find_model
from autosam_platform.command_line import parse_job
from autosam_platform.experiment import Experiment
from autosam_platform.training import preflight
from autosam_platform.training.preflight import TooLittleMemoryError, check_memory
from autosam_platform.training.samples import PATCHES

CPU = torch.device("cpu")


RECIPES = Path(__file__).parents[2] / "jobs" / "recipes"


def demo(*arguments: str) -> Experiment:
    """The demo's experiment, as a command line makes it."""
    return parse_job(["--training.precision", "fp32", *arguments], RECIPES, description="").experiment()


def test_what_fits_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "free_memory", lambda device: 8 * 10**9)
    assert "4.0 GB are free for it on cpu" in check_memory(demo(), 14, CPU, sharing=2)


def test_what_does_not_fit_is_refused_with_the_settings_to_change(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "free_memory", lambda device: 10**9)
    with pytest.raises(TooLittleMemoryError) as refused:
        check_memory(demo(), 14, CPU, sharing=1)
    for told in (
        "64 × 64 × 64",
        "1 at a time",
        "1.0 GB are free",
        "--compute.activation-checkpointing (",
        "lower --model.patch-DHW",
    ):
        assert told in str(refused.value)


def test_a_batch_that_does_not_fit_may_fit_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "free_memory", lambda device: 2 * 10**9)
    with pytest.raises(
        TooLittleMemoryError, match=r"8 at a time, does not fit: .*--compute\.accumulate 8, for the same"
    ):
        check_memory(demo("--training.batch", "8"), 14, CPU, sharing=1)
    parts = demo("--training.batch", "8", "--compute.accumulate", "8")
    assert "2.0 GB are free for it on cpu" in check_memory(parts, 14, CPU, sharing=1)
    assert parts.run_id("data") == demo("--compute.workers", "8").run_id("data") != demo().run_id("data")


def test_what_is_set_already_is_not_advised(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "free_memory", lambda device: 10**9)
    with pytest.raises(TooLittleMemoryError) as refused:
        check_memory(demo("--compute.activation-checkpointing"), 14, CPU, sharing=1)
    assert "activation-checkpointing" not in str(refused.value)


def test_where_the_system_does_not_tell_nothing_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "free_memory", lambda device: None)
    assert "could not be estimated" in check_memory(demo(), 14, CPU, sharing=1)


def test_the_remedies_are_settings_that_leave_the_run_the_same() -> None:
    told = demo("--compute.activation-checkpointing", "--compute.no-memory-check")
    assert told.compute.activation_checkpointing and not told.compute.memory_check
    assert told.model_options()["activation_checkpointing"] is True
    assert told.run_id("data") == demo().run_id("data")


def test_a_mean_of_the_weights_and_several_workers_need_more() -> None:
    needed = {
        name: preflight._bytes(demo(*arguments), 14, CPU, PATCHES)
        for name, arguments in {
            "plain": (),
            "mean": ("--training.ema", "0.99"),
            "workers": ("--compute.workers", "2"),
        }.items()
    }
    weights = 4 * find_model("autosam_demo").card.parameters
    for name in ("mean", "workers"):
        assert needed[name] - needed["plain"] == pytest.approx(preflight._MARGIN * weights, rel=0.01)
