"""What a clinic installs runs on Linux, macOS and Windows: nothing in its code is known to be of one of them alone.

Read from the code, since no machine has all three. What stands under an ``if`` that asks for the system is left out.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MODULES = {
    *(
        "crypt",
        "fcntl",
        "grp",
        "nis",
        "posix",
        "pty",
        "pwd",
        "readline",
        "resource",
        "spwd",
        "syslog",
        "termios",
        "tty",
    ),
    *("_winapi", "msvcrt", "nt", "winreg", "winsound"),
}
"""Modules of Python that one system lacks."""
ATTRIBUTES = {
    "os": {
        *("chown", "chroot", "fchmod", "fchown", "fork", "forkpty", "getegid", "geteuid", "getgid", "getloadavg"),
        *("getpgid", "getuid", "killpg", "lchown", "mkfifo", "mknod", "nice", "posix_fadvise", "posix_fallocate"),
        *("pread", "preadv", "pwrite", "rename", "sched_getaffinity", "sched_setaffinity", "sendfile", "setsid"),
        *("startfile", "statvfs", "sysconf", "uname", "wait", "O_CLOEXEC", "O_DIRECTORY", "O_NOFOLLOW", "O_SYNC"),
    },
    "signal": {
        *("SIGALRM", "SIGCHLD", "SIGCONT", "SIGHUP", "SIGKILL", "SIGPIPE", "SIGQUIT", "SIGSTOP", "SIGUSR1", "SIGUSR2"),
        *("alarm", "pause", "pthread_sigmask", "setitimer", "sigwait", "CTRL_C_EVENT", "CTRL_BREAK_EVENT"),
    },
    "socket": {"AF_UNIX", "socketpair"},
    "time": {"tzset"},
}
"""What one system lacks, or does otherwise: Windows' ``os.rename`` fails where the new name exists."""
PLACES = ("/dev/", "/etc/", "/home/", "/proc/", "/sys/", "/tmp", "/usr/", "/var/", "C:\\", "\\\\")
TEXT = {"read_text", "write_text"}


def _nodes(node: ast.AST) -> Iterator[ast.AST]:
    if isinstance(node, ast.If | ast.IfExp) and _asks_for_the_system(node.test):
        return
    yield node
    for child in ast.iter_child_nodes(node):
        yield from _nodes(child)


def _asks_for_the_system(test: ast.expr) -> bool:
    told = ast.unparse(test)
    return any(each in told for each in ("os.name", "sys.platform", "hasattr(os", "hasattr(signal"))


def _findings(source: str) -> list[str]:
    return [told for node in _nodes(ast.parse(source)) for told in _told(node)]


def _told(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names if alias.name.partition(".")[0] in MODULES)
    elif isinstance(node, ast.ImportFrom):
        lacking = ATTRIBUTES.get(node.module or "", set())
        yield from (f"{node.module}.{alias.name}" for alias in node.names if alias.name in lacking)
        yield from [node.module] if node.module in MODULES else []
    elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        yield from [ast.unparse(node)] if node.attr in ATTRIBUTES.get(node.value.id, ()) else []
    elif isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield from [node.value] if node.value.startswith(PLACES) else []
    elif isinstance(node, ast.Call) and _without_encoding(node):
        yield f"{ast.unparse(node)} without an encoding"


def _without_encoding(call: ast.Call) -> bool:
    """Whether text is read or written as the system happens to: Windows has another encoding than UTF-8."""
    if any(word.arg == "encoding" for word in call.keywords):
        return False
    if isinstance(call.func, ast.Attribute):
        return call.func.attr in TEXT
    modes = [each.value for each in call.args if isinstance(each, ast.Constant) and isinstance(each.value, str)]
    return ast.unparse(call.func) == "open" and not any("b" in each for each in modes)


FILES = sorted((ROOT / "platform" / "autosam_inference").rglob("*.py"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_nothing_is_of_one_system_alone(file: Path) -> None:
    assert not _findings(file.read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("source", "findings"),
    [
        ("import fcntl, json", ["fcntl"]),
        ("from pwd import getpwnam", ["pwd"]),
        ("from os import fork, replace", ["os.fork"]),
        ("def f():\n    os.kill(1, signal.SIGKILL)", ["signal.SIGKILL"]),
        ("p = Path('/proc/meminfo')", ["/proc/meminfo"]),
        ("path.read_text()", ["path.read_text() without an encoding"]),
        ("open('a', 'rb'); open(path, 'r')", ["open(path, 'r') without an encoding"]),
        ("if os.name != 'nt':\n    os.sched_getaffinity(0)", []),
        ("os.replace(a, b); signal.SIGTERM; path.read_text(encoding='utf-8')", []),
    ],
)
def test_the_check_sees_what_is_of_one_system(source: str, findings: list[str]) -> None:
    assert _findings(source) == findings
