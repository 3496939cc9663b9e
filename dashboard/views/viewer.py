"""One case: the scan in three planes with truth and prediction over it, and its metrics organ by organ."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import get_args

import pandas as pd
import streamlit as st

from autosam_platform.data.colours import organ_colour
from autosam_platform.data.geometry import Volume
from autosam_platform.files import workspace
from dashboard.components import planes, records, volumes
from dashboard.components.chooser import chosen
from dashboard.components.places import run_folder
from dashboard.components.records import CaseFiles
from dashboard.components.states import explained, nothing
from dashboard.components.text import plain
from dashboard.components.volumes import Labels

_MAPS = ("truth", "prediction")
_MANNERS = (*get_args(planes.Manner), "hidden")


def _choose() -> tuple[str, CaseFiles] | None:
    """The chosen run and its case; ``None``, with the reason on the page, where there is none to show."""
    root = workspace()
    evaluated = [name for name in records.run_folders(root) if records.case_ids(run_folder(root, name))]
    if not evaluated:
        nothing("No run of this workspace is evaluated yet.", "make demo")
        return None
    run_place, case_place = st.columns(2)
    with explained():
        with run_place:
            run_id = chosen("run", evaluated)
        folder = run_folder(root, run_id)
        with case_place:
            case_id = chosen("case", records.case_ids(folder))
        return run_id, records.read_case(root, folder, case_id)
    return None


@dataclass(frozen=True)
class _Look:
    """What the controls say: HU window, how each label map is painted, and the organs that are."""

    window: tuple[int, int]
    manners: dict[str, str]
    opacity: float
    colours: dict[int, planes.Colour]


def _controls(organs: Mapping[int, str], run_id: str) -> _Look:
    places = st.columns([5, 4, 4, 3])
    names = list(planes.WINDOWS)
    preset = places[0].segmented_control("Window", names, default=names[0], required=True, key="window")
    manners = {
        name: place.segmented_control(name.capitalize(), _MANNERS, default=manner, required=True, key=name)
        for place, name, manner in zip(places[1:3], _MAPS, ("outlined", "filled"), strict=True)
    }
    opacity = places[3].slider("Opacity of fillings", 0, 100, 40, 5, format="%d%%", key="opacity") / 100
    shown = st.pills(
        "Organs",
        list(organs),
        selection_mode="multi",
        default=list(organs),
        format_func=lambda label: plain(organs[label]),
        key=f"organs-{run_id}",
    )
    colours = {label: organ_colour(organs[label]) for label in shown}
    return _Look(planes.WINDOWS[preset], manners, opacity, colours)


def _read_maps(case: CaseFiles, scan: Volume) -> dict[str, Labels]:
    """Truth and prediction, as far as they can be read."""
    maps = {}
    for name, path in zip(_MAPS, (case.truth, case.prediction), strict=True):
        with explained():
            if path is not None:
                maps[name] = volumes.load_labels(path, scan)
    return maps


def _layers(maps: Mapping[str, Labels], look: _Look) -> list[planes.Layer]:
    """Prediction below, truth above; an outline of the prediction is dashed."""
    return [
        planes.Layer(maps[name].array_DHW, look.colours, manner, look.opacity, dashed=name == "prediction")
        for name in reversed(_MAPS)
        for manner in get_args(planes.Manner)
        if name in maps and look.manners[name] == manner
    ]


def _planes(run_id: str, case: CaseFiles) -> None:
    look = _controls(dict(zip(case.rows["class_id"], case.rows["class_name"], strict=True)), run_id)
    with explained():
        scan = volumes.load_image(case.image)
        maps = _read_maps(case, scan)
        layers, shape = _layers(maps, look), scan.array_DHW.shape
        starts = next((labels.telling_DHW for labels in maps.values()), tuple(n // 2 for n in shape))
        widths = [planes.extent_mm(plane, shape, scan.spacing_DHW)[1] for plane in planes.PLANES]
        for plane, place in zip(planes.PLANES, st.columns(widths), strict=True):
            with place:
                index = _slice_of(plane, scan, starts[plane.axis], f"{run_id}-{case.case_id}")
                picture = planes.draw(plane, index, scan.array_DHW, scan.spacing_DHW, look.window, layers)
                st.image(picture, width="stretch", output_format="PNG")
        st.caption(
            "Radiological: the patient's right (R) is on the picture's left. "
            "All planes have one scale in mm. An outline of the prediction is dashed."
        )


def _slice_of(plane: planes.Plane, scan: Volume, start: int, key: str) -> int:
    last = scan.array_DHW.shape[plane.axis] - 1
    if last == 0:
        return 0
    label = f"{plane.name} slice, every {scan.spacing_DHW[plane.axis]:.3g} mm"
    return st.slider(label, 0, last, start, key=f"{plane.name}-{key}")


def _metrics(rows: pd.DataFrame) -> None:
    """Dice, NSD and HD95 of this case, and each organ's colour."""
    st.subheader("Organs of this case")
    table = rows.assign(colour="")[["colour", "class_name", "dice", "nsd", "hd95_mm", "truth_ml", "predicted_ml"]]
    chips = ["background-color: rgb({}, {}, {})".format(*organ_colour(name)) for name in rows["class_name"]]
    st.dataframe(
        table.style.apply(lambda _: chips, subset=["colour"]),
        hide_index=True,
        width="content",
        height="content",
        placeholder="–",
        column_config={
            "colour": st.column_config.TextColumn("", width=30),
            "class_name": st.column_config.TextColumn("Organ", width="medium"),
            "dice": st.column_config.NumberColumn("Dice", format="%.3f"),
            "nsd": st.column_config.NumberColumn("NSD", format="%.3f"),
            "hd95_mm": st.column_config.NumberColumn("HD95 (mm)", format="%.1f", help="Lower is better"),
            "truth_ml": st.column_config.NumberColumn("Truth (ml)", format="%.1f"),
            "predicted_ml": st.column_config.NumberColumn("Predicted (ml)", format="%.1f"),
        },
    )
    st.caption(
        "An organ that is in neither label map, or not annotated in this case, has no Dice; "
        "one that is in only one of them has no HD95."
    )


def _page() -> None:
    st.title("Viewer")
    found = _choose()
    if found is None:
        return
    run_id, case = found
    for reason in case.missing:
        st.warning(plain(f"{reason}: it is not shown. Evaluating the run again writes predictions anew."))
    st.fragment(_planes)(run_id, case)
    _metrics(case.rows)


_page()
