"""What a sweep comes to: a table, trials.csv, the best recipe, importances, a picture, and the sweep's record."""

import csv
import sys
from pathlib import Path

import yaml
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from autosam_inference.files import atomic_write, write_text
from autosam_platform.tracking.writing import open_run
from autosam_platform.tuning.description import Importances
from autosam_platform.tuning.importances import importances
from autosam_platform.tuning.ledger import Ledger
from autosam_platform.tuning.pictures import save_curve, save_front, save_importances
from autosam_platform.tuning.space import FloatParameter, IntParameter, Space
from autosam_platform.tuning.sweep import Sweep, SweepError
from autosam_platform.tuning.trials import ENDED, SIZE, Trial, pareto_front

_LOG_WIDTH = 120  # of a table in a job's log: rich would take 80, which cuts names


def write_report(sweep: Sweep, ledger: Ledger) -> Trial:
    """Write all that is said of a sweep into its folder and its record, show the table, and return the best trial.

    Raises:
        SweepError: all trials failed; the message gives the reasons.
    """
    front = pareto_front(ledger.trials, sweep.space.objectives)
    Console(width=None if sys.stdout.isatty() else _LOG_WIDTH).print(as_table(sweep, ledger, front))
    for trial in ledger.of("failed"):
        print(f"trial {trial.number} failed: {trial.reason}")
    _write_csv(sweep.folder.table, sweep.space, ledger.trials)
    best = ledger.best()
    if best is None:
        reasons = "\n".join(f"  trial {trial.number}: {trial.reason or trial.state}" for trial in ledger.trials)
        raise SweepError(f"No trial of {sweep.name} was finished:\n{reasons}")
    write_text(sweep.folder.best, best_recipe(sweep, best))
    _write_importances(sweep, ledger)
    _draw(sweep, ledger.of("finished"), front)
    _record(sweep, ledger, best)
    return best


def best_recipe(sweep: Sweep, best: Trial) -> str:
    """The experiment of the best trial as a recipe that every job takes: it finds the trial's run."""
    settings = sweep.workspace.recorded_settings(sweep.experiment(best.values))
    assert best.dice is not None  # a finished trial was validated
    dice = f"mean Dice {100 * best.dice:.2f} % of the validation cases"
    about = f"# The best of {sweep.name}: trial {best.number}, {dice}.\n"
    return about + yaml.safe_dump(settings, sort_keys=False, allow_unicode=True)


def as_table(sweep: Sweep, ledger: Ledger, front: list[Trial]) -> Table:
    """The trials for a terminal: Dice in percent, the best one in bold, those of the Pareto front marked."""
    several = SIZE in sweep.space.objectives
    caption = "Dice: mean over organs and validation cases. Stopped early: the best Dice until then."
    units = [f"{name.rpartition('.')[2]}: {each.unit}" for name, each in sweep.space.parameters.items() if each.unit]
    caption += f" {'; '.join(units)}." if units else ""
    table = Table(title=f"{sweep.name}: {sweep.trials} trials", caption=caption, box=SIMPLE_HEAD)
    table.add_column("trial", justify="right")
    for name in sweep.space.parameters:
        table.add_column(name.rpartition(".")[2].replace("_", " "))
    table.add_column("Dice %", justify="right")
    for title in ("trained M", "front") if several else ():
        table.add_column(title, justify="right")
    table.add_column("state")
    table.add_column("run", no_wrap=True)
    for trial in ledger.trials:
        cells = [str(trial.number), *(_shown(value) for value in trial.values.values())]
        cells.append("–" if trial.dice is None else f"{100 * trial.dice:.2f}")
        cells += [_millions(trial), "*" if trial in front else ""] if several else []
        table.add_row(*cells, trial.state, trial.run, style="bold" if trial is ledger.best() else None)
    return table


def _shown(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _millions(trial: Trial) -> str:
    return "–" if trial.trained_parameters is None else f"{trial.trained_parameters / 1e6:.3f}"


def _write_csv(path: Path, space: Space, trials: list[Trial]) -> None:
    columns = ("dice", "trained_parameters", "state", "run", "reason")
    with atomic_write(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["trial", *space.parameters, *columns])
        for trial in trials:
            rest = trial.model_dump(include=set(columns))
            writer.writerow([trial.number, *trial.values.values(), *(rest[name] for name in columns)])


def _write_importances(sweep: Sweep, ledger: Ledger) -> None:
    found, why_not = importances(sweep.space, ledger.of("finished"))
    Importances(importances=found, note=why_not).write(sweep.folder.importances)
    if why_not:
        print(f"No importances: {why_not}.", flush=True)
    else:
        save_importances(sweep.folder.importances_picture, found, sweep.name)


def _draw(sweep: Sweep, finished: list[Trial], front: list[Trial]) -> None:
    """The picture that goes with the space; one with many parameters and Dice alone has its importances."""
    parameters = sweep.space.parameters
    if SIZE in sweep.space.objectives:
        save_front(sweep.folder.pareto, finished, front, sweep.name)
    elif len(parameters) == 1:
        ((name, parameter),) = parameters.items()
        if isinstance(parameter, FloatParameter | IntParameter):
            save_curve(sweep.folder.curve, name, parameter, finished, f"{sweep.name}, {sweep.prepared.name}")


def _record(sweep: Sweep, ledger: Ledger, best: Trial) -> None:
    """Say in the sweep's record which trial is the best, and keep the files with it."""
    run = open_run(sweep.workspace, sweep.name, tags={}, params={})
    counts = {f"autosam.sweep.{state}": len(ledger.of(state)) for state in ENDED}
    run.tag({"autosam.sweep.best_run": best.run, "autosam.sweep.best_trial": best.number, **counts})
    run.log({"sweep/best_dice": best.dice or 0.0}, step=0)
    for path in sweep.folder.results:
        run.add_file(path)
    run.finish()
