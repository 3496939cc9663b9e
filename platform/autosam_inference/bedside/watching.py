"""A folder that a scanner or a PACS exports to: each scan is segmented once, when it is whole."""

import logging
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from autosam_inference.bedside.attempt import Ending, NoRoomError, attempt
from autosam_inference.bedside.finding import Finder
from autosam_inference.bedside.ledger import Entry, Ledger, now
from autosam_inference.bedside.naming import disguise, public_name
from autosam_inference.bedside.record import read_record
from autosam_inference.bedside.segmenting import Job
from autosam_inference.bedside.settling import Arrival, Settling
from autosam_inference.bedside.summary import write_summary
from autosam_inference.bedside.watch_log import watch_log

MOST_TRIES = 5
"""Failures after which a scan is given up, however often it changes."""
MOST_CUT_SHORT = 10
"""Ends of the process (out of memory, power) during one scan after which it is given up: it may be what ends it."""
_LONGEST_PAUSE = 600.0  # seconds between looks whether a full disk has room again


class Stopped(BaseException):
    """The process was told to end."""


class Watch:
    """What is known of the folder, and what to do next.

    Args:
        folder: that is watched.
        settle: seconds without a change after which a scan counts as whole.
    """

    def __init__(self, job: Job, folder: Path, settle: float, log: logging.Logger) -> None:
        self._job, self._folder, self._log = job, folder, log
        self._settling = Settling(folder, Finder(job.output), settle)
        self._ledger = Ledger(job.output)
        self._endings: dict[str, Ending] = {}
        self._pause, self._resume = 1.0, 0.0
        self._there = True
        self._begin()

    def step(self, clock: float) -> bool:
        """Look at the folder, and segment a scan if one is whole and not done; whether there was one.

        Args:
            clock: seconds, of any beginning.
        """
        if clock < self._resume or not self._is_there():
            return False
        arrivals = self._settling.look(clock)
        self._ledger.forget({each.key for each in arrivals})
        due = [each for each in arrivals if each.whole and self._is_due(each)]
        if not due:
            return False
        arrival = min(due, key=lambda each: self._entry(each).cut_short)  # stable: else the first to come
        try:
            self._take(arrival)
            self._pause = 1.0
        except (NoRoomError, OSError) as error:
            reason = error if isinstance(error, NoRoomError) else f"the results cannot be written ({error.strerror})"
            self._log.error("%s Trying again in %.0f s.", reason, self._pause)
            self._resume, self._pause = clock + self._pause, min(2 * self._pause, _LONGEST_PAUSE)
        return True

    def _begin(self) -> None:
        """Make of what the last process left what this one starts from."""
        if self._ledger.damaged:
            self._log.warning("The ledger was damaged: scans that are finished are found by their records.")
        for key, entry in self._ledger.entries.items():
            if entry.state == "working":
                self._log.warning("%s: the process ended while it worked on it.", entry.scan or "a scan")
                changes = {"state": "waiting", "cut_short": entry.cut_short + 1}
                self._ledger.entries[key] = entry.model_copy(update=changes)
            elif entry.state in ("failed", "given up") and self._job.options.again:
                self._ledger.entries[key] = entry.model_copy(update={"state": "waiting", "tries": 0, "cut_short": 0})
        for key, entry in self._ledger.entries.items():
            record = read_record(self._job.output / entry.scan) if entry.scan else None
            if entry.state == "done" and record is not None:
                self._endings[key] = Ending(entry.scan, "found", record)
            elif entry.state in ("failed", "given up"):
                self._endings[key] = Ending(entry.scan, "failed", reason=entry.reason)

    def _is_there(self) -> bool:
        there = os.path.isdir(self._folder)  # ``Path.is_dir`` raises where a share fails
        if there != self._there:
            self._log.log(*((logging.INFO, "The folder is there again.") if there else _GONE))
            self._there = there
        return there

    def _entry(self, arrival: Arrival) -> Entry:
        fresh = Entry(state="waiting", fingerprint=arrival.fingerprint, at=now())
        return self._ledger.entries.get(arrival.key, fresh)

    def _is_due(self, arrival: Arrival) -> bool:
        entry = self._entry(arrival)
        if entry.state == "given up":
            return False
        return entry.state == "waiting" or entry.fingerprint != arrival.fingerprint

    def _take(self, arrival: Arrival) -> None:
        before = self._entry(arrival)
        name = public_name(arrival.found, None, self._job.options.names)
        entry = before.model_copy(update={"state": "working", "fingerprint": arrival.fingerprint, "at": now()})
        entry = entry.model_copy(update={"scan": entry.scan or name})
        if entry.cut_short >= MOST_CUT_SHORT:
            reason = f"the process ended {entry.cut_short} times while it worked on it"
            self._close(arrival, entry, Ending(entry.scan, "failed", reason=reason), give_up=True)
            return
        self._ledger.put(arrival.key, entry)
        try:
            if arrival.fault:
                ending = Ending(name, "failed", reason=disguise(arrival.found, name)(arrival.fault))
            else:
                self._log.info("%s: begun", name)
                ending = attempt(self._job, arrival.found, tell=self._warn)
        except BaseException:  # no fault of the scan
            self._ledger.put(arrival.key, before.model_copy(update={"state": "waiting"}))
            raise
        self._close(arrival, entry, ending)

    def _close(self, arrival: Arrival, entry: Entry, ending: Ending, *, give_up: bool = False) -> None:
        failed = ending.record is None
        tries = entry.tries + failed
        state = "done" if not failed else "given up" if give_up or tries >= MOST_TRIES else "failed"
        changes = {"state": state, "scan": ending.scan, "reason": ending.reason, "tries": tries, "at": now()}
        self._endings.pop(arrival.key, None)  # the newest is the last: it may have replaced another's results
        self._endings[arrival.key] = ending
        self._ledger.put(arrival.key, entry.model_copy(update=changes | ({} if failed else {"cut_short": 0})))
        write_summary(self._job.output, list(self._endings.values()))
        if ending.record is None:
            further = "It is given up." if state == "given up" else "It is tried again when it changes."
            self._log.error("%s: FAILED: %s %s", ending.scan, ending.reason, further)
            return
        words = "was segmented before" if ending.status == "found" else f"{ending.record.seconds['total']:.1f} s"
        self._log.info("%s: done, %s", ending.scan, words)
        for note in ending.record.notes:
            self._log.info("%s: %s", ending.scan, note)
        for each in ending.record.missing:
            self._warn(ending.scan, each)

    def _warn(self, scan: str, words: str) -> None:
        self._log.warning("%s: %s", scan, words)


_GONE = (logging.ERROR, "The folder is not there; it is waited for.")


def watch(job: Job, folder: Path, settle: float) -> None:
    """Watch until the process is told to end (SIGTERM, Ctrl-C); what it works on then is begun anew next time."""
    pause = min(5.0, max(0.2, settle / 4))
    with watch_log(job.output) as log, _told_to_end():
        try:
            seen = Watch(job, folder, settle, log)
            log.info("Watching, with %s", job.model.card.run_id)
            if job.model.card.warning:
                log.warning("%s", job.model.card.warning)
            while True:
                if not seen.step(time.monotonic()):
                    time.sleep(pause)
        except Stopped:
            log.info("Stopped.")


@contextmanager
def _told_to_end() -> Iterator[None]:
    """Raises ``Stopped`` at the first signal, wherever the work is; later ones do not disturb the tidying."""
    signals = [getattr(signal, name) for name in ("SIGTERM", "SIGINT", "SIGBREAK") if hasattr(signal, name)]

    def stop(number: int, frame: FrameType | None) -> None:
        for each in signals:
            signal.signal(each, signal.SIG_IGN)
        raise Stopped

    before = {each: signal.signal(each, stop) for each in signals}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
