"""A case in the viewer: its files read and packed, what cannot be read said, the rest shown."""

from collections.abc import Mapping
from pathlib import Path

from autosam_inference.files import content_hash
from autosam_inference.scans.colours import organ_colour
from autosam_inference.scans.names import Reading
from dashboard.components.base.messages import explained
from dashboard.components.viewer.component import volume_viewer
from dashboard.components.viewer.encoding import message
from dashboard.components.viewer.volumes import LabelMap, load_case, stamp


def draw_case(
    image: Path,
    truth: Path | None,
    predictions: Mapping[str, LabelMap],
    classes: Mapping[int, str],
    *,
    title: str,
    of: str = "",
    key: str = "viewer",
    reading: Reading | None = None,
) -> None:
    """Draw a scan with its label maps, a row of planes per prediction; a file that cannot be read is said above.

    Args:
        predictions: by the name that the page gives them; two have room below one another.
        classes: names of the organs by their ids in the label maps; other ids are not painted.
        title: of the case, on the saved picture and its file.
        of: the prediction that the title names as well. Where another one is shown alone, since that one cannot be,
            the title names the other, and so do the planes.
        reading: how a DICOM scan was read when it was segmented.
        key: with the same key the next case keeps window, organs and what is shown.
    """
    with explained():
        case = load_case(image, [*([LabelMap(truth)] if truth else []), *predictions.values()], reading)
        for failure in case.failures:
            with explained():
                raise failure
        shown = {name: each for name, each in predictions.items() if each.path in case.maps}
        named = next(iter(shown), of) if of and of not in shown else of
        title = f"{title} · {named}" if named else title
        files = [*([truth] if truth in case.maps else []), *(each.path for each in shown.values())]
        ids = [{**each.ids} if each.ids else None for each in shown.values()]
        header = {
            "key": content_hash([stamp(path) for path in (image, *files)], reading, [*shown], ids, {**classes}, title),
            "scan": content_hash(stamp(image), reading),
            "title": title,
            "truth": truth in case.maps,
            "predictions": [*shown],
            "named": len(shown) > 1 or named != of,
            "affine": case.scan.grid.canonical_affine[:3].tolist(),  # of x, y, z: mm to the right, front, top
            "organs": [{"id": id_, "name": name, "colour": organ_colour(name)} for id_, name in classes.items()],
        }
        volume_viewer(message(header, [case.scan.voxels, *(case.maps[path] for path in files)]), key)
