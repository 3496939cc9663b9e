"""What came of all scans of a call: the table for people, and the one for programs."""

from collections.abc import Sequence
from pathlib import Path

from autosam_inference.bedside.attempt import Ending, NoRoomError
from autosam_inference.bedside.record import ScanRecord, as_csv
from autosam_inference.errors import UserError
from autosam_inference.files import write_text

SUMMARY = "summary.csv"
_FIRST = ("scan", "status", "reason", "seconds", "warnings", "check", "do_not_use")
_MODEL = "model"


def require_free_summary(output: Path) -> None:
    """Find out whether the summary would replace a file of somebody else.

    Raises:
        UserError: it would.
    """
    path = output / SUMMARY
    try:
        first = path.open(encoding="utf-8").readline()
    except FileNotFoundError:
        return
    except (OSError, UnicodeDecodeError):
        first = ""
    if not first.startswith(",".join(_FIRST)):
        raise UserError(f"{path} is there and is no summary of ours, so it is not replaced: name another --output.")


def write_summary(output: Path, endings: Sequence[Ending]) -> Path:
    """Write ``summary.csv``: a line per scan, with each organ's ml and mean HU; none where a later one replaced it.

    ``reason`` is why a scan failed, or what is missing of the results of one that did not; ``model`` the run that its
    model comes from, or the model's warning, which names that too.

    Raises:
        NoRoomError: it cannot be written; on Windows, while a spreadsheet has it open.
    """
    newest = {each.scan: each.record.content for each in endings if each.record}
    endings = [each for each in endings if each.record is None or each.record.content == newest[each.scan]]
    organs = dict.fromkeys(organ.name for each in endings if each.record for organ in each.record.organs)
    columns = [*_FIRST, _MODEL, *(f"{name} {unit}" for name in organs for unit in ("ml", "HU"))]
    path = output / SUMMARY
    try:
        write_text(path, as_csv(columns, [_row(each) for each in endings]))
    except OSError as error:
        raise NoRoomError(
            f"{path} cannot be written ({error.strerror}): close it where it is open, or make room. The results of the "
            "scans are in their own folders; the same command writes the table."
        ) from error
    return path


def _row(ending: Ending) -> dict[str, object]:
    record = ending.record
    reason = ending.reason if record is None else " ".join(record.missing)
    row: dict[str, object] = {"scan": ending.scan, "status": ending.status, "reason": reason}
    if record is not None:
        row |= {"seconds": record.seconds["total"], "warnings": record.warnings}
        row |= {"check": "; ".join(record.flagged("check")), "do_not_use": "; ".join(record.flagged("do not use"))}
        row |= {_MODEL: record.model.get("warning") or record.model["run_id"]}
        row |= {f"{each.name} ml": each.volume_ml for each in record.organs}
        row |= {f"{each.name} HU": each.mean_hu for each in record.organs}
    return row


def as_table(rows: Sequence[Sequence[str]], right: Sequence[int] = ()) -> str:
    """Rows, the first of them the heads, as columns of text; those numbered in ``right`` end together.

    >>> print(as_table([("organ", "ml"), ("liver", "1500.0"), ("spleen", "20.5")], right=[1]))
    organ       ml
    liver   1500.0
    spleen    20.5
    """
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    lines = (
        "  ".join(
            cell.rjust(width) if place in right else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )
    return "\n".join(lines)


def organ_table(record: ScanRecord) -> str:
    """The organs of one scan, for a terminal."""
    rows: list[tuple[str, ...]] = [("organ", "ml", "mean HU", "sd", "expected Dice", "use")]
    for each in record.organs:
        hu = ("", "") if each.mean_hu is None or each.sd_hu is None else (f"{each.mean_hu:.0f}", f"{each.sd_hu:.0f}")
        dice = "" if each.expected_dice is None else f"{each.expected_dice:.2f}"
        volume = f"{each.volume_ml:.1f}" if each.voxels else "not found"
        rows.append((each.name, volume, *hu, dice, each.words))
    if not any(each.flag for each in record.organs):  # the model was not calibrated
        rows = [row[:4] for row in rows]
    return as_table(rows, right=(1, 2, 3, 4))


def scan_table(endings: Sequence[Ending]) -> str:
    """All scans of a call, for a terminal."""
    rows: list[tuple[str, ...]] = [("scan", "status", "seconds", "organs", "warnings", "check", "do not use")]
    for each in endings:
        record = each.record
        if record is None:
            rows.append((each.scan, each.status, "", "", "", "", ""))
            continue
        found = sum(organ.voxels > 0 for organ in record.organs)
        warnings = str(record.warnings) if record.warnings else ""
        seconds = f"{record.seconds['total']:.1f}"
        flagged = (", ".join(record.flagged(flag)) for flag in ("check", "do not use"))
        rows.append((each.scan, each.status, seconds, f"{found} of {len(record.organs)}", warnings, *flagged))
    shown = [place for place in range(7) if place < 4 or any(row[place] for row in rows[1:])]
    return as_table([[row[place] for place in shown] for row in rows], right=(2,))
