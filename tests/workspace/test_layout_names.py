"""Nobody but the workspace's own room joins names of its layout: what lies where is asked of its objects."""

import ast
from collections.abc import Iterator
from pathlib import Path, PurePath

import pytest

from autosam_platform.locks import LOCK
from autosam_platform.workspace import Workspace

ROOT = Path(__file__).resolve().parents[2]
ROOTS = ("dashboard", "jobs", "platform")
OTHERS = {
    ("dashboard/components/jobs/ray_jobs.py", "ray"),
    ("dashboard/components/base/terminal.py", "ray"),
    ("jobs/_roots.py", "studies"),
}
"""Of others, and called as ours are by chance: Ray's own scratch and program, descriptions of studies."""

OWNERS = (
    "platform/autosam_inference/bundle/",
    "platform/autosam_platform/workspace/",
    "platform/autosam_inference/card.py",
)
"""Of the layout, and of the two files of a model, which the bedside has without a workspace."""

_JOINING = {"joinpath", "glob", "rglob", "with_name", "Path", "PurePath"}


def _layout() -> tuple[frozenset[str], frozenset[str]]:
    """Names of files (with a suffix, so that they mean nothing else) and of folders, as the workspace's objects say."""
    place = Workspace(Path("/workspace"))
    run, sweep, study = place.run("NAME"), place.sweep("NAME"), place.study("NAME")
    objects = [place, run, run.evaluation(), run.evaluation("val"), sweep, study]
    found = [value for each in objects for name in dir(type(each)) if isinstance(value := _value(each, name), Path)]
    found += [
        run.evaluation().folder,
        sweep.folder,
        study.folder,
        study.log("NAME", "NAME").parent,
        place.dataset("NAME"),
        place.teacher("NAME"),
    ]
    found += [place.prepared("NAME").folder, place.cost("NAME"), place.benchmark("NAME")]
    names = {part for path in found for part in path.relative_to(place.folder).parts}
    names -= {"NAME", "NAME.json", LOCK}  # the lock's name is that of locks.py
    files = {name for name in names if "." in name}
    return frozenset(files), frozenset(names - files)


def _value(thing: object, name: str) -> object:
    return getattr(thing, name) if isinstance(getattr(type(thing), name), property) and name not in _READ else None


_READ = {
    *("card", "experiment", "case_ids", "has_cases", "run_folders", "finished_runs", "sweeps", "studies", "finished"),
    *("distilled", "files"),
}
FILES, FOLDERS = _layout()


def _joined_names(source: str) -> list[tuple[int, str]]:
    """Literals that are names of the layout, with their lines: of files anywhere, of folders where paths are joined."""
    tree = ast.parse(source)
    joined = {id(literal) for node in ast.walk(tree) for literal in _literals_of_a_path(node)}
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            parts = set(PurePath(node.value).parts)
            named = parts & FILES | (parts & FOLDERS if id(node) in joined else set())
            found += [(node.lineno, name) for name in sorted(named) if len(node.value.split()) == 1]
    return found


def _literals_of_a_path(node: ast.AST) -> Iterator[ast.AST]:
    """Literals that ``/``, ``Path`` and its methods make paths of."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
        for side in (node.left, node.right):
            yield from ast.walk(side)
    elif isinstance(node, ast.Call):
        called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if called in _JOINING:
            for argument in node.args:
                yield from ast.walk(argument)


def _sources() -> list[Path]:
    found = sorted(file for root in ROOTS for file in (ROOT / root).rglob("*.py"))
    return [file for file in found if not str(file.relative_to(ROOT)).startswith(OWNERS)]


@pytest.mark.parametrize("file", _sources(), ids=lambda file: str(file.relative_to(ROOT)))
def test_no_name_of_the_layout_is_joined(file: Path) -> None:
    name = str(file.relative_to(ROOT))
    found = _joined_names(file.read_text(encoding="utf-8"))
    assert not [each for each in found if (name, each[1]) not in OTHERS], "ask the Workspace object where it lies"


def test_the_layout_is_known() -> None:
    assert {"config.yaml", "model.json", "metrics.csv", "trials.json", "report.csv", "mlflow.db"} <= FILES
    assert {"runs", "sweeps", "predictions", "uploads", "evaluation", "model", "report", "cases"} <= FOLDERS


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ('path = root / "runs" / name', ["runs"]),
        ('path = root / ("sweeps" if swept else "runs") / name', ["sweeps", "runs"]),
        ('METRICS = "evaluation/metrics.csv"', ["metrics.csv"]),
        ('found = root.glob("*/report/report.json")', ["report", "report.json"]),
        ('name = f"{run}.png"; st.session_state["runs"] = chosen("predictions")', []),
        ('st.expander("The resolved experiment (config.yaml)")', []),
    ],
)
def test_the_check_sees_them(source: str, names: list[str]) -> None:
    assert [name for _, name in _joined_names(source)] == names
