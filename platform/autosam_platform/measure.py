"""How long a piece of work takes and how much memory it needs at most, on a CPU or a GPU."""

import ctypes
import gc
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

import torch

T = TypeVar("T")


@dataclass(frozen=True)
class Measured(Generic[T]):
    """What came out of a piece of work, and what it cost."""

    result: T
    seconds: float
    peak_mb: float | None
    """Largest amount of memory (10⁶ bytes) in use above that before the work; None where the system does not tell."""


def measure(work: Callable[[], T], device: torch.device) -> Measured[T]:
    """Do ``work`` once and measure it; what it returns counts as in use.

    On a GPU, memory is what torch has allocated there. On a CPU it is the process's resident memory, which Linux
    alone tells; memory freed earlier is given back to the system first, so that it is not used for free.
    """
    gc.collect()
    before = _start_of_memory(device)
    started = time.perf_counter()
    result = work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    seconds = time.perf_counter() - started
    highest = _highest_memory(device)
    peak = None if before is None or highest is None else max(highest - before, 0) / 1e6
    return Measured(result, seconds, peak)


def machine(device: torch.device) -> str:
    """The hardware and the versions that figures depend on, in a line."""
    if device.type == "cuda":
        hardware = torch.cuda.get_device_name(device)
    else:
        bf16 = "with" if torch.cpu._is_avx512_bf16_supported() else "without"
        hardware = f"{_cpu_name()}, {torch.get_num_threads()} threads, {bf16} AVX512-BF16"
    return f"{hardware}; torch {torch.__version__}, Python {platform.python_version()}, {platform.system()}"


def free_memory(device: torch.device) -> int | None:
    """Bytes that a process could still take: on the GPU, or of the machine or its container; None if unknown."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    machine_free = _line(Path("/proc/meminfo"), "MemAvailable")
    if machine_free is None:
        return None
    return min([machine_free, *_free_in_containers(Path("/proc/self/cgroup"), Path("/sys/fs/cgroup"))])


def _free_in_containers(membership: Path, mount: Path) -> list[int]:
    """Bytes below the limits of the container (cgroup v2) of this process and of those around it, as far as seen.

    Args:
        membership: file that says which cgroup this process is in.
        mount: folder of the cgroups; in a container often its own alone.
    """
    try:
        lines = membership.read_text().splitlines()
    except OSError:
        return []
    own = mount / next((line.removeprefix("0::/") for line in lines if line.startswith("0::/")), "")
    seen = [folder for folder in (own, *own.parents) if folder.is_relative_to(mount)]
    return [free for folder in seen if (free := _free_below_limit(folder)) is not None]


def _free_below_limit(folder: Path) -> int | None:
    """Of one cgroup; None if it has no limit.

    Pages of files that were read some time ago (inactive_file) count as used there, and the kernel takes them back as
    soon as somebody needs memory. Kubernetes leaves them out, too.
    """
    try:
        limit, used = ((folder / name).read_text().strip() for name in ("memory.max", "memory.current"))
        stat = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
    except OSError:
        return None
    if limit == "max":
        return None
    return max(int(limit) - max(int(used) - int(stat["inactive_file"]), 0), 0)


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def _start_of_memory(device: torch.device) -> int | None:
    """Bytes in use now; the highest amount is counted from here on."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
        return torch.cuda.memory_allocated(device)
    try:
        ctypes.CDLL(None).malloc_trim(0)  # glibc's
        Path("/proc/self/clear_refs").write_text("5")  # forget the highest resident size
    except (AttributeError, OSError):
        return None
    return _status("VmRSS")


def _highest_memory(device: torch.device) -> int | None:
    return torch.cuda.max_memory_allocated(device) if device.type == "cuda" else _status("VmHWM")


def _status(name: str) -> int | None:
    """A figure of this process, in bytes."""
    return _line(Path("/proc/self/status"), name)


def _line(path: Path, name: str) -> int | None:
    """The bytes in a line of /proc such as ``VmRSS:   1234 kB``; None where there is no such file."""
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:")), None)
