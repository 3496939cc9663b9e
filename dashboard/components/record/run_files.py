"""What a run wrote into the workspace, read back: configuration, metrics, cases, pictures."""

import io
import json
from contextlib import suppress
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from autosam_inference.card import ModelCard
from autosam_platform.evaluation.table import Row
from autosam_platform.workspace import RunFolder, Workspace, WorkspacePaths
from dashboard.components.base.places import ReadingError, allowed_further, inside, recorded_file

_TEXTS = tuple(field.name for field in fields(Row) if field.type is str)
_NUMBERS = tuple(field.name for field in fields(Row) if field.type is not str)
_ADDED_LATER = "hd95_mm"  # runs evaluated before it have no such column
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

    @property
    def classes(self) -> dict[int, str]:
        """Names of the organs by their ids in the label maps."""
        return dict(zip(self.rows["class_id"], self.rows["class_name"], strict=True))


def read_config(run: RunFolder) -> dict[str, Any]:
    """The resolved experiment of a run, as plain values; empty where the run has not written it.

    Raises:
        ReadingError: the file is not a YAML mapping.
    """
    if not run.config.exists():
        return {}
    try:
        content = yaml.safe_load(run.config.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError, OSError) as error:
        raise ReadingError(
            f"{run.config} cannot be read ({error}): start the run again, it writes the file anew."
        ) from error
    if not isinstance(content, dict):
        raise ReadingError(f"{run.config} holds no settings: start the run again, it writes the file anew.")
    return content


def read_metrics(run: RunFolder) -> pd.DataFrame | None:
    """Metrics of the run's test cases: a row per case and class; ``None`` before there is one.

    Raises:
        ReadingError: the file is not one of ours, or damaged.
    """
    path = run.evaluation().metrics
    if not path.exists():
        return None
    try:
        undefined = {name: ["nan"] for name in _NUMBERS}  # in numbers only: a case may be called "nan"
        whole_lines = path.read_bytes().rpartition(b"\n")[0]  # of a file that is cut short the last one is not
        texts = dict.fromkeys(_TEXTS, str)
        table = pd.read_csv(io.BytesIO(whole_lines), dtype=texts, keep_default_na=False, na_values=undefined)
        return _checked(table)
    except (ValueError, OSError) as error:
        raise ReadingError(f"{path} cannot be read ({error}): jobs/evaluate.py writes it anew.") from error


def shortfall(run: RunFolder, metrics: pd.DataFrame) -> str:
    """What the table lacks of the cases that were evaluated, in a sentence; empty where it is whole.

    Each case left a record of its own before the table was written, and the summary says how many there were.
    """
    recorded, there = run.evaluation().case_ids, set(metrics["case"])
    asked = len(recorded)
    with suppress(ReadingError):  # of a damaged summary its own readers tell
        asked = max(asked, int(read_summary(run).get("n_cases") or 0))
    organs = metrics.groupby("case")["class_id"].nunique()
    short = sorted(organs.index[organs < organs.max()])
    if len(there) >= asked and there.issuperset(recorded) and not short:
        return ""
    partly = f", and of {', '.join(short[:3])} not all organs" if short else ""
    return (
        f"{run.evaluation().metrics} holds {len(there)} of the {asked} cases that were evaluated{partly}: it was cut "
        "short, or copied in part. What is shown is of these alone; evaluating the run again writes the whole file."
    )


def as_rows(metrics: pd.DataFrame) -> list[Row]:
    """The table as the platform's statistics take it."""
    names = [field.name for field in fields(Row)]
    return [Row(**values) for values in metrics[names].to_dict("records")]


def read_summary(run: RunFolder) -> dict[str, Any]:
    """What the evaluation on the test cases came to; empty before there is one.

    Raises:
        ReadingError: the file is damaged.
    """
    return read_json(run.evaluation().summary, "jobs/evaluate.py writes it anew")


def evaluated_on(run: RunFolder) -> str:
    """The day (UTC) on which the results of the test cases were written, ``2026-11-27``; empty where there are none."""
    path = run.evaluation().metrics
    return f"{datetime.fromtimestamp(path.stat().st_mtime, UTC):%Y-%m-%d}" if path.exists() else ""


def validation_cases(run: RunFolder, workspace: Workspace, fingerprint: str) -> int | None:
    """Over how many cases the run's validations are means; ``None`` where that is not known.

    Args:
        fingerprint: of the prepared dataset; it tells of a run that has no model yet.

    Raises:
        ModelFolderError, ReadingError: the model's card or the dataset's manifest is damaged.
    """
    card = read_card(run)
    if card is not None and card.split:
        return len(card.split.get("val", ()))
    for place in workspace.prepared_folders if fingerprint else ():
        told = read_json(place.manifest(fingerprint), "jobs/prepare.py writes it anew")
        if told.get("fingerprint") == fingerprint:
            usable = [case for case in told["cases"] if case["status"] != "rejected"]
            return sum("val" in case["splits"] for case in usable)
    return None


def read_card(run: RunFolder) -> ModelCard | None:
    """What the run's model is and was made from; ``None`` before there is one.

    Raises:
        ModelFolderError: the file is damaged.
    """
    return run.card if run.finished else None


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


def read_case(run: RunFolder, case_id: str) -> CaseFiles:
    """A case as its evaluation recorded it.

    Files are taken from the workspace and the run's dataset only, and from where links of it lead if that is allowed.

    Raises:
        ReadingError: not evaluated, a broken record, a path outside both folders, or no image.
    """
    here = run.paths
    path = run.evaluation().recorded(case_id)
    if path is None:
        raise ReadingError(f"The case {case_id[:80]!r} was not evaluated in this run: choose one from the list.")
    record = _read_record(inside(path, [here.folder]))
    dataset = (read_config(run).get("dataset") or {}).get("root")
    roots = [here.folder, *allowed_further(), *([here.resolve(dataset)] if dataset else [])]
    files = {part: _file(here, record.get(part), roots) for part in _FILES}
    missing = tuple(f"{file} is missing" for file in files.values() if file and not file.exists())
    image, truth, prediction = (file if file and file.exists() else None for file in files.values())
    if image is None:
        reason = "; ".join(missing) or "no image is recorded"
        raise ReadingError(f"Case {case_id}: {reason}. Put the scan back, or evaluate the run again.")
    return CaseFiles(case_id, image, truth, prediction, missing, record["rows"])


def _file(here: WorkspacePaths, recorded: str | None, roots: list[Path]) -> Path | None:
    """A file that the record names; by the name of a link, since what that leads to may lack the suffix."""
    if not recorded:
        return None
    path = here.resolve(recorded)
    allowed = recorded_file(path, here, roots)
    return path if path.resolve() == allowed else allowed


def _read_record(path: Path) -> dict[str, Any]:
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
