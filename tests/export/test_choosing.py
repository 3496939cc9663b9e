"""Which student is exported where none is named."""

import shutil
from pathlib import Path

import pytest
from small_cards import organs, small_card

from autosam_inference.files import write_sealed
from autosam_platform.export.choosing import student_to_export
from autosam_platform.export.network import ExportError
from autosam_platform.workspace import Workspace


def _finish(workspace: Workspace, name: str, network: str, **lineage: str) -> None:
    card = small_card(organs(2)).model_dump(mode="json")
    card |= {"run_id": name, "model": {"name": network, "options": {}}, "lineage": lineage}
    run = workspace.run(name)
    run.model.mkdir(parents=True)
    run.weights.write_bytes(b"")
    write_sealed(run.model_card, card)


def test_the_distilled_student_is_exported_and_not_its_newer_twin(tmp_path: Path) -> None:
    ours = Workspace(tmp_path)
    with pytest.raises(ExportError, match="there is no finished student"):
        student_to_export(ours)
    _finish(ours, "demo-1", "autosam_demo")
    _finish(ours, "other-1", "nnformer")  # which no package has, so that nothing else could build it
    with pytest.raises(ExportError, match="there is no finished student"):
        student_to_export(ours)
    _finish(ours, "distill-2", "swin_unetr_tiny", teacher="0123", kd_lambda="0.5")
    _finish(ours, "distill-3", "swin_unetr_tiny")
    assert ours.finished_runs[0].name == "distill-3"
    assert student_to_export(ours).name == "distill-2"


def test_of_several_students_none_is_guessed(tmp_path: Path) -> None:
    ours = Workspace(tmp_path)
    _finish(ours, "alone-1", "swin_unetr_tiny")
    assert student_to_export(ours).name == "alone-1"
    _finish(ours, "base-2", "nnunet")
    with pytest.raises(ExportError, match=r"2 finished students .*name one of them:\n(.|\n)*--run alone-1 +swin_unetr"):
        student_to_export(ours)
    _finish(ours, "distill-3", "swin_unetr_tiny", teacher="0123", kd_lambda="0.5")
    _finish(ours, "distill-4", "swin_unetr_small", teacher="0123", kd_lambda="0.2")
    with pytest.raises(ExportError) as refused:
        student_to_export(ours)
    assert "alone-1" not in str(refused.value)  # who distils wants what was distilled
    assert "--run distill-4    swin_unetr_small, " in str(refused.value) and "λ = 0.2" in str(refused.value)
    shutil.rmtree(ours.run("distill-4").folder)
    assert student_to_export(ours).name == "distill-3"
