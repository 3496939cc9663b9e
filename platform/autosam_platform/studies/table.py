"""The table of a study: ours beside the paper's, as Markdown, CSV and LaTeX, and what has to be said under it."""

import csv
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from autosam_inference.files import atomic_write, write_text
from autosam_models.sizes import size_text
from autosam_platform.evaluation.paper import load_paper
from autosam_platform.evaluation.statistics import FEWEST, Metric
from autosam_platform.studies.results import StudyResults

NONE = "–"
NAMES: dict[Metric, str] = {"dice": "Dice", "nsd": "NSD"}
_STAR = "*"
_FIELDS = (
    *("row", "column", "metric", "percent", "sd_percent", "trainings", "test_cases", "paper_percent", "difference"),
    *("starred", "trained_parameters", "runs", "reason"),
)


@dataclass(frozen=True)
class Number:
    """What a cell says by one metric, in percent; NaN where there is none.

    Attributes:
        spread: standard deviation over its trainings.
        paper: what the paper prints there.
        starred: better than all others, by the study's test.
        best: the highest of its column.
    """

    ours: float
    spread: float
    paper: float
    starred: bool
    best: bool

    @property
    def difference(self) -> float:
        """Ours − the paper's."""
        return self.ours - self.paper

    def __str__(self) -> str:
        """Ours with its spread and star, then the paper's and the difference: ``71.20 ± 0.40* (87.15, -15.95)``."""
        if math.isnan(self.ours):
            return NONE if math.isnan(self.paper) else f"{NONE} ({self.paper:.2f})"
        beside = "" if math.isnan(self.paper) else f" ({self.paper:.2f}, {self.difference:+.2f})"
        return self.own + beside

    @property
    def own(self) -> str:
        """Ours with its spread and star."""
        if math.isnan(self.ours):
            return NONE
        spread = "" if math.isnan(self.spread) else f" ± {self.spread:.2f}"
        return f"{self.ours:.2f}{spread}{_STAR if self.starred else ''}"


def number(results: StudyResults, row: str, column: str, metric: Metric) -> Number:
    """What the cell says by ``metric``."""
    cell, place = results.cell(row, column), results.study.paper
    papers = place.find().percent(row, column, metric) if place is not None else None
    return Number(
        ours=100 * cell.score(metric),
        spread=100 * cell.spread(metric),
        paper=math.nan if papers is None else papers,
        starred=results.starred(row, column, metric),
        best=bool(cell.members) and results.best(column, metric) == row,
    )


def headers(results: StudyResults) -> list[str]:
    """Names of the table's columns."""
    return ["", "trained, M", *(f"{title_of(results, column)} {NAMES[metric]}" for column, metric in _places(results))]


def lines(results: StudyResults) -> list[list[str]]:
    """The table's rows as texts, under ``headers``."""
    return [
        [row_title(results, row), _parameters(results, row)]
        + [str(number(results, row, column, metric)) for column, metric in _places(results)]
        for row in results.study.rows
    ]


def notes(results: StudyResults) -> list[str]:
    """What has to be said under the table, or under the figure where there is none, a sentence or more each."""
    if not results.has_table:
        return list(results.remarks)
    return [
        *_how_to_read(results),
        *_tests(results),
        *_conditions(results),
        *_missing(results),
    ]


def write_tables(results: StudyResults, markdown: Path, table: Path, latex: Path) -> None:
    """Write the table in its three forms, each whole or not at all; nothing where the study has none."""
    if not results.has_table:
        return
    write_text(markdown, as_markdown(results))
    write_text(latex, as_latex(results))
    _write_csv(table, results)


def as_markdown(results: StudyResults) -> str:
    """Title, table and notes."""
    head = headers(results)
    rows = [head, ["---", *["---:"] * (len(head) - 1)], *lines(results)]
    table = "\n".join(f"| {' | '.join(_for_markdown(text) for text in row)} |" for row in rows)
    return "\n\n".join([f"## {results.study.title}", results.study.about.strip(), table, *notes(results)]) + "\n"


def as_latex(results: StudyResults) -> str:
    """A table for LaTeX's booktabs: the best of each column in bold, the paper's numbers beside ours."""
    places = _places(results)
    spans = " & ".join(
        rf"\multicolumn{{{len(results.study.metrics)}}}{{c}}{{{_for_latex(title_of(results, column))}}}"
        for column in results.columns
    )
    metrics = " & ".join(rf"{NAMES[metric]} $\uparrow$" for _, metric in places)
    body = [
        " & ".join(
            [_for_latex(row_title(results, row)), _for_latex(_parameters(results, row))]
            + [_latex_number(number(results, row, column, metric)) for column, metric in places]
        )
        + r" \\"
        for row in results.study.rows
    ]
    caption = _for_latex(" ".join([results.study.title + ".", *notes(results)]))
    return "\n".join(
        [
            r"% needs \usepackage{booktabs}",
            r"\begin{table}",
            r"\centering",
            rf"\begin{{tabular}}{{l{'r' * (1 + len(places))}}}",
            r"\toprule",
            rf" & & {spans} \\",
            rf"Model & Trained (M) & {metrics} \\",
            r"\midrule",
            *body,
            r"\bottomrule",
            r"\end{tabular}",
            rf"\caption{{{caption}}}",
            r"\end{table}",
            "",
        ]
    )


def _write_csv(path: Path, results: StudyResults) -> None:
    with atomic_write(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(_FIELDS)
        for cell in results.cells:
            for metric in results.study.metrics:
                found = number(results, cell.row, cell.column, metric)
                shown = [_plain(found.ours), _plain(found.spread), len(cell.members), cell.tested]
                beside = [_plain(found.paper), _plain(found.difference), int(found.starred), cell.parameters or ""]
                runs = " ".join(each.run for each in cell.members)
                writer.writerow([cell.row, cell.column, metric, *shown, *beside, runs, cell.reason])


def _how_to_read(results: StudyResults) -> Iterator[str]:
    tolerances = sorted(set(results.tolerances.values()))
    shown = bool(tolerances) and "nsd" in results.study.metrics
    nsd = f", NSD at {' or '.join(f'{each:g}' for each in tolerances)} mm" if shown else ""
    n = ", ".join(f"{title_of(results, column)} {count}" for column, count in _tested(results).items())
    yield f"Mean over organs and test cases in percent{nsd}; test cases: {n or 'none yet'}."
    if results.study.paper is not None:
        paper = load_paper(results.study.paper.name)
        yield f"In brackets what the paper prints (“{paper.title}”), and ours less that."
    if results.demo:
        yield (
            "This is the demo's size: synthetic bodies, small networks and minutes of training. Its rows can be held "
            "against one another where they were trained alike, and not against a paper's."
        )
    if any(len(cell.members) > 1 for cell in results.cells):
        yield "±: standard deviation over the trainings of a cell (seeds or folds)."
    oracles = list(dict.fromkeys(row_title(results, cell.row) for cell in results.cells if cell.oracle))
    if oracles:
        yield f"Oracle: {', '.join(oracles)}: the prompts come from the labels of the very slices that are scored."


def _tests(results: StudyResults) -> Iterator[str]:
    study = results.study
    if study.starred is None:
        return
    title = row_title(results, study.starred)
    told = (
        f"{_STAR}: {title} is better than each other row, p < {study.level:g}, Wilcoxon's signed-rank test over cases"
    )
    few = [title_of(results, column) for column, n in _tested(results).items() if n < FEWEST]
    least = math.ceil(1 - math.log2(study.level))  # n differences of one sign have p = 2 / 2ⁿ
    short = [title_of(results, column) for column, n in _tested(results).items() if FEWEST <= n < least]
    told += f"; with fewer than {FEWEST} cases nothing is tested ({', '.join(few)})" if few else ""
    told += f"; with fewer than {least} cases no difference can have such a p ({', '.join(short)})" if short else ""
    yield told + "."


def _conditions(results: StudyResults) -> Iterator[str]:
    """Splits, seeds and budgets, where rows of a column differ in them or the paper's are others."""
    for column in results.columns:
        members = {cell.row: cell.members for cell in results.cells if cell.column == column and cell.members}
        if not members:
            continue
        title = title_of(results, column)
        splits = {(each.cases, each.split) for found in members.values() for each in found}
        counts = sorted({cases for cases, _ in splits})
        said = (
            f"{title}: {' or '.join(' / '.join(map(str, each)) for each in counts)} cases to train, validate and test"
        )
        known = {each.split for found in members.values() for each in found}
        several = {row for row, found in members.items() if {each.split for each in found} != known}
        said += "; rows have different splits" if several else ""
        if results.study.paper is not None and not results.demo:
            papers = load_paper(results.study.paper.name).splits.get(column)
            if papers is not None and set(counts) != {tuple(papers)}:
                said += f"; the paper's {' / '.join(map(str, papers))}"
        budgets: dict[str, list[str]] = {}
        for row, found in members.items():
            budgets.setdefault(_budget(found[0].steps, found[0].patch, found[0].batch), []).append(row)
        if len(budgets) == 1:
            said += f"; {next(iter(budgets))} each"
        else:
            said += "; " + "; ".join(
                f"{budget}: {', '.join(row_title(results, row) for row in rows)}" for budget, rows in budgets.items()
            )
        seeds = sorted({each.seed for found in members.values() for each in found})
        yield f"{said}; seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))}."


def _missing(results: StudyResults) -> Iterator[str]:
    reasons: dict[str, list[str]] = {}
    for cell in results.cells:
        if not cell.whole:
            reason = cell.reason or "not made yet: the same command makes it"
            reasons.setdefault(reason, []).append(f"{row_title(results, cell.row)}, {title_of(results, cell.column)}")
    for reason, places in reasons.items():
        yield f"{NONE} {'; '.join(places)}: {reason}."


def _tested(results: StudyResults) -> dict[str, int]:
    """Test cases by column."""
    counts = {column: [cell.tested for cell in results.cells if cell.column == column] for column in results.columns}
    return {column: max(found) for column, found in counts.items() if max(found, default=0)}


def _budget(steps: int, patch: tuple[int, int, int], batch: int) -> str:
    if not steps:
        return "untrained"
    return f"{steps:,} steps (batch {batch}, patches of {size_text(patch)})"


def _places(results: StudyResults) -> list[tuple[str, Metric]]:
    return [(column, metric) for column in results.columns for metric in results.study.metrics]


def title_of(results: StudyResults, column: str) -> str:
    """A dataset's name, which at demo size is that of what its synthetic bodies stand for."""
    found = results.columns[column]
    title = found.title or column
    return f"{title} (synthetic)" if results.demo and found.recipe is not None else title


def row_title(results: StudyResults, row: str) -> str:
    """A system's name, and at demo size that of the small network which takes its place."""
    found = results.study.rows[row]
    title, other = found.title or row, found.demo.get("model.name")
    return f"{title} (here {other})" if results.demo and other is not None else title


def _parameters(results: StudyResults, row: str) -> str:
    """Millions of trained parameters, ours and the paper's; of several datasets the first."""
    counts = [cell.parameters for cell in results.cells if cell.row == row and cell.parameters is not None]
    place = results.study.paper
    rows = place.find().rows if place is not None else {}
    papers = rows[row].parameters if row in rows else None
    ours = f"{counts[0] / 1e6:.2f}" if counts else NONE
    return ours if papers is None else f"{ours} ({papers:.2f})"


def _latex_number(found: Number) -> str:
    own = _for_latex(found.own)
    own = rf"\textbf{{{own}}}" if found.best else own
    return own if math.isnan(found.paper) else rf"{own} {{\scriptsize ({found.paper:.2f})}}"


def _for_markdown(text: str) -> str:
    return text.replace("|", r"\|").replace("*", r"\*")


_LATEX = str.maketrans(
    {
        "&": r"\&",
        "%": r"\%",
        "_": r"\_",
        "#": r"\#",
        "$": r"\$",
        "{": r"\{",
        "}": r"\}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "\\": r"\textbackslash{}",
        "<": r"$<$",
        ">": r"$>$",
        "–": "--",
        "×": r"$\times$",
        "±": r"$\pm$",
        "λ": r"$\lambda$",
        "“": "``",
        "”": "''",
        "−": r"$-$",
    }
)


def _for_latex(text: str) -> str:
    return text.translate(_LATEX)


def _plain(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.4f}"
