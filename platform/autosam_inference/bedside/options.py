"""What is asked of every scan."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

from autosam_inference.bedside.naming import Names
from autosam_inference.card import LabelClass, ModelCard
from autosam_inference.errors import UserError
from autosam_inference.runtimes.chosen import RuntimeName
from autosam_inference.scans.colours import organ_key


@dataclass(frozen=True)
class Options:
    """How scans are segmented and what is written of each.

    Attributes:
        organs: names of the only ones that are wanted; all where there is none.
        coarse: look for the organs roughly first, and compute only the windows around them (``coarse``).
        straighten: resample tilted, shifted or unevenly spaced DICOM slices, instead of refusing them.
        dicom_seg: kind of the DICOM SEG of a DICOM scan; ``none`` asks for none.
        report: write a DICOM structured report of a DICOM scan.
        runtime: that was asked for; the model's own where none was.
        names: what the folder of a NIfTI file is called by.
        again: make what was made before, too.
    """

    organs: tuple[str, ...] = ()
    coarse: bool = True
    straighten: bool = False
    dicom_seg: Literal["labelmap", "binary", "none"] = "labelmap"
    report: bool = False
    runtime: RuntimeName | None = None
    names: Names = "file"
    again: bool = False

    @property
    def deciding(self) -> dict[str, Any]:
        """Those that decide what is in the files."""
        return {name: value for name, value in asdict(self).items() if name not in ("names", "again")}


def wanted(card: ModelCard, organs: tuple[str, ...]) -> tuple[LabelClass, ...]:
    """The classes of the organs that are asked for, in the order of the model's; all where none is.

    Raises:
        UserError: the model does not know one of them.
    """
    keys = {organ_key(each): each for each in organs}
    unknown = keys.keys() - {organ_key(each.name) for each in card.classes}
    if unknown:
        names = ", ".join(repr(keys[each]) for each in sorted(unknown))
        known = ", ".join(each.name for each in card.classes)
        raise UserError(f"--organs: the model {card.run_id} does not know {names}; it knows {known}.")
    return tuple(each for each in card.classes if not keys or organ_key(each.name) in keys)
