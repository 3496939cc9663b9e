"""How far a student's answer is from its teacher's: distances by name, each 0 where both agree.

Each takes ``logits_BKDHW`` of the student and ``probabilities_BKDHW`` of the teacher, and gives one per sample (B).
"""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F

from autosam_platform.experiment import DistillationSection
from autosam_platform.training.places import TEMPERATURE

Distance = Callable[[Tensor, Tensor], Tensor]

SCALES = (1, 2, 4)
"""Edges, in voxels, of the cells that ``pooled`` compares."""


def softened(probabilities_BKDHW: Tensor, temperature: float) -> Tensor:
    """Probabilities as their logits would give them at a temperature: softmax(logits / T). A 0 stays 0."""
    powers_BKDHW = probabilities_BKDHW.pow(1 / temperature)
    return powers_BKDHW / powers_BKDHW.sum(1, keepdim=True)


def squared_error(logits_BKDHW: Tensor, teacher_BKDHW: Tensor) -> Tensor:
    """The paper's L_MSE: mean over classes and voxels of the squared difference of probabilities. Shape B."""
    return (logits_BKDHW.softmax(1) - teacher_BKDHW).square().flatten(1).mean(1)


def softened_divergence(logits_BKDHW: Tensor, teacher_BKDHW: Tensor, temperature: float) -> Tensor:
    """KL divergence from student to teacher at a temperature T, times T²; mean over voxels. Shape B.

    Source: Hinton, Vinyals, Dean 2015, Sec. 2: T² keeps the gradient's size. softmax(logits / T) of the teacher is its
    probabilities to the power of 1/T, normalised, so its logits are not needed; what the store rounded to 0 stays 0.
    """
    softened_BKDHW = softened(teacher_BKDHW, temperature)
    student_BKDHW = (logits_BKDHW / temperature).log_softmax(1)
    divergence_BKDHW = F.kl_div(student_BKDHW, softened_BKDHW, reduction="none")
    return temperature**2 * divergence_BKDHW.sum(1).flatten(1).mean(1)


def focused_error(logits_BKDHW: Tensor, teacher_BKDHW: Tensor) -> Tensor:
    """Squared difference of probabilities, summed over classes, as a mean over the voxels that may be organ. Shape B.

    A voxel weighs as much as teacher or student, whichever says more, believe that it is any organ: what both call
    background, nearly all of a patch, has no say. After Yang et al. 2022 (Focal and Global Knowledge Distillation),
    who tell foreground from background by the boxes of objects. The weights have no gradient: a student must not get
    a smaller loss by looking away.
    """
    return _focused(logits_BKDHW.softmax(1), teacher_BKDHW)


def pooled_error(logits_BKDHW: Tensor, teacher_BKDHW: Tensor) -> Tensor:
    """``focused_error`` of probabilities averaged in cells of each of ``SCALES``; their mean. Shape B.

    At a coarse scale an organ in the wrong place by a voxel is nearly right, and a missing one is wrong all the same.
    """
    student_BKDHW = logits_BKDHW.softmax(1)
    of_scales = [_focused(_pooled(student_BKDHW, scale), _pooled(teacher_BKDHW, scale)) for scale in SCALES]
    return torch.stack(of_scales).mean(0)


def region_error(logits_BKDHW: Tensor, teacher_BKDHW: Tensor) -> Tensor:
    """Soft Dice loss to the teacher's probabilities, Σ|p − q| / Σ(p + q) for each organ; mean over organs. Shape B.

    Source: Wang et al. 2023 (Dice Semimetric Losses, their DML1): for labels it is the Dice loss, and unlike that it is
    least where student and teacher agree also if the teacher is unsure. Organs are those of which the teacher sees a
    voxel or more in the sample; 0 where there is none.
    """
    student_BKN, teacher_BKN = logits_BKDHW.softmax(1)[:, 1:].flatten(2), teacher_BKDHW[:, 1:].flatten(2)
    apart_BK = (student_BKN - teacher_BKN).abs().sum(2)
    whole_BK = (student_BKN + teacher_BKN).sum(2)
    return _mean_over_seen(apart_BK / whole_BK.clamp(min=1), teacher_BKN)


def channel_divergence(logits_BKDHW: Tensor, teacher_BKDHW: Tensor, temperature: float) -> Tensor:
    """KL divergence between where student and teacher see an organ, times T²; mean over organs. Shape B.

    Source: Shu et al. 2021 (Channel-wise Knowledge Distillation for Dense Prediction), Eq. 3 and 4, on logarithms of
    probabilities in place of activations: an organ's channel, softened by T, is a distribution over all voxels, so
    background weighs nothing, and what is compared are places within the whole patch. It says nothing of how much of
    an organ there is. Organs as in ``region_error``.
    """
    student_BKN = (logits_BKDHW.log_softmax(1)[:, 1:].flatten(2) / temperature).log_softmax(2)
    teacher_BKN = teacher_BKDHW[:, 1:].flatten(2)
    softened_BKN = teacher_BKN.pow(1 / temperature)
    softened_BKN = softened_BKN / softened_BKN.sum(2, keepdim=True).clamp(min=torch.finfo(softened_BKN.dtype).tiny)
    divergence_BK = F.kl_div(student_BKN, softened_BKN, reduction="none").sum(2)
    return temperature**2 * _mean_over_seen(divergence_BK, teacher_BKN)


def soft_labels(logits_BKDHW: Tensor, teacher_BKDHW: Tensor, places: float = 0.0) -> Tensor:
    """Eq. 1 with the teacher's probabilities in the labels' place: ``region_error`` plus KL divergence. Shape B.

    It has the size of the labels' own loss, so that λ is the share which it seems to be. Learning from a teacher's
    answers as from labels is what the winners of FLARE22 (Huang et al. 2022) did with scans that had none.

    Args:
        places: share of organs' places in it, as ``training.places`` is in the labels' loss: ``channel_divergence`` is
            ``divergence_of_places`` with probabilities for labels. Without it scans that have no labels do not ask for
            small organs, which a student finds late.
    """
    eq_1_B = region_error(logits_BKDHW, teacher_BKDHW) + softened_divergence(logits_BKDHW, teacher_BKDHW, 1.0)
    if not places:
        return eq_1_B
    return (1 - places) * eq_1_B + places * channel_divergence(logits_BKDHW, teacher_BKDHW, TEMPERATURE)


def distance_of(section: DistillationSection, places: float = 0.0) -> Distance:
    """The distance that the section names; ``places`` is the labels' own share of them (``training.places``)."""
    distances: dict[str, Distance] = {
        "mse": squared_error,
        "kl": partial(softened_divergence, temperature=section.temperature),
        "focused": focused_error,
        "pooled": pooled_error,
        "region": region_error,
        "channel": partial(channel_divergence, temperature=section.temperature),
        "soft_labels": partial(soft_labels, places=places),
    }
    return distances[section.loss]


def _focused(student_BKDHW: Tensor, teacher_BKDHW: Tensor) -> Tensor:
    weight_BN = (1 - torch.minimum(student_BKDHW[:, 0].detach(), teacher_BKDHW[:, 0])).flatten(1)
    error_BN = (student_BKDHW - teacher_BKDHW).square().sum(1).flatten(1)
    return (weight_BN * error_BN).sum(1) / weight_BN.sum(1).clamp(min=1)


def _pooled(values_BKDHW: Tensor, edge: int) -> Tensor:
    """Means over cells; those at the far ends hold what is left."""
    if edge == 1:
        return values_BKDHW
    cell = [min(edge, length) for length in values_BKDHW.shape[2:]]  # torch pools no axis shorter than a cell
    return F.avg_pool3d(values_BKDHW, cell, ceil_mode=True, count_include_pad=False)


def _mean_over_seen(values_BK: Tensor, teacher_BKN: Tensor) -> Tensor:
    """Mean over the organs of which the teacher sees a voxel or more."""
    seen_BK = teacher_BKN.sum(2) >= 1
    return (values_BK * seen_BK).sum(1) / seen_BK.sum(1).clamp(min=1)
