"""What a run wrote into the workspace, read back: configuration, metrics, cases, pictures."""

import json
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from autosam_platform.evaluation.table import Row
from autosam_platform.workspace import Workspace
from dashboard.components.base.places import ReadingError, checked_id, inside

_TEXTS = tuple(field.name for field in fields(Row) if field.type is str)
_NUMBERS = tuple(field.name for field in fields(Row) if field.type is not str)
_ADDED_LATER = "hd95_mm"  # runs evaluated before it have no such column
METRICS = "evaluation/metrics.csv"
"""In the folder of an evaluated run."""
_FILES = ("image", "label", "prediction")


@dataclass(frozen=True)
class CaseFiles:
    """One evaluated case: its files, and a row of metrics per class.

    A label map that is not on disk is ``None``, with the reason in ``missing``.
    """

    case_id: str
    image: Path
    truth: Path | None
    prediction: Path | None
    missing: tuple[str, ...]
    rows: pd.DataFrame


def run_folders(workspace: Path) -> list[str]:
    """Names of the folders of runs, sorted."""
    return sorted(path.name for path in (workspace / "runs").glob("*") if path.is_dir())


def read_config(folder: Path) -> dict[str, Any]:
    """The resolved experiment of a run, as plain values; empty where the run has not written it.

    Raises:
        ReadingError: the file is not a YAML mapping.
    """
    path = folder / "config.yaml"
    if not path.exists():
        return {}
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError, OSError) as error:
        raise ReadingError(f"{path} cannot be read ({error}): start the run again, it writes the file anew.") from error
    if not isinstance(content, dict):
        raise ReadingError(f"{path} holds no settings: start the run again, it writes the file anew.")
    return content


def read_metrics(folder: Path) -> pd.DataFrame | None:
    """Table of ``evaluation/metrics.csv``: a row per case and class; ``None`` before there is one.

    Raises:
        ReadingError: the file is not one of ours, or damaged.
    """
    path = folder / METRICS
    if not path.exists():
        return None
    try:
        undefined = {name: ["nan"] for name in _NUMBERS}  # in numbers only: a case may be called "nan"
        table = pd.read_csv(path, dtype=dict.fromkeys(_TEXTS, str), keep_default_na=False, na_values=undefined)
        return _checked(table)
    except (ValueError, OSError) as error:
        raise ReadingError(f"{path} cannot be read ({error}): jobs/evaluate.py writes it anew.") from error


def as_rows(metrics: pd.DataFrame) -> list[Row]:
    """The table as the platform's statistics take it."""
    names = [field.name for field in fields(Row)]
    return [Row(**values) for values in metrics[names].to_dict("records")]


def read_summary(folder: Path) -> dict[str, Any]:
    """``evaluation/summary.json``; empty before there is one.

    Raises:
        ReadingError: the file is damaged.
    """
    return read_json(folder / "evaluation" / "summary.json", "jobs/evaluate.py writes it anew")


def read_card(folder: Path) -> dict[str, Any]:
    """``model/model.json``: what the run's model is and was made from; empty before there is one.

    Raises:
        ReadingError: the file is damaged.
    """
    return read_json(folder / "model" / "model.json", "copy the model again, or train it again")


def read_json(path: Path, remedy: str) -> dict[str, Any]:
    """A JSON object that a run wrote; empty before there is one.

    Raises:
        ReadingError: the file is damaged; the message ends with ``remedy``.
    """
    if not path.exists():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise ReadingError(f"{path} cannot be read ({error}): {remedy}.") from error
    if not isinstance(content, dict):
        raise ReadingError(f"{path} holds no JSON object: {remedy}.")
    return content


def per_case(metrics: pd.DataFrame) -> pd.DataFrame:
    """One row per case, worst first: mean Dice, NSD and HD95 over its classes (NaN left out), its worst class.

    ``n`` classes have a Dice, ``n_hd95`` an HD95.
    """
    rows = []
    for case_id, part in metrics.groupby("case", sort=True):
        known = part.dropna(subset="dice")
        worst = known.loc[known["dice"].idxmin(), "class_name"] if len(known) else ""
        means = part["dice"].mean(), part["nsd"].mean(), part["hd95_mm"].mean()
        rows.append((case_id, *means, worst, len(known), part["hd95_mm"].count()))
    table = pd.DataFrame(rows, columns=["case", "dice", "nsd", "hd95_mm", "worst", "n", "n_hd95"])
    return table.sort_values("dice", ignore_index=True)


def case_ids(folder: Path) -> list[str]:
    """Ids of the cases that the evaluation of a run recorded, sorted."""
    return sorted(path.stem for path in (folder / "evaluation" / "cases").glob("*.json"))


def read_case(workspace: Path, folder: Path, case_id: str) -> CaseFiles:
    """A case as its evaluation recorded it; files are taken from the workspace and the run's dataset only.

    Raises:
        ReadingError: not evaluated, a broken record, a path outside both folders, or no image.
    """
    path = inside(folder / "evaluation" / "cases" / f"{checked_id('case', case_id)}.json", [workspace])
    record = _read_record(path)
    dataset = (read_config(folder).get("dataset") or {}).get("root")
    here = Workspace(workspace)
    roots = [workspace, here.resolve(dataset)] if dataset else [workspace]
    files = {part: inside(here.resolve(record[part]), roots) if record.get(part) else None for part in _FILES}
    missing = tuple(f"{file} is missing" for file in files.values() if file and not file.is_file())
    image, truth, prediction = (file if file and file.is_file() else None for file in files.values())
    if image is None:
        reason = "; ".join(missing) or "no image is recorded"
        raise ReadingError(f"Case {case_id}: {reason}. Put the scan back, or evaluate the run again.")
    return CaseFiles(case_id, image, truth, prediction, missing, record["rows"])


def _read_record(path: Path) -> dict[str, Any]:
    if not path.exists():
        raise ReadingError(f"The case {path.stem!r} was not evaluated in this run: choose one from the list.")
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        return record | {"rows": _checked(pd.DataFrame(record["rows"]))}
    except (ValueError, TypeError, KeyError, OSError) as error:
        raise ReadingError(f"{path} is no record of a case ({error!r}): evaluate the run again.") from error


def _checked(table: pd.DataFrame) -> pd.DataFrame:
    """The metrics' columns in their types; what runs of earlier versions did not measure is undefined.

    Raises:
        ValueError: a column is missing, or a value is not a number.
    """
    if _ADDED_LATER not in table.columns:
        table = table.assign(**{_ADDED_LATER: float("nan")})
    absent = [name for name in (*_TEXTS, *_NUMBERS) if name not in table.columns]
    if absent:
        raise ValueError(f"it has no column {', '.join(absent)}")
    numbers = {name: pd.to_numeric(table[name]).astype(float) for name in _NUMBERS}
    return table.assign(**numbers).astype({"class_id": int})


def pictures(folder: Path) -> list[Path]:
    """Pictures the evaluation drew, sorted by case."""
    return sorted((folder / "evaluation" / "pictures").glob("*.png"))
