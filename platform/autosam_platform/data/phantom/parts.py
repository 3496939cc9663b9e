"""The parts of a body that a scan shows, along z of the template."""

from enum import StrEnum


class Part(StrEnum):
    """What a scan shows."""

    CHEST_ABDOMEN = "chest-abdomen"
    ABDOMEN = "abdomen"
    ABDOMEN_PELVIS = "abdomen-pelvis"
    PELVIS = "pelvis"


# Between which heights (mm above the first lumbar vertebra) a scan of the part begins, and ends. The domes of the
# diaphragm are at about 100, the crests of the hips at -105, the hip joints at -262.
REACH_MM: dict[Part, tuple[tuple[float, float], tuple[float, float]]] = {
    Part.CHEST_ABDOMEN: ((-148, -104), (170, 225)),
    Part.ABDOMEN: ((-148, -104), (114, 154)),
    Part.ABDOMEN_PELVIS: ((-348, -312), (114, 154)),
    Part.PELVIS: ((-352, -322), (-105, -60)),
}
