"""What a bundle says of itself: organs and scores, known failures, parity, where it comes from."""

from pathlib import Path
from typing import Any

import pandas as pd
import streamlit as st

from autosam_inference.bundle import Bundle
from dashboard.components.base.text import plain, score

_FIRST = {
    "organ": st.column_config.TextColumn("Organ", pinned=True, width="medium"),
    "dice": st.column_config.NumberColumn("Dice %", format="%.2f"),
}
_LAST = {
    "lowest_dice": st.column_config.NumberColumn("Lowest Dice %", format="%.2f"),
    "nsd": st.column_config.NumberColumn("NSD %", format="%.2f"),
    "n": st.column_config.NumberColumn("Cases"),
    "code": st.column_config.TextColumn("SNOMED CT"),
}
_PARITY = {
    "runtime": st.column_config.TextColumn("Runtime", pinned=True),
    "format": st.column_config.TextColumn("Computed in"),
    "logits": st.column_config.NumberColumn("Largest difference of a logit", format="%.1e"),
    "labels": st.column_config.NumberColumn("Equal labels (%)", format="%.3f"),
    "dice": st.column_config.NumberColumn("Difference of Dice (points)", format="%.3f"),
    "scans": st.column_config.NumberColumn("Scans"),
}


def about(place: Path) -> str:
    """A bundle in a line.

    Raises:
        BundleError: it cannot be used.
    """
    told = _told(place)
    scores = told.get("scores") or {}
    return (
        f"bundle of {told['run_id']}: {told['model']['name']}, trained on {told['dataset']} · mean Dice "
        f"{score(scores.get('mean_dice'))} (test, n = {scores.get('n_cases', '–')}, written "
        f"{told.get('written_on') or 'some day'})"
    )


def show_card(place: Path) -> None:
    """Draw the card; its files are compared when the bundle is used.

    Raises:
        BundleError: it cannot be used.
    """
    told = _told(place)
    columns = _FIRST | {_dice_on(each): _on_another(each) for each in told["other_scores"]} | _LAST
    organs = pd.DataFrame(_organs(told), columns=list(columns))
    st.dataframe(organs, hide_index=True, height="content", column_config=columns, placeholder="–")
    data = told.get("training_data") or {}
    spacing = " × ".join(f"{value:g}" for value in told["spacing_xyz"])
    cases = ", ".join(f"{count} {split}" for split, count in (data.get("cases") or {}).items())
    facts = {
        "Trained on": f"{data.get('title') or told['dataset']}{f' ({cases} cases)' if cases else ''}"
        + ("; synthetic scans alone" if data.get("synthetic") else ""),
        "Other datasets": "; ".join(map(_of_another, told["other_scores"])) or "never tried on one",
        "Licence of the data": data.get("licence") or "not told",
        "Grid": f"{spacing} mm, windows of {' × '.join(map(str, told['patch']))}, HU {told['hu_window'][0]} to "
        f"{told['hu_window'][1]}",
        "Comes from": ", ".join(f"{name} {value}" for name, value in (told.get("lineage") or {}).items()) or "labels",
        "Tells where not to trust it": _calibrated(told.get("quality")),
        "Written": f"{told.get('written_on') or 'some day'}, by version {told['written_by']}",
    }
    st.table({name: plain(value) for name, value in facts.items()}, border="horizontal")
    if failures := told.get("known_failures"):  # often a dozen: a list, and not a box each
        st.warning("Known failures\n" + "".join(f"\n- {plain(each)}" for each in failures))
    parity = [{"runtime": name, **each} for name, each in (told.get("parity") or {}).items()]
    if parity:
        st.caption("How the exported networks differ from torch in fp32, on whole scans.")
        frame = pd.DataFrame(parity).assign(labels=lambda rows: 100 * rows["labels"].astype(float))
        st.dataframe(frame[list(_PARITY)], hide_index=True, column_config=_PARITY, placeholder="–")


def _dice_on(scores: dict[str, Any]) -> str:
    """A column of the organs: two evaluations may be of one dataset's name, or of its splits."""
    return f"dice on {scores['dataset']}-{scores['fingerprint']}-{scores['split']}"


def _on_another(scores: dict[str, Any]) -> Any:
    return st.column_config.NumberColumn(f"Dice % on {scores['dataset']}", format="%.2f")


def _of_another(scores: dict[str, Any]) -> str:
    kind = {True: ", synthetic", False: ", real", None: ""}[scores["synthetic"]]
    return (
        f"{scores['dataset']} ({scores['split']}, n = {scores['n_cases']}{kind}): mean Dice "
        f"{score(scores['mean_dice'])}, mean NSD {score(scores['mean_nsd'])}"
    )


def _calibrated(quality: dict[str, Any] | None) -> str:
    if not quality:
        return "no: it was not calibrated"
    return "; ".join([f"yes, learnt from {quality['scans']} scans", *(quality.get("warnings") or ())])


def _told(place: Path) -> dict[str, Any]:
    return Bundle.describe(place).card.model_dump(mode="json")


def _organs(told: dict[str, Any]) -> list[dict[str, Any]]:
    scores, codes = (told.get("scores") or {}).get("organs") or {}, told.get("codes") or {}
    return [
        {"organ": name, "code": _code(codes.get(name)), **_in_percent(scores.get(name, {}))}
        | {_dice_on(each): _percent(each["organs"].get(name, {}).get("dice")) for each in told["other_scores"]}
        for name in (each["name"] for each in told["classes"])
    ]


def _in_percent(scores: dict[str, Any]) -> dict[str, Any]:
    return scores | {name: _percent(scores[name]) for name in ("dice", "lowest_dice", "nsd") if name in scores}


def _percent(share: float | None) -> float | None:
    return None if share is None else 100 * share


def _code(told: dict[str, Any] | None) -> str:
    if told is None:
        return ""
    parts = [told["kind"], *([told["side"]] if told.get("side") else [])]
    return " + ".join(f"{each['value']} {each['meaning']}" for each in parts)
