"""Where files may be: in folders that this machine has, of its own or mounted."""

import re
from pathlib import Path


def require_local(path: Path) -> None:
    """Refuse an address such as ``s3://bucket/scans``, which would quietly become a folder of that name here.

    Raises:
        ValueError: names what to do.
    """
    address = re.match(r"([A-Za-z][A-Za-z0-9+.-]+):[/\\\\]", str(path))  # a drive of Windows has one letter
    if address is not None:
        raise ValueError(
            f"{path} is an address ({address[1]}:), and files are read and written in folders: mount it on every "
            "machine and name the folder"
        )
