"""The small model that comes with the project, if one does: a bundle in this folder, which `make included-model` makes.

Whoever takes a run or a bundle takes the word for it, too; what it is, it says itself (``ModelCard.warning``).
"""

from pathlib import Path

from autosam_inference.bundle import BundleError, is_bundle
from autosam_inference.card import CARD

INCLUDED = "included"
"""Names it in the place of a run or a bundle."""

FOLDER = Path(__file__).parent
"""Where it lies, in an installation as in the sources."""


def included_model() -> Path | None:
    """Its bundle; None where none comes with this version.

    Raises:
        BundleError: there are several, of which none is to be guessed.
    """
    found = sorted(place for place in FOLDER.glob("*.zip") if not place.name.startswith("."))  # one that is being made
    if len(found) > 1:
        names = ", ".join(place.name for place in found)
        raise BundleError(f"{FOLDER} holds {len(found)} models ({names}), and one comes with a version: remove others.")
    return found[0] if found else None


def named_included(name: str) -> Path | None:
    """The included model, if ``name`` is the word for it and there is one.

    Raises:
        BundleError: a bundle or a run's model of that very name lies here, too, or several are included.
    """
    if name != INCLUDED:
        return None
    found, here = included_model(), Path(INCLUDED)
    if found is not None and (is_bundle(here) or (here / CARD).is_file()):
        raise BundleError(
            f"'{INCLUDED}' is the model that comes with the project, and {here.absolute()} is a model, too: name that "
            "by its whole path, or start from another folder."
        )
    return found
