"""The data at a glance, before anything is trained on it: a page with every case in three planes, its HU, its verdict.

Most of what ruins a training is seen in a minute: labels that are mirrored, of another patient or cut off; scans that
lie on their side; a window that shows nothing.
"""

import functools
import html
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from autosam_inference.card import LabelClass
from autosam_inference.files import write_json, write_text
from autosam_inference.picture import PLANES, telling_slice
from autosam_inference.scans.colours import organ_rgb
from autosam_inference.scans.grid import Volume
from autosam_inference.scans.plausibility import HISTOGRAM_HU
from autosam_models.sizes import size_text
from autosam_platform.cluster import map_tasks
from autosam_platform.data.prepared import PreparedDataset
from autosam_platform.data.store import StoredCase
from autosam_platform.evaluation.pictures import DPI, draw_outlines, draw_scan, save_figure

_PANEL_INCHES = 2.6
_COLOURS = {"ok": "#2e7d32", "fixed": "#b26a00", "rejected": "#c62828"}
_STYLE = """body{font-family:sans-serif;margin:1.5em;color:#222} article{border-top:1px solid #ccc;padding:.6em 0}
img{max-width:100%} b.verdict{color:#fff;border-radius:3px;padding:.1em .5em} p{margin:.3em 0} .note{color:#555}"""


def write_contact_sheet(prepared: PreparedDataset) -> Path:
    """Draw the cases that have no picture yet, one Ray task a case, and write the page; returns its file.

    Rejected cases are on it with their reasons, first of all. Beside the page lies the same as JSON for the dashboard.
    """
    stored = {case.case_id: case for case in prepared.cases("all")}
    missing = [case for case in stored.values() if not case.picture.exists()]
    map_tasks(functools.partial(_draw, classes=prepared.classes), missing, label=f"drawing {prepared.name}")
    sheet = prepared.sheet
    cases = []
    for entry in sorted(prepared.entries, key=lambda each: (each.status != "rejected", each.status != "fixed")):
        case = stored.get(entry.case_id)
        cases.append(
            {
                "case": entry.case_id,
                "status": entry.status,
                "splits": list(entry.splits),
                "reasons": list(entry.reasons),
                "voxels": size_text(case.shape_DHW) if case else "",
                "spacing_mm": size_text(round(each, 3) for each in case.spacing_DHW) if case else "",
                "organs": _organs(case, prepared.classes) if case else [],
                "picture": str(case.picture.relative_to(prepared.folder)) if case else "",
            }
        )
    about = {"name": prepared.name, "title": prepared.description.title, "fingerprint": prepared.fingerprint}
    notes = [*prepared.notes, *(f"{each.name} is no case: {each.reason}" for each in prepared.left_out)]
    write_json(sheet.with_suffix(".json"), about | {"notes": notes, "cases": cases})
    write_text(sheet, _page(about, notes, cases))
    return sheet


def _organs(case: StoredCase, classes: Sequence[LabelClass]) -> list[str]:
    """The organs of its label map; none where it has no label."""
    contents = case.record.contents
    return [] if contents is None else [each.name for each in classes if each.id in contents.boxes]


def _draw(case: StoredCase, classes: Sequence[LabelClass]) -> None:
    """A row of four panels: three planes with outlines, and how often each HU occurs in the scan as it was read."""
    scan = Volume(case.hu(), case.spacing_DHW)
    label_DHW = case.label().numpy() if case.record.contents is not None else np.zeros(case.shape_DHW, np.uint8)
    size = [count * spacing for count, spacing in zip(case.shape_DHW, case.spacing_DHW, strict=True)]
    figure = Figure(figsize=(4 * _PANEL_INCHES + 0.4, _PANEL_INCHES + 0.3), dpi=DPI, layout="constrained")
    panels = figure.subplots(1, 4)
    for plane, panel in zip(PLANES, panels, strict=False):
        panel.set_axis_off()
        index = telling_slice(label_DHW, plane.axis, len(classes) + 1)
        draw_scan(panel, plane, scan, size, index, case.description.hu_window)
        draw_outlines(panel, plane, size, index, classes, label_DHW)
    _draw_histogram(panels[3], case)
    save_figure(figure, case.picture)


def _draw_histogram(panel: Axes, case: StoredCase) -> None:
    counts = np.array(case.record.histogram, float)
    middles = (np.array(HISTOGRAM_HU[:-1]) + np.array(HISTOGRAM_HU[1:])) / 2
    panel.fill_between(middles, counts / max(counts.sum(), 1), step="mid", color="0.4")
    panel.axvspan(*case.description.hu_window, color="#1976d2", alpha=0.15, lw=0)
    panel.set_yscale("symlog", linthresh=1e-4)
    panel.set_xlabel("HU of the scan (blue: the window)", fontsize=8)
    panel.set_ylabel("share of voxels", fontsize=8)
    panel.tick_params(labelsize=7)


def _page(about: dict[str, str], notes: Sequence[str], cases: Sequence[dict[str, Any]]) -> str:
    counts = Counter(case["status"] for case in cases)
    said = ", ".join(f"{counts[status]} {status}" for status in _COLOURS)
    title = html.escape(f"{about['title']} ({about['name']})")
    legend = " ".join(f'<b style="color:{_hex(name)}">{html.escape(name)}</b>' for name in _shown(cases))
    said_too = "".join(f"<p>{html.escape(note)}</p>" for note in notes)
    articles = "\n".join(_article(case) for case in cases)
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title><style>{_STYLE}</style>'
        f"<h1>{title}</h1><p>{len(cases)} cases: {said}. Radiological convention: the patient's right is at the left "
        f'side of axial and coronal pictures.</p><p>{legend}</p><p class="note">fingerprint {about["fingerprint"]}</p>'
        f"{said_too}\n{articles}\n</html>\n"
    )


def _article(case: dict[str, Any]) -> str:
    colour, name = _COLOURS[case["status"]], html.escape(case["case"])
    reasons = "".join(f"<p>{html.escape(reason)}</p>" for reason in case["reasons"])
    facts = ", ".join(filter(None, [" and ".join(case["splits"]), case["voxels"], case["spacing_mm"] and "at"]))
    spacing = f" {case['spacing_mm']} mm" if case["spacing_mm"] else ""
    picture = html.escape(case["picture"], quote=True)
    shown = f'<img loading="lazy" src="{picture}" alt="{name} in three planes, and its HU">' if picture else ""
    return (
        f'<article id="{html.escape(case["case"], quote=True)}"><h3>{name} <b class="verdict" '
        f'style="background:{colour}">{case["status"]}</b></h3><p class="note">{html.escape(facts + spacing)}</p>'
        f"{reasons}{shown}</article>"
    )


def _shown(cases: Sequence[dict[str, Any]]) -> list[str]:
    return list(dict.fromkeys(organ for case in cases for organ in case["organs"]))


def _hex(organ: str) -> str:
    return "#" + "".join(f"{round(255 * channel):02x}" for channel in organ_rgb(organ))
