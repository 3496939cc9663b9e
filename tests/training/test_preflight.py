"""A run that the memory cannot hold is refused before it starts, with what to change."""

import pytest
import torch

from autosam_platform.config import Experiment
from autosam_platform.training import preflight
from autosam_platform.training.preflight import TooLittleMemoryError, check_memory

CPU = torch.device("cpu")


def demo(**options: bool) -> Experiment:
    model = {"name": "autosam_demo", "patch_DHW": (64, 64, 64), "options": options}
    return Experiment.model_validate({"model": model, "training": {"precision": "fp32"}})


def test_what_fits_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "free_memory", lambda device: 8 * 10**9)
    assert "4.0 GB are free for it on cpu" in check_memory(demo(), 14, CPU, sharing=2)


def test_what_does_not_fit_is_refused_with_the_settings_to_change(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "free_memory", lambda device: 10**9)
    with pytest.raises(TooLittleMemoryError) as refused:
        check_memory(demo(), 14, CPU, sharing=1)
    for told in ("64 × 64 × 64", "batch 1", "1.0 GB are free", "activation_checkpointing True (", "--training.batch"):
        assert told in str(refused.value)


def test_what_is_set_already_is_not_advised(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "free_memory", lambda device: 10**9)
    with pytest.raises(TooLittleMemoryError) as refused:
        check_memory(demo(activation_checkpointing=True), 14, CPU, sharing=1)
    assert "activation_checkpointing" not in str(refused.value)


def test_where_the_system_does_not_tell_nothing_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "free_memory", lambda device: None)
    assert "could not be estimated" in check_memory(demo(), 14, CPU, sharing=1)
