"""What the workers of a fit agree on, so that all of them do the same at the same step."""

import warnings
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, NoReturn, TypeVar

import torch
import torch.distributed
from torch import Tensor, nn

T = TypeVar("T")


class NotFiniteError(RuntimeError):
    """A loss or gradient became NaN or infinite; the message names the cases, and no weight was changed by it."""


@dataclass(frozen=True)
class Workers:
    """This worker among those of its fit.

    Attributes:
        rank: its number, from 0.
        world: how many there are.
        here: how many of them share this machine.
        device: what it computes on.
    """

    rank: int
    world: int
    here: int
    device: torch.device

    def gathered(self, value: T) -> list[T]:
        """What each worker has, on all workers, which all come here."""
        values: list[Any] = [value]
        if self.world > 1:
            values = [None] * self.world
            torch.distributed.all_gather_object(values, value)
        return values

    def summed(self, values: Tensor) -> Tensor:
        """The sum over all workers, in place."""
        if self.world > 1:
            torch.distributed.all_reduce(values)
        return values

    def first_says(self, answer: bool) -> bool:
        """Rank 0's answer, for what hangs on a clock: clocks of workers differ, and all must do the same."""
        if self.world == 1:
            return answer
        said = torch.tensor(answer, dtype=torch.int32, device=self.device)
        torch.distributed.broadcast(said, 0)
        return bool(said)

    def network(self, model: nn.Module) -> nn.Module:
        """The model to call in training: where there are several workers, one that shares its gradients."""
        if self.world == 1:
            return model
        # Of a kernel with one channel oneDNN's gradient has another stride there, which means nothing for one value.
        warnings.filterwarnings("ignore", "Grad strides do not match bucket view strides")
        return nn.parallel.DistributedDataParallel(
            model, device_ids=[self.device] if self.device.type == "cuda" else None
        )

    def sharing(self, network: nn.Module, share: bool) -> AbstractContextManager[Any]:
        """Inside, a backward pass of ``network`` adds gradients; with ``share`` it also shares what has added up."""
        if share or not isinstance(network, nn.parallel.DistributedDataParallel):
            return nullcontext()
        return network.no_sync()

    def mean_losses(self, losses: dict[str, Tensor], cases: list[str], place: str) -> dict[str, float]:
        """Means over all workers.

        Args:
            cases: of this worker's batch.
            place: epoch and step, in words.

        Raises:
            NotFiniteError: on all of them, if one has a loss that is not finite.
        """
        values = self.summed(torch.stack([loss.detach().float() for loss in losses.values()]))
        means = dict(zip(losses, (values / self.world).tolist(), strict=True))
        if not torch.isfinite(values).all():
            guilty = not losses["loss"].isfinite().item()
            self.stop(f"the loss is not finite ({means})", cases, place, guilty=guilty)
        return means

    def stop(self, reason: str, cases: list[str], place: str, *, guilty: bool) -> NoReturn:
        """End the run on all workers, which all come here at the same step; name the cases of those with the fault."""
        everybody = self.gathered((guilty, cases))
        named = sorted({case for at_fault, names in everybody if at_fault for case in names})
        raise NotFiniteError(
            f"{reason} at {place}, in {', '.join(named)}. No weight was changed by it. Look at these cases (python "
            "jobs/prepare.py prints what the checks say); if they are sound, lower --training.learning-rate or set "
            "--training.precision fp32."
        )
