"""Memory of another process. Linux, since it looks into /proc."""

from pathlib import Path


def resident_mb(pid: int) -> float:
    """What it has in memory now, in MB (10⁶ bytes); 0 where it has ended."""
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    except OSError:
        return 0.0
    line = next((line for line in status.splitlines() if line.startswith("VmRSS")), "VmRSS 0 kB")
    return int(line.split()[1]) * 1024 / 1e6
