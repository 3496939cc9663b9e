"""How long tests wait for what may never come. None measures time: a busy machine takes ten times longer."""

import time
from collections.abc import Callable

HANG_S = 900.0
"""Seconds after which something is held to hang: many times what it takes on a slow machine that does other work."""


def wait_until(holds: Callable[[], object], every_s: float = 0.05) -> None:
    """Returns when ``holds`` gives something true; fails where that would take for ever."""
    deadline = time.monotonic() + HANG_S
    while not holds():
        assert time.monotonic() < deadline, f"waited {HANG_S:.0f} s for what did not come"
        time.sleep(every_s)
