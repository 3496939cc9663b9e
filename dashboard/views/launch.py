"""Launch: a form made of a job's own settings, the command it comes to, and the queue of the cluster."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import streamlit as st
import yaml

from autosam_platform.data.description import description_names
from autosam_platform.tracking.reading import RAY_JOB
from autosam_platform.workspace import workspace
from dashboard.components.base.chooser import chosen
from dashboard.components.base.messages import explained
from dashboard.components.base.places import ReadingError, allowed_path, checked_id, run_folder
from dashboard.components.base.selection import choosable
from dashboard.components.base.tab import named_tab
from dashboard.components.base.terminal import in_terminal
from dashboard.components.base.text import duration, plain
from dashboard.components.jobs import forms, ray_jobs
from dashboard.components.jobs.forms import Setting
from dashboard.components.jobs.job_kinds import (
    KINDS,
    JobKind,
    asked_schema,
    checked_settings,
    file_stamps,
    names_in,
    refuse_outside,
)
from dashboard.components.jobs.job_panel import follow
from dashboard.components.jobs.ray_jobs import NoClusterError, Submitted
from dashboard.components.jobs.repeat_command import terminal
from dashboard.components.jobs.run_jobs import MAKING, named_run
from dashboard.components.record import tracking
from dashboard.components.record.finished_runs import finished_runs

_FORM, _QUEUE = 330, 180  # pixels, of which a laptop's window has room for 600 or so
_COLUMNS = {
    "job": st.column_config.TextColumn("Job", width=110),
    "run": st.column_config.TextColumn("Run", help="A click opens it; a job names it when it begins to train"),
    "state": st.column_config.TextColumn("State", width=90),
    "started": st.column_config.DatetimeColumn("Started (UTC)", format="MM-DD HH:mm"),
    "took": st.column_config.TextColumn("Took"),
    "id": st.column_config.TextColumn("Ray's id"),
}


def _picks(kind: JobKind) -> list[str]:
    """What decides the recipe and its network: chosen first, since the form depends on it."""
    words, places = [], st.columns(3)
    if kind.name == "sweep":
        with places[0]:
            return ["--space", chosen("space", names_in("spaces"))]
    if kind.recipe and (copied := st.query_params.get("copy")):
        words += ["--recipe", str(_settings_of(copied))]
    elif kind.recipe:
        with places[0]:
            recipe = chosen("recipe", [kind.recipe, *(name for name in names_in("recipes") if name != kind.recipe)])
        file = places[1].text_input("or a recipe's file", help="YAML, in the workspace or another allowed folder")
        words += ["--recipe", str(_recipe_file(file)) if file else recipe]
    if kind.network:
        with places[2]:
            words += [kind.network, chosen("network", _networks(kind))]
    return words


def _settings_of(copied: str) -> Path:
    """The settings of the run that a copy is made of, which the form then has."""
    file = run_folder(workspace(), copied).config
    if not file.is_file():
        raise ReadingError(f"{file} is missing, so no copy of {copied} can be made: start from a recipe.")
    told, back = st.columns([3, 1], vertical_alignment="center")
    told.info(plain(f"Filled in from the settings of {copied}."))
    if back.button("From a recipe instead"):
        del st.query_params["copy"]
        st.rerun()
    return file


def _recipe_file(text: str) -> Path:
    """The file that a person typed, if it can be a recipe: of no other file is anything read or said."""
    path = allowed_path(text)
    if path.suffix not in (".yaml", ".yml"):
        raise ReadingError(f"{path} is no recipe: a recipe's name ends with .yaml or .yml.")
    return path


def _networks(kind: JobKind) -> list[str]:
    """The networks that a job takes, its own choice first, teachers last."""
    told = asked_schema(kind, [])
    known, first = told["schema"]["properties"]["network"]["examples"], told["values"]["network"]
    return sorted(known, key=lambda name: (name != first, name.startswith("autosam"), name))


def _known(kind: JobKind, picks: list[str]) -> list[Setting]:
    """The settings that the form shows: what was chosen before it is not among them."""
    told = asked_schema(kind, picks)
    before = {word.removeprefix("--") for word in picks[::2]} | ({"model.name", "network"} if kind.network else set())
    return [
        _with_examples(setting)
        for setting in forms.settings(told["schema"], told["values"])
        if setting.name not in before and (not kind.sections or setting.section in kind.sections)
    ]


def _with_examples(setting: Setting) -> Setting:
    """With the names that there are: of data sets, of finished runs, of recipes that train a teacher."""
    runs = tuple(run.name for run in finished_runs())
    names = {
        "dataset.name": tuple(description_names()),
        "run": runs,
        "distillation.teacher": (*runs, *names_in("recipes")),
    }
    return replace(setting, examples=names.get(setting.name, setting.examples))


def _form(kind: JobKind, known: list[Setting], key: str, sends: bool) -> tuple[dict[str, Any] | None, bool]:
    """What is filled in, when a button under the form is pressed, and whether it is to be sent as well."""
    with st.form(key, enter_to_submit=False):
        filled: dict[str, Any] = {}
        sections: dict[str, list[Setting]] = {"": []}  # the job's own settings come first
        for setting in known:
            sections.setdefault(setting.section, []).append(setting)
        with st.container(height=_FORM):  # so that its button is in sight, and with it the queue and the log
            for section, part in sections.items():
                filled |= _section(kind, section, part, key)
        check, send = st.columns(2)
        checked = check.form_submit_button("Check these settings", type="secondary" if sends else "primary")
        sent = sends and send.form_submit_button("Send to the cluster", type="primary", help="Checks them first")
    return (filled if checked or sent else None), sent


def _section(kind: JobKind, section: str, part: list[Setting], key: str) -> dict[str, Any]:
    common = [setting for setting in part if setting.name in kind.common]
    rest = [setting for setting in part if setting.name not in kind.common]
    title = section.capitalize() or "Job"
    filled: dict[str, Any] = {}
    if common:
        st.subheader(title)
        filled |= _drawn(common, key)
    if rest:
        with st.expander(f"More of {title.lower()}" if common else title):
            filled |= _drawn(rest, key)
    return filled


def _drawn(part: list[Setting], key: str) -> dict[str, Any]:
    filled = {}
    for number, setting in enumerate(part):
        if number % 2 == 0:
            places = st.columns(2, vertical_alignment="bottom")
        with places[number % 2]:
            filled[setting.name] = forms.widget(setting, f"{key}-{setting.name}")
    return filled


def _new_job(address: str | None) -> None:
    name = chosen("job", list(KINDS))
    kind = KINDS[name]
    named_tab(name, "Launch")
    st.caption(plain(kind.about))
    if name == "evaluate" and not finished_runs():
        st.info("There is no finished run to evaluate yet: train one first.")
        return
    place = st.container()  # of what is sent, above the form, so that its button is in sight as well
    picks = _picks(kind)
    known = _known(kind, picks)
    key = "-".join([name, *picks[1::2], *(str(stamp) for stamp in file_stamps(picks))])
    filled, sent = _form(kind, known, key, address is not None)
    if filled is not None:
        words = [*picks, *forms.arguments(known, filled)]
        refuse_outside(resolved := checked_settings(kind, words))
        if sent and address is not None:
            st.query_params["submitted"] = ray_jobs.submit(address, kind.name, words)
            st.session_state.pop("checked", None)
            st.rerun()
        st.session_state["checked"] = (key, words, resolved)
    checked = st.session_state.get("checked")
    if checked and checked[0] == key:
        with place:
            _checked(address, kind, *checked[1:])


def _checked(address: str | None, kind: JobKind, words: list[str], resolved: dict[str, Any]) -> None:
    """What the settings come to that the job finds valid."""
    if address is None:
        st.info("The job finds these settings valid. Without a Ray cluster it can be started in a terminal only:")
    else:
        st.success("The job finds these settings valid.")
    st.code(terminal(kind.name, words), language="bash", wrap_lines=True)
    with st.expander("Every setting it comes to"):
        st.code(yaml.safe_dump(resolved, sort_keys=False), language="yaml")


def _queue(address: str) -> None:
    with explained():
        try:
            jobs = ray_jobs.submitted(address)
        except NoClusterError as error:
            st.warning(plain(f"The cluster is gone: {error}."))
            return
        if not jobs:
            st.info("No job was sent to this cluster yet.")
            return
        table = pd.DataFrame(list(_rows(jobs)), columns=list(_COLUMNS))
        choice = choosable(
            table,
            list(table["id"]),
            "queue",
            placeholder="–",
            height=_QUEUE,
            column_config=_COLUMNS,
            selection_mode=["single-row", "single-cell"],
        )
        if choice.cell and choice.cell[1] == "run":
            named = table.set_index("id")["run"][choice.cell[0]]
            if isinstance(named, str):  # one that is not known yet is none
                st.switch_page("views/run.py", query_params={"run": named})
        if choice.new:
            st.query_params["submitted"] = choice.rows[0]
            st.rerun()


def _rows(jobs: list[Submitted]) -> Iterator[tuple[Any, ...]]:
    runs = tracking.runs(workspace())
    recorded = {run.tags[RAY_JOB]: run.run_id for run in runs if run.tags.get(RAY_JOB)}
    ids = {run.run_id for run in runs}
    for job in jobs:
        started = job.started.replace(tzinfo=None) if job.started else None
        named = named_run(job)  # continued, evaluated, exported
        run = recorded.get(job.job_id) if job.kind in MAKING else None
        run = run or (named if named in ids else None)
        yield job.kind or "another's", run, job.state, started, duration(job.seconds), job.job_id


def _cluster() -> str | None:
    """Where jobs are sent to; ``None``, and on the page why, where there is no such place."""
    with explained():
        try:
            return ray_jobs.cluster()
        except NoClusterError as error:
            st.info(plain(f"No Ray cluster runs ({error}). Jobs are sent to one; start it in a terminal:"))
            st.code(in_terminal(ray_jobs.START), language="bash", wrap_lines=True)
    return None


st.title("Launch")
_address = _cluster()
_left, _right = st.columns(2, gap="medium")
with _left, explained():
    _new_job(_address)
with _right, explained():
    if _address is not None:
        st.fragment(_queue, run_every=3)(_address)
        if _submitted := st.query_params.get("submitted"):
            follow(_address, checked_id("job", _submitted))
