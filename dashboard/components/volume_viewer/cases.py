"""A case in the viewer: its files read and packed, what cannot be read said, the rest shown."""

from collections.abc import Mapping
from pathlib import Path

from autosam_platform.data.colours import organ_colour
from autosam_platform.files import content_hash
from dashboard.components.states import explained
from dashboard.components.volume_viewer.component import volume_viewer
from dashboard.components.volume_viewer.encoding import Encoded, message
from dashboard.components.volumes import load_labels, load_scan, stamp


def draw_case(
    image: Path,
    truth: Path | None,
    predictions: Mapping[str, Path],
    classes: Mapping[int, str],
    *,
    title: str,
    key: str = "viewer",
) -> None:
    """Draw a scan with its label maps, a row of planes per prediction; a file that cannot be read is said above.

    Args:
        predictions: by the name that the page gives them; at most two have room.
        classes: names of the organs by their ids in the label maps; other ids are not painted.
        title: on the saved picture, and its file's name.
        key: one per page: with the same key the next case keeps window, organs and what is shown.
    """
    with explained():
        scan = load_scan(image)
        files = {name: path for name, path in [("", truth), *predictions.items()] if path is not None}
        maps = _readable(files, scan)
        header = {
            "key": content_hash(
                [stamp(path) for path in (image, *(files[name] for name in maps))], [*maps], {**classes}
            ),
            "scan": content_hash(stamp(image)),
            "title": title,
            "truth": "" in maps,
            "predictions": [name for name in maps if name],
            "organs": [{"id": id_, "name": name, "colour": organ_colour(name)} for id_, name in classes.items()],
        }
        volume_viewer(message(header, [scan, *maps.values()]), key)


def _readable(files: Mapping[str, Path], scan: Encoded) -> dict[str, Encoded]:
    maps = {}
    for name, path in files.items():
        with explained():
            maps[name] = load_labels(path, scan)
    return maps
