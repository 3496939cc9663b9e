"""How a prompted SAM is asked: what stands in a model's options, with its defaults."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, Self, get_args, get_type_hints

MEDSAM_WINDOW = (-160, 240)
"""HU: level 40, width 400, MedSAM's for soft tissue (Ma et al., Nature Communications 2024, Methods)."""


@dataclass(frozen=True)
class Asking:
    """How one organ of one axial slice is asked for.

    Attributes:
        prompt: ``points`` drawn inside the organ, or its ``box``.
        points: how many, where the prompt is points.
        margin: pixels of the slice around the box, on each side.
        prompt_seed: of the points.
        masks: SAM's ``single`` mask, or the ``best`` of its three by the IoU that it predicts.
        hu_window: of HU that become grey values: ``medsam`` (level 40, width 400) or the ``dataset``'s own.

    Raises:
        ValueError: a value that there is not.
    """

    prompt: Literal["points", "box"] = "points"
    points: int = 1
    margin: int = 0
    prompt_seed: int = 0
    masks: Literal["single", "best"] = "single"
    hu_window: Literal["medsam", "dataset"] = "medsam"

    def __post_init__(self) -> None:
        kinds = get_type_hints(type(self))
        for name, value in asdict(self).items():
            allowed = get_args(kinds[name])
            if allowed and value not in allowed:
                raise ValueError(f"{name} '{value}' is not possible: choose {', '.join(allowed)}")
            if not allowed and (isinstance(value, bool) or not isinstance(value, int) or value < 0):
                raise ValueError(f"{name} {value!r} is not possible: give a whole number, 0 or more")
        if self.points < 1:
            raise ValueError("points 0 is not possible: give 1 or more")

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> Self:
        """From a model's options, of which others are passed over.

        >>> Asking.of({"prompt": "box", "embed_dim": 96}).words
        'a box with a margin of 0 pixels'
        """
        return cls(**{each.name: options[each.name] for each in fields(cls) if each.name in options})

    @property
    def words(self) -> str:
        """The prompt in words."""
        if self.prompt == "box":
            return f"a box with a margin of {self.margin} pixels"
        return "1 point" if self.points == 1 else f"{self.points} points"

    def grey(self, of_dataset: tuple[int, int]) -> tuple[int, int]:
        """HU that become black and white, where the dataset has such a window."""
        return MEDSAM_WINDOW if self.hu_window == "medsam" else of_dataset
