"""All of a study in its folder: results, tables, figure, and one page with everything."""

import base64
import html
from collections.abc import Iterator

from autosam_inference.files import write_text
from autosam_models.sizes import size_text
from autosam_platform.studies.figures import save_figures
from autosam_platform.studies.results import CellResult, StudyResults, write_results
from autosam_platform.studies.table import NONE, headers, lines, notes, row_title, title_of, write_tables
from autosam_platform.workspace import StudyFolder

_STYLE = """body{font-family:sans-serif;margin:1.5em;color:#222;max-width:90em}
table{border-collapse:collapse;margin:1em 0}
th,td{padding:.25em .7em;text-align:right;border-bottom:1px solid #ddd;font-variant-numeric:tabular-nums}
th:first-child,td:first-child{text-align:left} img{max-width:100%} .note{color:#555;margin:.3em 0} code{font-size:.9em}
td.text{text-align:left}"""


def write_study(folder: StudyFolder, results: StudyResults) -> None:
    """Write what is known of a study, each file whole or not at all; ``study.json`` last of all."""
    folder.folder.mkdir(parents=True, exist_ok=True)
    write_tables(results, folder.markdown, folder.csv, folder.latex)
    save_figures(results, (folder.figure, folder.figure_svg))
    write_text(folder.report, _page(folder, results))
    write_results(folder.results, results)


def _page(folder: StudyFolder, results: StudyResults) -> str:
    title = html.escape(results.study.title)
    about = html.escape(results.study.about.strip())
    said = "".join(f'<p class="note">{html.escape(note)}</p>' for note in notes(results))
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title><style>{_STYLE}</style>'
        f"<h1>{title}</h1><p>{about}</p>{_scores(results)}{said}{_figure(folder)}"
        f"{_makings_table(results)}"
        f'<p class="note">{html.escape(results.name)}; teachers: '
        f"{html.escape(', '.join(results.teachers.values()) or NONE)}.</p></html>\n"
    )


def _scores(results: StudyResults) -> str:
    return _table(headers(results), lines(results)) if results.has_table else ""


def _makings_table(results: StudyResults) -> str:
    rows = list(_makings(results))
    return f"<h2>How it was made</h2>{_table(_MADE, rows)}" if rows else ""


def _figure(folder: StudyFolder) -> str:
    """The picture in the page itself, which can then be sent to somebody as one file."""
    if not folder.figure.exists():
        return ""
    data = base64.b64encode(folder.figure.read_bytes()).decode("ascii")
    return f'<p><img alt="The figure of the study" src="data:image/png;base64,{data}"></p>'


_MADE = [
    "system",
    "column",
    "training",
    "run",
    "seed",
    "train / val / test",
    "steps",
    "patch",
    "minutes",
    "split",
    "weights",
]


def _makings(results: StudyResults) -> Iterator[list[str]]:
    for cell in results.cells:
        yield from _of_cell(results, cell)


def _of_cell(results: StudyResults, cell: CellResult) -> Iterator[list[str]]:
    row = row_title(results, cell.row)
    column = title_of(results, cell.column)
    for each in cell.members:
        minutes = NONE if each.seconds is None else f"{each.seconds / 60:.1f}"
        counts = " / ".join(map(str, each.cases))
        size = f"{each.batch} × {size_text(each.patch)}"
        hashes = each.split[:8], each.weights[:8]
        yield [row, column, each.label, each.run, str(each.seed), counts, f"{each.steps:,}", size, minutes, *hashes]


def _table(head: list[str], rows: list[list[str]]) -> str:
    top = "".join(f"<th>{html.escape(name)}</th>" for name in head)
    body = "".join(f"<tr>{''.join(f'<td>{html.escape(text)}</td>' for text in row)}</tr>" for row in rows)
    return f"<table><tr>{top}</tr>{body}</table>"
