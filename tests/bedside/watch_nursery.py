"""Runs the watcher again and again and kills each at a random moment; imports once, so that a child begins at once.

Arguments: seed, number of kills, longest life in seconds, a file to make before the one that lives; then the command's.
"""

import os
import random
import signal
import sys
import time
from pathlib import Path

from autosam_inference.bedside import attempt, command, watching  # noqa: F401
from autosam_inference.runtimes import pytorch  # noqa: F401
from autosam_inference.scans import dicom_report, dicom_seg  # noqa: F401


def main() -> None:
    seed, kills, longest, last, *words = sys.argv[1:]
    chance = random.Random(int(seed))
    for _ in range(int(kills)):
        child = os.fork()
        if not child:
            os._exit(command.main(words))
        time.sleep(chance.uniform(0, float(longest)))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    Path(last).touch()
    sys.exit(command.main(words))


if __name__ == "__main__":
    main()
