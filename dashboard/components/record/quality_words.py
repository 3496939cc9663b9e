"""Where a prediction is not to be trusted, in plain words."""

import streamlit as st

from autosam_inference.quality.verdict import Flag, OrganQuality
from autosam_platform.workspace import PredictionFolder
from dashboard.components.base.text import plain, score


def show_quality(prediction: PredictionFolder) -> None:
    """Say of each organ whether to use it; nothing where the model was not calibrated.

    Raises:
        PredictionFolderError: the record of the prediction is damaged.
    """
    organs = prediction.quality
    if not organs:
        return
    if worst := _lines(organs, "do not use"):
        st.error(worst, icon=":material/block:")
    if doubtful := _lines(organs, "check"):
        st.warning(doubtful, icon=":material/visibility:")
    fine = [each for each in organs if each.flag == "ok"]
    if fine:
        st.success(plain(f"As usual: {', '.join(map(_with_dice, fine))}."), icon=":material/check:")
    st.caption(
        "The Dice in brackets is what to expect, and the range in which most such organs lie, judged from the "
        "prediction alone. It is no measurement: a person decides."
    )


def _lines(organs: list[OrganQuality], flag: Flag) -> str:
    return "  \n".join(plain(f"{each.words}{_dice(each)}") for each in organs if each.flag == flag)


def _with_dice(organ: OrganQuality) -> str:
    return f"{organ.organ}{_dice(organ)}"


def _dice(organ: OrganQuality) -> str:
    if organ.expected_dice is None or organ.interval is None:
        return ""
    low, high = organ.interval
    return f" (Dice {score(organ.expected_dice)}, {100 * low:.2f} to {score(high)})"
