"""What a watcher has done: an entry per scan, written whole at every change, so that a kill loses none."""

from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

from pydantic import AwareDatetime, NonNegativeInt, ValidationError

from autosam_inference.errors import UserError
from autosam_inference.files import DamagedError, unsealed, write_sealed
from autosam_inference.frozen import Frozen

LEDGER = "ledger.json"
_KEPT = timedelta(days=90)  # after which an entry goes whose scan does not lie in the folder any more


class Entry(Frozen):
    """How far a scan is. It names neither the patient nor the scan's file.

    Attributes:
        state: ``working`` is also what a kill leaves; ``given up`` is not tried again, even if the scan changes.
        fingerprint: of names, sizes and times of its files: whether it changed since.
        scan: its public name; empty where it was never read.
        reason: why it failed.
        tries: how often it failed.
        cut_short: how often the process ended while it worked on it.
    """

    state: Literal["waiting", "working", "done", "failed", "given up"]
    fingerprint: str
    scan: str = ""
    reason: str = ""
    tries: NonNegativeInt = 0
    cut_short: NonNegativeInt = 0
    at: AwareDatetime


class _Pages(Frozen):
    entries: dict[str, Entry]


class Ledger:
    """Entries by keys that say nothing of a scan (hashes), kept in ``ledger.json`` of the results' folder."""

    def __init__(self, output: Path) -> None:
        self._path = output / LEDGER
        self.entries: dict[str, Entry] = {}
        self.damaged = False
        """Whether there was one that could not be read; its results are found by their records."""
        try:
            self.entries = dict(_Pages.model_validate(unsealed(self._path.read_bytes())).entries)
        except FileNotFoundError:
            pass
        except (DamagedError, ValidationError):
            self.damaged = True
        except OSError as error:
            raise UserError(f"{self._path} cannot be read ({error.strerror}): check its rights.") from error

    def put(self, key: str, entry: Entry) -> None:
        """Change an entry, and write the ledger.

        Raises:
            OSError: it cannot be written.
        """
        self.entries[key] = entry
        self.save()

    def save(self) -> None:
        """Write the ledger, whole or not at all."""
        write_sealed(self._path, _Pages(entries=self.entries).model_dump(mode="json"))

    def forget(self, present: Collection[str]) -> None:
        """Leave out what is old and lies in the folder no more; the next change writes that."""
        oldest = now() - _KEPT
        self.entries = {key: each for key, each in self.entries.items() if key in present or each.at > oldest}


def now() -> datetime:
    """The time of an entry."""
    return datetime.now(UTC).replace(microsecond=0)
