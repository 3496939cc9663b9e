"""One sweep: how far it is, what its trials came to, which settings mattered, and the best of them."""

from datetime import UTC, datetime

import streamlit as st
import yaml

from autosam_platform.evaluation.paper import dice_by_lambda
from autosam_platform.locks import is_locked
from autosam_platform.tuning.trials import DICE, SIZE
from autosam_platform.workspace import SweepFolder, workspace
from dashboard.components.base.chooser import chosen
from dashboard.components.base.messages import explained, nothing
from dashboard.components.base.places import ReadingError, inside, run_folder
from dashboard.components.base.tab import named_tab
from dashboard.components.base.text import plain
from dashboard.components.charts import sweep_charts
from dashboard.components.charts.plotly_charts import show
from dashboard.components.jobs import ray_jobs
from dashboard.components.jobs.ray_jobs import NoClusterError
from dashboard.components.jobs.repeat_command import terminal
from dashboard.components.jobs.run_jobs import continue_button, job_of_sweep
from dashboard.components.record import run_files
from dashboard.components.record.sweep_files import SweepRecord, read_sweep

_KD_LAMBDA = "distillation.kd_lambda"
_PAGE_OF_RUN = "views/run.py"


def _summary(record: SweepRecord, folder: SweepFolder) -> None:
    if record.description.about:
        st.markdown(plain(record.description.about))
    best, counts = record.best, record.table["state"].value_counts()
    places = st.columns(5)
    dice = "–" if best is None else f"{100 * (best.dice or 0.0):.2f} %"
    places[0].metric("Best Dice", dice, help="Mean over organs and validation cases")
    places[1].metric("Best trial", "–" if best is None else str(best.number))
    places[2].metric("Trials ended", f"{record.ended} of {record.asked}")
    places[3].metric("Stopped early", int(counts.get("stopped", 0)))
    places[4].metric("Failed", int(counts.get("failed", 0)))
    if best is not None:
        st.caption(plain(_of_what(best.run, folder)))
    if record.ended < record.asked:
        left = f"{record.asked - record.ended} of {record.asked} trials have not ended yet"
        if _goes_on(record, folder):
            st.info(f"{left}; this page follows them.", icon=":material/hourglass_empty:")
        else:
            st.warning(f"{left}, and neither a process of this machine nor a job of the cluster runs the sweep.")
            _continue(record, folder)


def _of_what(best: str, folder: SweepFolder) -> str:
    root = workspace()
    counted = run_files.validation_cases(run_folder(root, best), root, "")
    day = datetime.fromtimestamp(folder.trials.stat().st_mtime, UTC)
    return f"Dice of the validation cases, n = {'–' if counted is None else counted}, as of {day:%Y-%m-%d}."


def _goes_on(record: SweepRecord, folder: SweepFolder) -> bool:
    job = job_of_sweep(record.description.arguments)
    return is_locked(folder.lock) or (job is not None and job.active)


def _continue(record: SweepRecord, folder: SweepFolder) -> None:
    arguments = record.description.arguments
    if not arguments:
        st.caption("A sweep of an earlier version does not tell its command: the one that started it continues it.")
        return
    try:
        ray_jobs.cluster()
    except (NoClusterError, ReadingError):
        st.caption("It continues in a terminal, or with the button that is here when a Ray cluster runs.")
        return
    with explained():
        continue_button(folder.name, "sweep", arguments, lambda: _goes_on(record, folder))


def _command(record: SweepRecord) -> None:
    if record.description.arguments:
        with st.expander("The command that makes this sweep, and continues it"):
            st.code(terminal("sweep", record.description.arguments), language="bash", wrap_lines=True)


def _pictures(record: SweepRecord) -> None:
    if record.table[DICE].notna().sum() == 0:
        st.info("No trial has been validated yet.")
        return
    name = record.name
    if len(record.parameters) == 1:
        _of_one(record)
    else:
        st.subheader("Trials across all settings", help="Drag along an axis to pick trials; a click clears it.")
        show(sweep_charts.parallel(record), f"parallel-{name}")
    if SIZE in record.description.objectives:
        st.subheader("Accuracy against size", help="No trial beats one of the front in Dice without being larger.")
        show(sweep_charts.front(record), f"front-{name}")
    if len(record.parameters) > 1:
        _of_several(record)
    if record.table["validations"].map(bool).any():
        st.subheader("How the trials went", help="Their validations; a cross is where a trial was stopped early.")
        show(sweep_charts.courses(record), f"courses-{name}")


def _of_one(record: SweepRecord) -> None:
    (parameter,) = record.parameters
    if not sweep_charts.is_number(record.table, parameter) or record.finished.empty:
        show(sweep_charts.scatter(record, parameter), f"scatter-{record.name}")
        return
    paper = dice_by_lambda() if parameter.name == _KD_LAMBDA else None
    st.subheader(plain(parameter.name), help=plain(parameter.about) or None)
    show(sweep_charts.curve(record, parameter, paper), f"curve-{record.name}")
    if paper:
        st.caption(
            "Two scales: the paper's model, data, training length and cases are others. What can be compared is "
            "where each curve has its top."
        )


def _of_several(record: SweepRecord) -> None:
    left, right = st.columns(2)
    with left:
        st.subheader("One setting")
        named = {parameter.name: parameter for parameter in record.parameters}
        picked = st.selectbox("Setting", list(named), key=f"setting-{record.name}", label_visibility="collapsed")
        show(sweep_charts.scatter(record, named[picked]), f"scatter-{record.name}-{picked}")
    with right:
        st.subheader("Which setting matters")
        if record.importances.importances:
            show(sweep_charts.importances(record), f"importances-{record.name}")
        else:
            st.info(
                f"No importances: {plain(record.importances.note) or 'they are computed when the sweep has ended'}."
            )


def _trials(record: SweepRecord) -> None:
    st.subheader("Trials")
    labels = [parameter.label for parameter in record.parameters]
    settings = {  # two settings may have one last name: then both stand with all of it
        each.name: st.column_config.Column(each.label if labels.count(each.label) == 1 else each.name)
        for each in record.parameters
    }
    table = record.table.drop(columns="validations").assign(**{DICE: 100 * record.table[DICE]})
    picked = st.dataframe(
        table,
        hide_index=True,
        placeholder="–",
        column_config=settings
        | {
            "trial": st.column_config.NumberColumn("Trial", pinned=True, width="small"),
            DICE: st.column_config.NumberColumn("Dice %", format="%.2f", help="Stopped early: the best until then"),
            SIZE: st.column_config.NumberColumn("Trained parameters", format="localized"),
            "state": st.column_config.TextColumn("State"),
            "run": st.column_config.TextColumn("Run"),
            "reason": st.column_config.TextColumn("Why it failed"),
        },
        on_select="rerun",
        selection_mode="single-row",
        key=f"trials-{record.name}",
    )
    st.caption("Tick a row to open the trial's run.")
    if picked.selection.rows and (run := table["run"].iloc[picked.selection.rows[0]]):
        st.switch_page(_PAGE_OF_RUN, query_params={"run": run})


def _best(folder: SweepFolder) -> None:
    path = folder.best
    if path.exists():
        with st.expander("The best trial as a recipe (best.yaml)"):
            recipe = path.read_text(encoding="utf-8")
            job = "distill_student" if _is_taught(recipe) else "train_teacher"
            st.code(terminal(job, ["--recipe", str(path)]), language="bash", wrap_lines=True)
            st.code(recipe, language="yaml")


def _is_taught(recipe: str) -> bool:
    """Does the recipe name a teacher?"""
    settings = yaml.safe_load(recipe)
    return isinstance(settings, dict) and bool((settings.get("distillation") or {}).get("teacher"))


def _sweep(folder: SweepFolder, drawn_ended: bool) -> None:
    with explained():
        record = read_sweep(folder)
        _summary(record, folder)
        _pictures(record)
        _trials(record)
        _best(folder)
        _command(record)
        if not drawn_ended and record.ended == record.asked:
            st.rerun()  # nothing changes any more


def _page() -> None:
    st.title("Sweeps")
    root = workspace()
    names = [sweep.name for sweep in root.sweeps]
    if not names:
        nothing("There is no sweep in this workspace yet.", "python jobs/sweep.py --space kd_lambda --grid")
        return
    with explained():
        folder = root.sweep(chosen("sweep", names))
        named_tab(folder.name, "Sweep")
        inside(folder.folder, [root.folder])
        record = read_sweep(folder)
        over = record.ended == record.asked
        st.fragment(_sweep, run_every=None if over else 5)(folder, over)


_page()
