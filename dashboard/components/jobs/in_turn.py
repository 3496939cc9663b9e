"""Run a command when it is its turn: ``python in_turn.py FOLDER PLACES COMMAND…``, of which PLACES go on at a time.

A place is a lock on a file of FOLDER. The command takes it over, and it is free when that ends, however it ends. Whose
turn it is holds another lock until there is a place, so that others come after it. Nothing of the project is imported:
many may wait.
"""

import fcntl
import os
import sys
import time

WAITS = "It waits until a core is free.\n"
_LOOK_SECONDS = 0.5


def main() -> None:
    """Wait for a place, then become the command."""
    folder, places, *command = sys.argv[1:]
    turn = _opened(folder, "turn")
    if not (_held(turn) and _take(folder, int(places))):
        print(WAITS, end="", flush=True)
        fcntl.flock(turn, fcntl.LOCK_EX)
        while not _take(folder, int(places)):
            time.sleep(_LOOK_SECONDS)
        print("A core is free.", flush=True)
    os.close(turn)
    os.execv(command[0], command)  # noqa: S606  # which keeps the place's lock


def _take(folder: str, places: int) -> bool:
    """Hold one of the places, if any is free."""
    for number in range(places):
        place = _opened(folder, f"place-{number}")
        if _held(place):
            os.set_inheritable(place, True)
            return True
        os.close(place)
    return False


def _held(lock: int) -> bool:
    """Hold a lock, if nobody does."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _opened(folder: str, name: str) -> int:
    return os.open(os.path.join(folder, f".{name}.lock"), os.O_RDWR | os.O_CREAT, 0o600)


if __name__ == "__main__":
    main()
