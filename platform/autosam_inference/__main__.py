"""``python -m autosam_inference`` is the command ``autosam-predict``."""

import sys

from autosam_inference.bedside.command import main

if __name__ == "__main__":
    sys.exit(main())
