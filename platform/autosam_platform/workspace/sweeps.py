"""The folder of a sweep."""

from dataclasses import dataclass
from pathlib import Path

from autosam_platform.locks import LOCK


@dataclass(frozen=True)
class SweepFolder:
    """What a sweep keeps; nothing need be there yet."""

    folder: Path

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def about(self) -> Path:
        """What it is a sweep of."""
        return self.folder / "sweep.json"

    @property
    def trials(self) -> Path:
        """Every trial and what became of it."""
        return self.folder / "trials.json"

    @property
    def table(self) -> Path:
        return self.folder / "trials.csv"

    @property
    def best(self) -> Path:
        """The best trial's experiment, as a recipe."""
        return self.folder / "best.yaml"

    @property
    def importances(self) -> Path:
        return self.folder / "importances.json"

    @property
    def importances_picture(self) -> Path:
        return self.folder / "importances.png"

    @property
    def curve(self) -> Path:
        """The picture of Dice over the one parameter."""
        return self.folder / "curve.png"

    @property
    def pareto(self) -> Path:
        """The picture of Dice over trained parameters."""
        return self.folder / "pareto.png"

    @property
    def results(self) -> list[Path]:
        """What the sweep came to, as far as it is there."""
        named = (self.table, self.best, self.importances, self.importances_picture, self.curve, self.pareto)
        return [path for path in named if path.exists()]

    @property
    def tune(self) -> Path:
        """Scratch of Ray Tune."""
        return self.folder / "tune"

    @property
    def lock(self) -> Path:
        """Held by the process that runs the sweep."""
        return self.folder / LOCK
