"""Which model predicts: a run's, a bundle that was exported here, the one that comes with the project, or another."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import streamlit as st

from autosam_inference.bundle import is_bundle
from autosam_inference.included import INCLUDED, included_model
from autosam_platform.workspace import NamedModel, workspace
from dashboard.components.base.chooser import chosen
from dashboard.components.base.places import ReadingError, allowed_path, inside
from dashboard.components.base.text import file_size, plain, score
from dashboard.components.record import bundle_card
from dashboard.components.record.finished_runs import FinishedRun, best_first

_BUNDLE = "bundle: "
_INCLUDED = "comes with the project: "
_OTHER = "bundle on the server"


@dataclass(frozen=True)
class ModelChoice:
    """A model as jobs/predict.py is told of it.

    Attributes:
        name: as records have it.
        told: a run's name, a bundle's path, or the word for the included model, whose path is each machine's own.
    """

    name: str
    told: str


def chosen_model(runs: Sequence[FinishedRun]) -> ModelChoice | None:
    """Let a model be chosen, at first the best on the newest dataset; None where a bundle is still to be named.

    Raises:
        UserError: what is named is no bundle that can be used, or lies outside the allowed folders.
    """
    by_name = {run.name: run for run in best_first(runs)}
    bundles = {f"{_BUNDLE}{place.name}": place for place in workspace().bundles}
    place = included_model()
    included = {} if place is None else {f"{_INCLUDED}{place.stem}": place}
    picked = chosen("run", [*by_name, *bundles, *included, _OTHER], "Model: a run or a bundle")
    if picked in by_name:
        return _of_run(by_name[picked])
    if picked in bundles:
        return _of_bundle(inside(bundles[picked], [workspace().folder]))
    if picked in included:
        return _of_bundle(included[picked], INCLUDED)
    about = "Folder or zip, in the workspace, the project, or a folder of AUTOSAM_ALLOWED_FOLDERS"
    text = st.text_input("Path of the bundle", help=about).strip()
    return _of_bundle(allowed_path(text)) if text else None


def _of_run(run: FinishedRun) -> ModelChoice:
    st.caption(
        plain(
            f"{run.network}, trained on {run.dataset} · mean Dice {score(run.dice)}{_of_what(run)} · "
            f"weights {file_size(run.bytes)}"
        )
    )
    return ModelChoice(run.name, run.name)


def _of_what(run: FinishedRun) -> str:
    return "" if run.dice is None else f" (test, n = {run.cases or '–'}, evaluated {run.evaluated or 'some day'})"


def _of_bundle(place: Path, told: str | None = None) -> ModelChoice:
    if not is_bundle(place):
        raise ReadingError(f"{place} is no bundle: name the folder or zip that jobs/export.py wrote.")
    model = NamedModel.of_bundle(place)
    st.caption(plain(bundle_card.about(place)))
    if model.card.warning:
        st.warning(plain(model.card.warning))
    with st.expander("What this bundle says of itself"):
        bundle_card.show_card(place)
    return ModelChoice(model.name, told or str(place))
