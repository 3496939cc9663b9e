"""Sweeps as they lie in a workspace, written by the classes that write them."""

from pathlib import Path

from autosam_inference.files import write_json
from autosam_platform.tuning.ledger import Ledger
from autosam_platform.tuning.space import load_space
from autosam_platform.tuning.trials import Trial

SPACES = Path(__file__).parents[2] / "jobs" / "spaces"
KD, RATIO, KERNEL = "distillation.kd_lambda", "model.options.adapter_ratio", "model.options.adapter_kernel"
LAMBDA, ADAPTER = "kd_lambda-0000000a", "adapter-0000000b"


def write_sweep(root: Path, name: str, trials: list[Trial], asked: int) -> Path:
    """``trials`` of the project's own space in a folder of that name."""
    folder = root / "sweeps" / name
    folder.mkdir(parents=True)
    ledger = Ledger(folder / "trials.json")
    ledger.trials = trials
    ledger.save()
    space = load_space(name.rpartition("-")[0], SPACES).model_dump(mode="json")
    write_json(folder / "sweep.json", {"name": name, "model": "tiny", "dataset": "phantom", "trials": asked} | space)
    return folder


def lambda_trials() -> list[Trial]:
    """A grid: λ = 0 learns nothing, 0.5 is the best, 1 failed."""
    ended = [
        Trial(number=number, values={KD: value}, state="finished", run=f"distill-{number:08x}", dice=dice)
        for number, (value, dice) in enumerate([(0.0, 0.1), (0.5, 0.75)], 1)
    ]
    reason = "the loss is not <b>finite</b>"
    failed = Trial(number=3, values={KD: 1.0}, state="failed", run="distill-00000003", reason=reason)
    return [*ended, failed]


def adapter_trials() -> list[Trial]:
    """A search for accuracy and few parameters: trial 2 has more parameters than 1 and is worse."""
    made = [(0.125, 1, "all", 0.50, 1_000_000), (0.25, 3, "none", 0.40, 2_000_000), (1.0, 5, "even", 0.70, 4_000_000)]
    trials = [
        Trial(
            number=number,
            values={RATIO: ratio, KERNEL: kernel, "model.options.adapter_blocks": blocks},
            state="finished",
            run=f"demo-{number:08x}",
            dice=dice,
            validations=[(1, dice / 2), (2, dice)],
            trained_parameters=size,
        )
        for number, (ratio, kernel, blocks, dice, size) in enumerate(made, 1)
    ]
    stopped = trials[0].model_copy(update={"number": 4, "state": "stopped", "dice": 0.05, "validations": [(1, 0.05)]})
    return [*trials, stopped]
