"""What a task does that ends its process."""

import os
import time


def abort(item: int) -> None:
    """Say so, and end the process as a failed check of a C++ library does."""
    print("about to abort", flush=True)
    time.sleep(1)  # what is printed is read by another process
    os.abort()
