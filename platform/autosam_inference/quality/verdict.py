"""What is said of an organ in a scan: how good its segmentation is likely to be, and whether to use it."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

Flag: TypeAlias = Literal["ok", "check", "do not use"]
FLAGS: tuple[Flag, ...] = ("ok", "check", "do not use")
"""From the best to the worst."""


def worse(one: Flag, other: Flag) -> Flag:
    """The worse of two.

    >>> worse("check", "ok")
    'check'
    """
    return max(one, other, key=FLAGS.index)


@dataclass(frozen=True)
class OrganQuality:
    """How far one organ's segmentation is to be trusted.

    Attributes:
        organ: its name, as the card has it.
        expected_dice: None where it was not found: whether that is right cannot be known.
        interval: in which the Dice of most such organs lies (``Calibration.coverage``); None with ``expected_dice``.
        flag: ``ok``, ``check`` (a person should look) or ``do not use``.
        reasons: why, in plain words, the weightiest first; none where all is as usual.
    """

    organ: str
    expected_dice: float | None
    interval: tuple[float, float] | None
    flag: Flag
    reasons: tuple[str, ...] = ()

    @property
    def words(self) -> str:
        """One line.

        >>> OrganQuality("left adrenal gland", 0.41, (0.1, 0.6), "do not use", ("windows disagree",)).words
        'left adrenal gland: do not use: windows disagree'
        """
        return f"{self.organ}: {self.flag}" + (f": {', '.join(self.reasons)}" if self.reasons else "")
