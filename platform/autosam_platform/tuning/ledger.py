"""The trials of a sweep and what became of them: one file, written whole at every change.

Ray Tune's own record is written every ten seconds into several files that need not agree after a kill, and brings back
the resources and callbacks of the machine that wrote it. A trial is an ordinary run, which keeps all that it needs, so
what a sweep has to remember is only this.
"""

from collections.abc import Sequence
from pathlib import Path

from autosam_inference.files import write_json
from autosam_platform.tuning.trials import Point, State, Trial, best_trial, read_trials


class Ledger:
    """All trials of a sweep, on disk after every ``save``; one process at a time has it open.

    Args:
        path: the file; one that cannot be read is set aside, with a message, and the sweep begins anew: the runs
            that are finished are found by their names anyway.
        grid: the points to try, where they are known beforehand.
    """

    def __init__(self, path: Path, grid: Sequence[Point] = ()) -> None:
        self.path = path
        self.trials = self._read()
        if not self.trials:
            self.trials = [Trial(number=number, values=point) for number, point in enumerate(grid, 1)]
        for trial in self.of("running"):  # whoever ran it is gone
            trial.state = "waiting"

    def of(self, *states: State) -> list[Trial]:
        """The trials in these states."""
        return [trial for trial in self.trials if trial.state in states]

    def begin(self, values: Point) -> Trial:
        """The trial that waits with these values, or a new one; it is running now."""
        waiting = [trial for trial in self.of("waiting") if trial.values == values]
        trial = waiting[0] if waiting else Trial(number=len(self.trials) + 1, values=values)
        if not waiting:
            self.trials.append(trial)
        trial.state = "running"
        return trial

    def best(self) -> Trial | None:
        """The finished trial of the highest Dice, the first of several; failed and stopped ones never are."""
        return best_trial(self.trials)

    def save(self) -> None:
        """Write all trials."""
        write_json(self.path, [trial.model_dump() for trial in self.trials])

    def _read(self) -> list[Trial]:
        if not self.path.exists():
            return []
        try:
            return read_trials(self.path)
        except ValueError as error:
            aside = self.path.replace(self.path.with_suffix(".broken.json"))
            print(f"{self.path} is damaged ({str(error).splitlines()[0]}) and set aside as {aside.name}: the sweep")
            print("begins anew, and finds the runs that are finished.", flush=True)
            return []
