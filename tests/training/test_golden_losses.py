"""The demo's first losses, through the real loop, against those that are committed.

A change of the network, the loss, the optimiser, the schedule, the patches or the augmentation shows here at once,
wanted or not. Where it is wanted: delete golden_losses.json, run this test, which writes it and fails, and commit it.

Processors round differently, Muon's matrices in bf16 most of all, and training from scratch makes a difference about
ten times larger every four steps. The largest differences from the committed losses, on one machine (x86-64 with
AVX512, torch 2.13, one thread), relative, and for the later ones absolute too:

==================================================================  ===========  ====================
what is different                                                   steps 1-4    steps 5-20
==================================================================  ===========  ====================
nothing                                                             0            0
AVX2 in place of AVX512                                             7e-5         5e-2 (2e-2 absolute)
AVX2 in torch alone                                                 1e-4         1e-1 (2e-2)
SSE4.1 in oneDNN and MKL, no vectors in torch                       6e-5         2e-2 (2e-2)
learning rate by 1 %                                                5e-4         7e-2 (2e-2)
weight decay 1e-2 (AdamW's own default) in place of the recipe's    3e-4         4e-2 (1e-2)
AdamW in place of Muon                                              6e-2         5e-1 (5e-1)
==================================================================  ===========  ====================

They are made in this process: tests/training/test_fit.py holds the loop on Ray equal to that, bit for bit.

So the first steps are held tightly, and find another optimiser, schedule or a rate that is wrong by some percent; the
others find what goes wrong later, such as at the end of an epoch, only if it is gross. The recipe's weight decay is
beyond any such test: a step's 1 - rate · 1e-5 is 1 in float32, so without it the losses are the same to the last bit.
"""

import json
from pathlib import Path

import pytest
import torch

from autosam_inference.files import write_json
from autosam_platform.cluster import map_tasks
from autosam_platform.command_line import load_recipe
from autosam_platform.data.phantom import write_phantom
from autosam_platform.experiment import Experiment
from autosam_platform.pipeline.steps import prepared_dataset
from autosam_platform.tracking.writing import read_curves
from autosam_platform.training.fitting import fit
from autosam_platform.training.in_process import InProcess
from autosam_platform.workspace import Workspace

GOLDEN = Path(__file__).with_name("golden_losses.json")
RECIPES = Path(__file__).parents[2] / "jobs" / "recipes"
CASES, STEPS = 4, 20

EARLY, EARLY_TOLERANCE = 4, 1e-3  # ten times what rounding does
LATE_TOLERANCE, LATE_ABSOLUTE = 5e-2, 1e-1  # five times; the last loss, of a patch without organs, is nearly 0


@pytest.fixture
def experiment(tmp_path: Path, ray_local: None) -> Experiment:
    """The demo's recipe on its first cases, in small patches, and in the number format and order of all machines."""
    folder = tmp_path / "phantoms"
    map_tasks(lambda number: write_phantom(folder, number, 10_000 + number), range(1, CASES + 1), label="phantoms")
    few = f"extends: phantom\nname: few\nsplit: {{rule: in_order, parts: [{{split: train, cases: {CASES}}}]}}\n"
    (folder / "few.yaml").write_text(few)
    recipe = load_recipe("demo", RECIPES)
    recipe["dataset"] |= {"name": str(folder / "few.yaml"), "root": folder}
    recipe["model"] |= {"patch_DHW": (32, 32, 32)}
    # The demo's first 20 steps are part of its warm-up; here the last two lie behind it.
    schedule = {"epochs": STEPS // CASES, "warmup_epochs": 18 / CASES, "checkpoint_epochs": STEPS}
    recipe["training"] |= schedule | {"deterministic": True, "precision": "fp32"}
    return Experiment.model_validate(recipe | {"compute": {"gpu": False, "cpus_per_worker": 1}})


def test_the_demos_losses_are_the_golden_ones(experiment: Experiment, tmp_path: Path) -> None:
    result = fit(experiment, prepared_dataset(experiment.dataset), Workspace(tmp_path), runner=InProcess())
    curve = read_curves(Workspace(tmp_path), result.run.name)["train/loss"]
    assert [step for step, _ in curve] == list(range(1, STEPS + 1))
    losses = [loss for _, loss in curve]
    if not GOLDEN.exists():
        write_json(GOLDEN, {"torch": torch.__version__, "losses": losses})
        pytest.fail(f"{GOLDEN} was not there and is written anew: look at it and commit it")
    golden = json.loads(GOLDEN.read_text())
    written_with = f"the golden losses were written with torch {golden['torch']}"
    assert losses[:EARLY] == pytest.approx(golden["losses"][:EARLY], rel=EARLY_TOLERANCE), written_with
    assert losses == pytest.approx(golden["losses"], rel=LATE_TOLERANCE, abs=LATE_ABSOLUTE), written_with
