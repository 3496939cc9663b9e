"""The watcher's log: a file that does not grow for ever, and the terminal."""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from logging.handlers import RotatingFileHandler
from pathlib import Path

LOG = "watch.log"
_BYTES, _FILES = 1 << 20, 5


@contextmanager
def watch_log(output: Path) -> Iterator[logging.Logger]:
    """A log to ``watch.log`` and standard output; only public names and reasons may be written to it."""
    log = logging.getLogger("autosam_inference.bedside.watch")
    log.setLevel(logging.INFO)
    log.propagate = False
    handlers: list[logging.Handler] = [
        RotatingFileHandler(output / LOG, "a", _BYTES, _FILES, encoding="utf-8", errors="backslashreplace"),
        logging.StreamHandler(sys.stdout),
    ]
    for handler in handlers:
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        log.addHandler(handler)
    try:
        yield log
    finally:
        for handler in handlers:
            log.removeHandler(handler)
            handler.close()
