"""The folder of a study."""

from dataclasses import dataclass
from pathlib import Path

from autosam_platform.locks import LOCK


@dataclass(frozen=True)
class StudyFolder:
    """What a study keeps; nothing need be there yet."""

    folder: Path

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def results(self) -> Path:
        """Every cell, the runs it is made of and what they came to."""
        return self.folder / "study.json"

    @property
    def markdown(self) -> Path:
        return self.folder / "table.md"

    @property
    def csv(self) -> Path:
        """A line per cell and metric."""
        return self.folder / "table.csv"

    @property
    def latex(self) -> Path:
        return self.folder / "table.tex"

    @property
    def report(self) -> Path:
        """Table, figure and how they were made, in one page."""
        return self.folder / "report.html"

    @property
    def figure(self) -> Path:
        return self.folder / "figure.png"

    @property
    def figure_svg(self) -> Path:
        return self.folder / "figure.svg"

    @property
    def points(self) -> Path:
        """What a figure without a table shows, as CSV."""
        return self.folder / "points.csv"

    def log(self, row: str, column: str) -> Path:
        """What the making of a cell printed, where several are made at a time."""
        return self.folder / "logs" / f"{row}-{column}.log"

    @property
    def files(self) -> list[Path]:
        """What the study came to, as far as it is there."""
        tables = (self.markdown, self.csv, self.latex, self.points)
        named = (*tables, self.report, self.figure, self.figure_svg, self.results)
        return [path for path in named if path.exists()]

    @property
    def lock(self) -> Path:
        """Held by the process that makes the study."""
        return self.folder / LOCK
