"""One case: the scan in three planes with truth and prediction over it, the organs in 3D, and its metrics.

The address says what is shown: ``run`` and ``case``, ``with`` for a second run beside the first, or ``prediction``
for a folder of the workspace's predictions. Crosshair, window and the like are the canvas's own part of it.
"""

from collections.abc import Mapping
from math import isnan

import pandas as pd
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from autosam_inference.scans.colours import organ_colour
from autosam_platform.workspace import RunFolder, Workspace, workspace
from dashboard.components.base.chooser import chosen
from dashboard.components.base.messages import explained, nothing
from dashboard.components.base.places import (
    ReadingError,
    allowed_roots,
    checked_id,
    prediction_folder,
    recorded_file,
    run_folder,
)
from dashboard.components.base.tab import named_tab
from dashboard.components.base.text import plain, score
from dashboard.components.record import run_files
from dashboard.components.record.prediction_panel import prediction_panel
from dashboard.components.record.quality_words import show_quality
from dashboard.components.record.run_files import CaseFiles
from dashboard.components.viewer.case_view import draw_case
from dashboard.components.viewer.volumes import LabelMap, are_same

_ALONE = "no other run"


def _evaluated(root: Workspace) -> None:
    """A case that a run was evaluated on."""
    runs = [run.name for run in root.run_folders if run.evaluation().has_cases]
    if not runs:
        nothing("No run of this workspace is evaluated yet.", "make demo")
        return
    run_place, before_place, case_place, after_place, with_place = st.columns(
        [5, 0.8, 4, 0.8, 5], gap="small", vertical_alignment="center"
    )
    with explained():
        with run_place:
            run_id = chosen("run", runs, bare=True)
        dice = _worst_first(run_folder(root, run_id))
        with case_place:
            case_id = chosen("case", [*dice], bare=True, words=lambda each: f"{each} · {score(dice.get(each))}")
        _step(before_place, "‹", "Case before it in the list, which begins with the worst", [*dice], case_id, -1)
        _step(after_place, "›", "Next case of the list, which begins with the worst", [*dice], case_id, +1)
        named_tab(case_id, run_id, "Viewer")
        case = run_files.read_case(run_folder(root, run_id), case_id)
        _say_missing(case)
        with with_place:
            second = _second(root, run_id, case_id, runs)
        predictions = {run_id: LabelMap(case.prediction)} if case.prediction else {}
        predictions |= _beside(root, second, case, run_id)
        draw_case(case.image, case.truth, predictions, case.classes, title=case_id, of=run_id)
        _metrics(case.rows, run_id)


def _worst_first(run: RunFolder) -> dict[str, float | None]:
    """The evaluated cases with their mean Dice, the worst first; those that the table of metrics lacks come last."""
    with explained():
        metrics = run_files.read_metrics(run)
        table = run_files.per_case(metrics) if metrics is not None else None
        known = {} if table is None else dict(zip(table["case"], table["dice"], strict=True))
        cases = run.evaluation().case_ids
        found = {case: value for case, value in known.items() if case in cases and not isnan(value)}
        return found | {case: None for case in cases if case not in found}
    return dict.fromkeys(run.evaluation().case_ids)


def _step(place: DeltaGenerator, sign: str, words: str, cases: list[str], case_id: str, by: int) -> None:
    """A button to a neighbour in the list of cases."""
    at = cases.index(case_id) + by
    if place.button(sign, help=words, disabled=not 0 <= at < len(cases), width="stretch"):
        st.query_params["case"] = cases[at]
        st.rerun()


def _say_missing(case: CaseFiles) -> None:
    for reason in case.missing:
        st.warning(plain(f"{reason}: it is not shown. Evaluating the run again writes predictions anew."))


def _second(root: Workspace, run_id: str, case_id: str, runs: list[str]) -> str | None:
    """The run to show beside the first one, among those evaluated on the same case; kept in the address."""
    others = [name for name in runs if name != run_id and root.run(name).evaluation().recorded(case_id)]
    wanted = st.query_params.get("with")
    options = [_ALONE, *others]
    index = options.index(wanted) if wanted in others else 0
    picked = st.selectbox(
        "Beside it", options, index=index, disabled=not others, label_visibility="collapsed", format_func=_beside_words
    )
    if picked != options[index]:
        if picked == _ALONE:
            del st.query_params["with"]
        else:
            st.query_params["with"] = picked
        st.rerun()
    if wanted and wanted not in others:
        name = checked_id("run", wanted)
        st.warning(plain(f"There is no other run {name} that was evaluated on this case: nothing is shown beside it."))
        return None
    return wanted


def _beside_words(option: str) -> str:
    return option if option == _ALONE else f"beside {option}"


def _beside(root: Workspace, run_id: str | None, case: CaseFiles, first: str) -> dict[str, LabelMap]:
    """The second run's prediction of the case, if it is one of the same scan and of organs that the first run has."""
    if run_id is None:
        return {}
    with explained():
        other = run_files.read_case(run_folder(root, run_id), case.case_id)
        if other.image != case.image:
            raise ReadingError(
                f"{run_id} was evaluated on another scan of this name ({other.image}), so the two are not shown "
                "side by side: choose a run of the same dataset."
            )
        unknown = sorted(set(other.classes.values()) - set(case.classes.values()))
        if unknown:
            raise ReadingError(
                f"{run_id} has organs that {first} does not have ({', '.join(unknown)}), so the two are not shown "
                f"side by side: they would be painted and scored as others. Open {run_id} by itself."
            )
        ids = _ids(other.classes, case.classes)
        _say_missing(other)
        lacking = [name for name in case.classes.values() if name not in other.classes.values()]
        if lacking:
            st.caption(plain(f"{run_id} does not have {', '.join(lacking)}: here it misses them, in the Dice too."))
        _say_truths_differ(case, other, ids, (first, run_id))
        return {run_id: LabelMap(other.prediction, ids)} if other.prediction else {}
    return {}


def _ids(theirs: Mapping[int, str], ours: Mapping[int, str]) -> dict[int, int] | None:
    """Our ids of their organs, by their own ids; ``None`` where both have the same classes."""
    by_name = {name: id_ for id_, name in ours.items()}
    return None if theirs == ours else {id_: by_name[name] for id_, name in theirs.items()}


def _say_truths_differ(case: CaseFiles, other: CaseFiles, ids: Mapping[int, int] | None, runs: tuple[str, str]) -> None:
    """There is one truth in the viewer, the first run's; a second one is read only where it is another file."""
    if case.truth is None or other.truth is None:
        return
    first, second = runs
    of_both = {id_: id_ for id_ in ids.values()} if ids else None
    with explained():
        if not are_same(LabelMap(case.truth, of_both), LabelMap(other.truth, ids)):
            st.warning(
                plain(
                    f"{second} was evaluated with another truth than {first}. What is shown here, and every Dice over "
                    f"the planes, is of the truth of {first}: what {second} scored itself is on its own page."
                )
            )


def _predicted(root: Workspace, name: str) -> None:
    """A scan that jobs/predict.py segmented: there is no truth, and nothing was measured."""
    with explained():
        found = prediction_folder(root, name)
        recorded, run_id = found.scan_and_run()
        scan, classes = recorded_file(recorded, root, allowed_roots()), found.class_names()
        named_tab(name, "Viewer")
        st.caption(plain(f"{scan.name}, segmented by {run_id}. There is no truth to compare it with."))
        for note in found.notes:
            st.warning(plain(note))
        show_quality(found)
        draw_case(scan, None, {run_id: LabelMap(found.label)}, classes, title=name, reading=found.reading)
        prediction_panel(found)


def _metrics(rows: pd.DataFrame, run_id: str) -> None:
    """Dice, NSD and HD95 of this case, and each organ's colour."""
    st.subheader("Organs of this case")
    percent = {name: 100 * rows[name] for name in ("dice", "nsd")}
    table = rows.assign(colour="", **percent)[
        ["colour", "class_name", "dice", "nsd", "hd95_mm", "truth_ml", "predicted_ml"]
    ]
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
            "dice": st.column_config.NumberColumn("Dice %", format="%.2f"),
            "nsd": st.column_config.NumberColumn("NSD %", format="%.2f"),
            "hd95_mm": st.column_config.NumberColumn("HD95 (mm)", format="%.1f", help="Lower is better"),
            "truth_ml": st.column_config.NumberColumn("Truth (ml)", format="%.1f"),
            "predicted_ml": st.column_config.NumberColumn("Predicted (ml)", format="%.1f"),
        },
    )
    st.caption(
        f"Of {plain(run_id)}, in the whole case. An organ that is in neither label map, or not annotated in this case, "
        "has no Dice; one that is in only one of them has no HD95."
    )


def _page() -> None:
    root = workspace()
    prediction = st.query_params.get("prediction")
    if prediction is None:
        _evaluated(root)
    else:
        _predicted(root, prediction)


_page()
