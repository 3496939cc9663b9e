"""What a model is, and how good, in one line: for whoever is about to use it, and beside every result."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from autosam_inference.bundle.card import BundleCard
    from autosam_inference.bundle.contents import OtherScores

SYNTHETIC = "Trained on synthetic scans alone, not for patients"
"""Of a model that has seen no scan of a patient; no longer than the 64 characters that DICOM has for a description."""


def in_a_line(card: "BundleCard") -> str:
    """What a model of synthetic scans is, with its scores on such scans and on those of patients."""
    return f"{SYNTHETIC}: model {card.run_id}, {', '.join(_scores(card))}."


def _scores(card: "BundleCard") -> Iterator[str]:
    if card.scores is None:
        yield "never evaluated on synthetic test cases"
    else:
        yield f"mean Dice {dice_text(card.scores.mean_dice)} on {_counted(card.scores.n_cases, 'synthetic test case')}"
    others = [each for each in card.other_scores if not each.synthetic]
    yield from (f"mean Dice {dice_text(each.mean_dice)} on {_what(each)}" for each in others)
    if not others:
        yield "never tried on a scan of a patient"


def _what(scores: "OtherScores") -> str:
    """The scans of another dataset; of one that nothing is known of, they are not said to be a patient's."""
    kind = "scan" if scores.synthetic is None else "real scan"
    return f"{_counted(scores.n_cases, kind)} ({scores.dataset})"


def dice_text(value: float | None) -> str:
    """A share in percent, as people read it."""
    return "unknown" if value is None else f"{100 * value:.2f} %"


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"
