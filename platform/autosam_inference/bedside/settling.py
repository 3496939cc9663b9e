"""When a scan that is being copied into a folder is whole."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from autosam_inference.bedside.finding import Finder, FoundScan
from autosam_inference.files import content_hash

_PATIENCE = 10  # times as long waits a series that lacks images by what its headers tell, which may be wrong


@dataclass(frozen=True)
class Arrival:
    """A scan, or a file that should be one, in the folder that is watched.

    Attributes:
        key: hash of what it is and of its zip, if it lies in one, the same when it changes: a series may come twice.
        fingerprint: hash of names, sizes and times of its files, another one when it changes.
        whole: nothing was added to it or changed for long enough.
        fault: why it is no scan; empty where it may be one.
    """

    key: str
    found: FoundScan
    fingerprint: str
    whole: bool
    fault: str = ""


class Settling:
    """Looks at a folder again and again.

    The clock is this process's own: times that files bear are of other machines, and copied with them.

    Args:
        settle: seconds without a change after which a scan counts as whole.
    """

    def __init__(self, folder: Path, finder: Finder, settle: float) -> None:
        self._folder, self._finder, self._settle = folder, finder, settle
        self._seen: dict[str, tuple[tuple[int, int], float]] = {}

    def look(self, now: float) -> list[Arrival]:
        """All that lies there now; those that came first, first."""
        self._seen = {name: self._since(name, state, now) for name, state in self._states()}
        self._finder.forget_all_but(self._folder, self._seen)
        findings = self._finder.among(self._folder, self._seen)
        arrivals = [(self._changed(each), self._arrival(each, now)) for each in findings.scans]
        for path, reason in findings.faults:
            found = FoundScan(path)
            arrivals.append((self._changed(found), self._arrival(found, now, reason)))
        return [arrival for _, arrival in sorted(arrivals, key=lambda pair: pair[0])]

    def _states(self) -> Iterator[tuple[str, tuple[int, int]]]:
        for name in self._finder.names(self._folder):
            try:
                stat = os.stat(self._folder / name)
            except PermissionError:  # it is there, and looking at it will tell
                yield name, (0, 0)
                continue
            except OSError:  # it was taken away again
                continue
            yield name, (stat.st_size, stat.st_mtime_ns)

    def _since(self, name: str, state: tuple[int, int], now: float) -> tuple[tuple[int, int], float]:
        known, since = self._seen.get(name, (None, now))
        return state, since if known == state else now

    def _names(self, found: FoundScan) -> list[str]:
        inside = found.path.relative_to(self._folder)
        return [str(inside)] if self._packed(found) else [str(inside / each) for each in found.files]

    def _packed(self, found: FoundScan) -> bool:
        """Whether it is looked at as one: no loose slices, which may come to lie in ever more folders."""
        return str(found.path.relative_to(self._folder)) in self._seen

    def _changed(self, found: FoundScan) -> float:
        """When a file of it changed last."""
        return max(self._seen[name][1] for name in self._names(found))

    def _arrival(self, found: FoundScan, now: float, fault: str = "") -> Arrival:
        names = self._names(found)
        quiet = now - self._changed(found)
        whole = quiet >= self._settle * (_PATIENCE if found.missing else 1)
        place = str(found.path.relative_to(self._folder)) if self._packed(found) else None
        key = content_hash(*(each for each in (found.series, place) if each is not None))
        fingerprint = content_hash(sorted((name, *self._seen[name][0]) for name in names))
        return Arrival(key, found, fingerprint, whole, fault)
