"""What a small model says of itself, where no folder of one is needed."""

from typing import Any

from autosam_inference.card import Architecture, LabelClass, ModelCard, Scaling


def organs(count: int) -> tuple[LabelClass, ...]:
    return tuple(LabelClass(id=number, name=f"organ {number}") for number in range(1, count + 1))


def small_card(classes: tuple[LabelClass, ...], **changes: Any) -> ModelCard:
    """A card for ``classes``; windows of 8 × 9 × 10 voxels of 1 mm unless changed."""
    settings: dict[str, Any] = {
        "run_id": "small-01234567",
        "model": Architecture(name="none"),
        "num_classes": len(classes) + 1,
        "classes": classes,
        "patch": (8, 9, 10),
        "overlap": 0.5,
        "spacing_xyz": (1.0, 1.0, 1.0),
        "hu_window": (-100, 100),
        "scaling": Scaling(to=(-1.0, 1.0)),
        "nsd_tolerance_mm": 2.0,
        "dataset": "none",
    }
    return ModelCard(**settings | changes)
