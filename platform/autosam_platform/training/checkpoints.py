"""What a run needs to continue with the same bits, and which of its checkpoints are whole.

A checkpoint folder holds ``weights.safetensors``, ``optimizer.pt``, ``curve.json``, ``position.json`` (epoch,
step, score and the hash of every other file, sealed). Where a running mean of the weights is kept,
``weights.safetensors`` is that mean, since it is what the run is for, and ``trained.safetensors`` what the next step
starts from. It holds no random states: what is drawn in a step is decided by the step (``seed_step``).
"""

import json
import logging
import random
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import safetensors.torch
import torch
from torch import nn

from autosam_inference.files import DamagedError, content_hash, require_intact, unsealed, write_json, write_sealed
from autosam_platform.training.optimizers import Optimizer

SNAPSHOT = "checkpoint_manager_snapshot.json"
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Position:
    """Where a run stands: ``step`` batches of epoch ``epoch`` are done; ``score`` is its validation's mean Dice.

    Attributes:
        seconds: spent training until here, over all starts; 0 in checkpoints that do not say.
    """

    epoch: int
    step: int
    score: float | None = None
    seconds: float = 0.0


def save(
    folder: Path,
    position: Position,
    model: nn.Module,
    optimizer: Optimizer | None,
    curve: Sequence[dict[str, float]] = (),
    average: nn.Module | None = None,
) -> None:
    """Write a checkpoint into ``folder``, which one worker does for all.

    Args:
        optimizer: None of a model that is not trained, whose checkpoint nothing goes on from.
        curve: points that are reported together with this checkpoint, and again by who goes on from it.
        average: the model with the running mean of the weights, where one is kept.
    """
    safetensors.torch.save_model(model if average is None else average, str(folder / "weights.safetensors"))
    if average is not None:
        safetensors.torch.save_model(model, str(folder / "trained.safetensors"))
    if optimizer is not None:
        torch.save(optimizer.state_dict(), folder / "optimizer.pt")
    write_json(folder / "curve.json", list(curve))
    hashes = {file.name: content_hash(file) for file in sorted(folder.iterdir())}
    write_sealed(folder / "position.json", asdict(position) | {"hashes": hashes})


def load(folder: Path, model: nn.Module, optimizer: Optimizer, average: nn.Module | None = None) -> Position:
    """Put a checkpoint back into ``model``, ``optimizer`` and ``average``."""
    position = read_position(folder)
    kept, trained = str(folder / "weights.safetensors"), str(folder / "trained.safetensors")
    safetensors.torch.load_model(model, kept if average is None else trained)
    if average is not None:
        safetensors.torch.load_model(average, kept)
    optimizer.load_state_dict(torch.load(folder / "optimizer.pt", weights_only=True, map_location="cpu"))
    return position


def read_position(folder: Path) -> Position:
    """Where the run stood at this checkpoint."""
    return _read(folder)[0]


def read_curve(folder: Path) -> list[dict[str, float]]:
    """The points that were to be reported with this checkpoint."""
    return json.loads((folder / "curve.json").read_text())


def whole(folder: Path) -> bool:
    """Is every file of this checkpoint there, as it was written?"""
    return damage(folder) is None


def damage(folder: Path) -> str | None:
    """What is wrong with a checkpoint, with the file's name: missing, cut short, or changed by a byte; None if nothing.

    Of one that an earlier version wrote only lengths are known, not hashes.
    """
    try:
        _, files = _read(folder)
        for name, written in files.items():
            if isinstance(written, str):
                require_intact(folder / name, written)
            elif (folder / name).stat().st_size != written:
                return f"{folder / name} is not as long as it was written"
    except DamagedError as error:
        return str(error)
    except (OSError, ValueError, KeyError, TypeError) as error:
        return f"{folder} is no whole checkpoint ({error})"
    return None


def _read(folder: Path) -> tuple[Position, dict[str, str | int]]:
    """The position, and of each other file its hash, or its length where an earlier version wrote it."""
    try:
        content = unsealed((folder / "position.json").read_bytes(), since="hashes")
    except DamagedError as error:
        raise DamagedError(f"{folder / 'position.json'}: {error}") from error
    files: dict[str, str | int] = content.pop("files", {}) | content.pop("hashes", {})
    content.pop("world", None)  # an earlier version kept random states, one for each worker
    return Position(**content), files


def newest(storage: Path) -> Path | None:
    """The whole checkpoint that is furthest in training."""
    return max(_all_whole(storage), key=_progress, default=None)


def best(storage: Path) -> Path | None:
    """The whole checkpoint of the highest score; the newest where no validation was made."""
    return _best_scored(storage) or newest(storage)


def _best_scored(storage: Path) -> Path | None:
    scored = [folder for folder in _all_whole(storage) if read_position(folder).score is not None]
    return max(scored, key=lambda folder: (read_position(folder).score, _progress(folder)), default=None)


def tidy(storage: Path) -> Path | None:
    """Make Ray's storage folder fit to start from; return a checkpoint to continue from if Ray lost sight of it.

    Ray writes its list of checkpoints in place, and refuses to start when that file is cut short or names a folder
    that is gone. Such a list is set aside. What a killed run left unregistered or half-written is removed, but for the
    checkpoint of the highest score: the list that Ray begins after one was set aside knows only later checkpoints.
    """
    snapshot = storage / SNAPSHOT
    registered = _registered(snapshot)
    if registered is None:
        lost = newest(storage)
        for folder in storage.glob("checkpoint_*"):
            if folder.is_dir() and (problem := damage(folder)):
                log.warning("%s: it is not used", problem)
        if snapshot.exists():
            snapshot.replace(storage / f"{SNAPSHOT}.broken")
            start = lost.name if lost else "the start"
            log.warning("%s was damaged and is set aside; going on from %s", snapshot, start)
        return lost
    best_scored = _best_scored(storage)
    for folder in storage.glob("checkpoint_*"):
        if folder.is_dir() and folder.name not in registered and folder != best_scored:
            shutil.rmtree(folder)
    return None


def _registered(snapshot: Path) -> set[str] | None:
    """Names of the checkpoints in Ray's list; nothing where the list is missing or cannot be used."""
    try:
        content = json.loads(snapshot.read_text())
        results = [*content["checkpoint_results"], content["latest_checkpoint_result"]]
        names = {result["checkpoint_dir_name"] for result in results if result}
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return names if all(whole(snapshot.parent / name) for name in names) else None


def _all_whole(storage: Path) -> list[Path]:
    return [folder for folder in storage.glob("checkpoint_*") if whole(folder)]


def _progress(folder: Path) -> tuple[int, int]:
    position = read_position(folder)
    return position.epoch, position.step


def seed_everything(seed: int) -> None:
    """Seed every stream a model may draw its first weights from."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def seed_step(seed: int, epoch: int, place: int) -> None:
    """Seed what a network draws (dropout, blocks left out) for the patches from ``place`` on, whoever computes them.

    So a run that goes on, on as many workers or others, draws what it would have drawn.
    """
    torch.manual_seed(int(np.random.SeedSequence([seed, epoch, place]).generate_state(1)[0]))
