"""How a prompted SAM is asked, and what of it is tuned: what stands in a model's options, with its defaults."""

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
        tune: nothing (``none``), prompt encoder and mask decoder (``prompt_and_mask``, the paper's P&M), or ``all``
            (the paper's Full).
        training_margin: each side of a training box lies up to so many pixels outside the organ, drawn at random;
            MedSAM has 20 in pictures of 1024.
        smallest: pixels that an organ must have in a slice to be trained on. Organs that MedSAM leaves out, such as the
            duodenum, are kept.

    Raises:
        ValueError: a value that there is not, or two that do not go together.
    """

    prompt: Literal["points", "box"] = "points"
    points: int = 1
    margin: int = 0
    prompt_seed: int = 0
    masks: Literal["single", "best"] = "single"
    hu_window: Literal["medsam", "dataset"] = "medsam"
    tune: Literal["none", "prompt_and_mask", "all"] = "none"
    training_margin: int = 20
    smallest: int = 1

    def __post_init__(self) -> None:
        kinds = get_type_hints(type(self))
        for name, value in asdict(self).items():
            allowed = get_args(kinds[name])
            if allowed and value not in allowed:
                raise ValueError(f"{name} '{value}' is not possible: choose {', '.join(allowed)}")
            if not allowed and (isinstance(value, bool) or not isinstance(value, int) or value < 0):
                raise ValueError(f"{name} {value!r} is not possible: give a whole number, 0 or more")
        for name in ("points", "smallest"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} 0 is not possible: give 1 or more")
        if self.tune != "none" and self.masks == "best":
            raise ValueError("masks best goes with tune none only: MedSAM tunes the single mask, and no predicted IoU")
        if self.tune != "none" and self.hu_window != "dataset":
            raise ValueError(
                f"tune {self.tune} goes with hu_window dataset only, since prepared cases hold no HU outside of it: "
                "set the model's option hu_window"
            )

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> Self:
        """From a model's options, of which others are passed over.

        >>> Asking.of({"prompt": "box", "embed_dim": 96}).words
        'a box with a margin of 0 pixels'
        """
        return cls(**{each.name: options[each.name] for each in fields(cls) if each.name in options})

    @property
    def corners(self) -> int:
        """Pixels that a prompt consists of: points, or the two corners of a box."""
        return 2 if self.prompt == "box" else self.points

    @property
    def words(self) -> str:
        """The prompt in words."""
        if self.prompt == "box":
            return f"a box with a margin of {self.margin} pixels"
        return "1 point" if self.points == 1 else f"{self.points} points"

    def grey(self, of_dataset: tuple[int, int]) -> tuple[int, int]:
        """HU that become black and white, where the dataset has such a window."""
        return MEDSAM_WINDOW if self.hu_window == "medsam" else of_dataset
