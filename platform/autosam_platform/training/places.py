"""Where each organ is, every organ alike: a term that small organs learn by from the start."""

from torch import Tensor

TEMPERATURE = 2.0
"""Evens out where the network sees an organ. At 2 it was measured (docs/log.md, 2026-11-28); others were not tried."""


def divergence_of_places(logits_BKDHW: Tensor, label_BDHW: Tensor) -> Tensor:
    """KL divergence between where label and network have an organ, times T²; mean over the label's organs. Shape B.

    Source: Shu et al. 2021 (Channel-wise Knowledge Distillation for Dense Prediction), Eq. 3 and 4, with the label in
    the teacher's place: an organ's channel of logarithms of probabilities, divided by T, is a distribution over the
    patch by softmax; the label's has 1/n in each of its n voxels. An adrenal gland so weighs what a liver weighs, and
    an organ that the network sees nowhere has a gradient: means over voxels hardly notice the one, Dice the other. How
    much of an organ there is it does not ask, so it is no loss by itself. 0 for a sample without organs.

    Args:
        logits_BKDHW: float32 or float64; class 0 is background.
        label_BDHW: class ids, int64.
    """
    label_BN = label_BDHW.flatten(1)
    places_BKN = (logits_BKDHW.flatten(2).log_softmax(1) / TEMPERATURE).log_softmax(2)
    own_BN = places_BKN.gather(1, label_BN[:, None])[:, 0]
    empty_BK = own_BN.new_zeros(logits_BKDHW.shape[:2])
    own_BK = empty_BK.scatter_add(1, label_BN, own_BN)
    voxels_BK = empty_BK.scatter_add(1, label_BN, own_BN.new_ones(own_BN.shape))
    least_BK = voxels_BK.clamp(min=1)
    seen_BK = voxels_BK > 0
    seen_BK[:, 0] = False
    divergence_BK = TEMPERATURE**2 * (-least_BK.log() - own_BK / least_BK) * seen_BK
    return divergence_BK.sum(1) / seen_BK.sum(1).clamp(min=1)
