"""Mean Dice of the validation cases on their prepared grid: what chooses the best checkpoint of a run."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from autosam_inference.runtimes.pytorch import TorchRuntime
from autosam_inference.sliding_window import predict_labels
from autosam_platform.data.preparation import PreparedDataset
from autosam_platform.data.store import StoredCase
from autosam_platform.training.workers import Workers


def validate(
    model: nn.Module,
    prepared: PreparedDataset,
    patch_DHW: tuple[int, int, int],
    overlap: float,
    autocast: Callable[[], torch.autocast],
    workers: Workers,
) -> dict[str, float]:
    """``mean_dice`` of what the sliding window finds."""
    logits = TorchRuntime(model, workers.device).logits

    def labels(case: StoredCase) -> Tensor:
        with autocast():
            image_DHW = case.image().to(workers.device)
            return predict_labels(logits, image_DHW, patch_DHW, overlap, prepared.num_classes)

    return mean_dice(model, labels, prepared, workers)


def mean_dice(
    model: nn.Module, labels: Callable[[StoredCase], Tensor], prepared: PreparedDataset, workers: Workers
) -> dict[str, float]:
    """Dice per class name over the validation cases, and their ``mean``.

    Workers share the cases. Per case and class 2·|P∩T| / (|P|+|T|); a class absent from both is left out, and so is
    one that the case does not annotate. This is
    on the prepared grid, to choose a checkpoint; reported figures come from jobs/evaluate.py on the scan's own grid.

    Args:
        model: put into evaluation mode.
        labels: class ids of a case on its prepared grid, D × H × W, as the model has them.
    """
    sums_2K = torch.zeros(2, prepared.num_classes, dtype=torch.float64, device=workers.device)
    model.eval()
    for case in prepared.cases("val")[workers.rank :: workers.world]:
        with torch.inference_mode():
            found_DHW = labels(case)
        dice_K = _dice(found_DHW.cpu(), case.label(), prepared.num_classes)
        annotated = prepared.description.annotated_ids(case.case_id)
        dice_K[[each.id for each in prepared.classes if each.id not in annotated]] = torch.nan
        known_K = ~dice_K.isnan()
        sums_2K[0] += dice_K.nan_to_num().to(workers.device)
        sums_2K[1] += known_K.to(workers.device)
    workers.summed(sums_2K)
    means_K = (sums_2K[0] / sums_2K[1]).cpu()
    organs = {entry.name: float(means_K[entry.id]) for entry in prepared.classes if not means_K[entry.id].isnan()}
    return organs | {"mean": sum(organs.values()) / max(len(organs), 1)}


def _dice(found_DHW: Tensor, truth_DHW: Tensor, num_classes: int) -> Tensor:
    """Dice per class: K, NaN where a class is in neither."""
    pairs = found_DHW.flatten().long() * num_classes + truth_DHW.flatten().long()
    confusion_KK = torch.bincount(pairs, minlength=num_classes**2).view(num_classes, num_classes).double()
    return 2 * confusion_KK.diag() / (confusion_KK.sum(0) + confusion_KK.sum(1))
