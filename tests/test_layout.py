"""Who may import whom, and that our source root `platform/` never hides Python's own `platform`."""

import ast
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from patience import HANG_S

ROOT = Path(__file__).resolve().parents[1]
SOURCE_ROOTS = ("platform", "models")

# Ground floor first; docs/design.md says what each room is for. A room imports from floors below its own.
FLOORS = (
    {"autosam_models"},
    {"autosam_inference"},
    {"measure", "locks", "places"},
    {"experiment"},
    {"workspace"},
    {"command_line", "cluster"},
    {"data", "tracking"},
    {"evaluation"},
    {"export"},
    {"training"},
    {"distillation", "prompted"},
    {"tuning", "studies"},
    {"pipeline"},
    {"jobs", "dashboard"},
)

# The dashboard's own rooms, and which others each may import; views/ and app.py stand above all of them.
DASHBOARD_ROOMS: dict[str, set[str]] = {
    "base": set(),
    "record": {"base"},
    "jobs": {"base", "record"},
    "charts": {"base", "record"},
    "viewer": {"base"},
}


def _floor(room: str) -> int:
    for number, rooms in enumerate(FLOORS):
        if room in rooms:
            return number
    raise AssertionError(f"'{room}' has no floor: give it one here and in docs/design.md")


def _room(file: Path) -> str | None:
    """The room a source file belongs to; None for the platform's own ``__init__.py``, which is no room."""
    parts = file.relative_to(ROOT).with_suffix("").parts
    if parts[0] == "models":
        return "autosam_models"
    if parts[0] == "platform":
        if parts[1] == "autosam_inference":
            return "autosam_inference"
        return parts[2] if parts[2] != "__init__" else None
    return parts[0]


def _imported_modules(source: str) -> Iterator[str]:
    """Full names of what a source imports, at any depth; ``from a import b`` is ``a.b``."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide which room is meant"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _imported_rooms(source: str) -> set[str]:
    rooms = set()
    for module in _imported_modules(source):
        package, _, rest = module.partition(".")
        if package == "autosam_platform" and rest and not rest.startswith("__"):
            rooms.add(rest.partition(".")[0])
        elif package in {"autosam_models", "autosam_inference", "dashboard", "jobs"}:
            rooms.add(package)
        elif package == "benchmarks":  # jobs/benchmarks, as the jobs beside it see it
            rooms.add("jobs")
    return rooms


def _breaches(room: str, source: str) -> list[str]:
    return [other for other in sorted(_imported_rooms(source)) if other != room and _floor(other) >= _floor(room)]


def _source_files() -> list[Path]:
    folders = (*SOURCE_ROOTS, "jobs", "dashboard")
    return sorted(file for folder in folders for file in (ROOT / folder).rglob("*.py"))


@pytest.mark.parametrize("file", _source_files(), ids=lambda file: str(file.relative_to(ROOT)))
def test_a_room_imports_only_from_floors_below(file: Path) -> None:
    room = _room(file)
    source = file.read_text(encoding="utf-8")
    if room is None:
        assert not _imported_rooms(source), "the platform's __init__ would pull rooms into everybody"
    else:
        assert not _breaches(room, source), f"{file.relative_to(ROOT)} reaches up or sideways"


@pytest.mark.parametrize(
    ("room", "source", "breaches"),
    [
        ("data", "from autosam_platform.workspace import workspace", []),
        ("data", "from autosam_platform.data.store import Store", []),
        ("data", "from autosam_platform.training.loop import fit", ["training"]),
        ("data", "from autosam_platform import tracking", ["tracking"]),
        ("training", "def f():\n    import autosam_platform.pipeline", ["pipeline"]),
        ("autosam_models", "import autosam_inference.files as files", ["autosam_inference"]),
        ("jobs", "import dashboard.app", ["dashboard"]),
        ("dashboard", "from benchmarks.job import BenchmarkJob", ["jobs"]),
    ],
)
def test_the_floor_check_sees_breaches(room: str, source: str, breaches: list[str]) -> None:
    assert _breaches(room, source) == breaches


def _dashboard_breaches(room: str, source: str) -> list[str]:
    """What a file of ``dashboard/components/<room>/`` imports of the dashboard beyond its own room and those below."""
    ours = sorted(module for module in _imported_modules(source) if module.partition(".")[0] == "dashboard")
    allowed = {"components." + each for each in DASHBOARD_ROOMS[room] | {room}}
    return [module for module in ours if ".".join(module.split(".")[1:3]) not in allowed]


COMPONENTS = sorted((ROOT / "dashboard" / "components").rglob("*.py"))


@pytest.mark.parametrize("file", COMPONENTS, ids=lambda file: "/".join(file.parts[-2:]))
def test_a_room_of_the_dashboard_imports_only_from_rooms_below(file: Path) -> None:
    room = file.relative_to(ROOT / "dashboard" / "components").parts[0]
    assert room in DASHBOARD_ROOMS, f"give {file} a room of DASHBOARD_ROOMS"
    assert not _dashboard_breaches(room, file.read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("room", "source", "breaches"),
    [
        ("jobs", "from dashboard.components.record.tracking import runs", []),
        ("jobs", "from dashboard.components.jobs import forms", []),
        (
            "viewer",
            "from dashboard.components.charts import curve_charts",
            ["dashboard.components.charts.curve_charts"],
        ),
        ("base", "def f():\n    from dashboard.components import record", ["dashboard.components.record"]),
        ("jobs", "import dashboard.views.run", ["dashboard.views.run"]),
    ],
)
def test_the_check_of_the_dashboard_sees_breaches(room: str, source: str, breaches: list[str]) -> None:
    assert _dashboard_breaches(room, source) == breaches


def test_source_roots_are_no_packages() -> None:
    for root in SOURCE_ROOTS:
        assert (ROOT / root).is_dir()
        assert not (ROOT / root / "__init__.py").exists()
    assert not list((ROOT / "tests").rglob("__init__.py")), "tests are found by path, under unique names"


def test_the_dashboard_draws_without_torch() -> None:
    files = list((ROOT / "dashboard").rglob("*.py"))
    modules = {module for file in files for module in _imported_modules(file.read_text(encoding="utf-8"))}
    ours = sorted({module.rpartition(".")[0] for module in modules if module.startswith("autosam_platform.")})
    assert ours, "the dashboard reads through the platform"
    program = f"import sys, {', '.join(ours)}; print('torch' in sys.modules)"
    assert _python("-c", program, path=SOURCE_ROOTS).splitlines()[-1] == "False"


PROBE = "import platform; platform.python_version(); print(platform.__file__)"
STANDARD = Path(sysconfig.get_paths()["stdlib"]) / "platform.py"


def _python(*arguments: str, path: tuple[str, ...] = (), **settings: str) -> str:
    environment = {
        "PATH": "/usr/bin:/bin",
        "PYTHONPATH": ":".join(str(ROOT / each) for each in path),
    } | settings
    done = subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=HANG_S
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("path", [(), (".",), SOURCE_ROOTS, (".", *SOURCE_ROOTS)], ids=str)
def test_python_finds_its_own_platform(path: tuple[str, ...]) -> None:
    """In the project's folder, with that folder and the source roots before the standard library."""
    assert Path(_python("-c", PROBE, path=path)).samefile(STANDARD)


def test_pytest_finds_pythons_own_platform(tmp_path: Path) -> None:
    """`python -m pytest` puts the project's folder on the path, its configuration adds the source roots."""
    probe = tmp_path / "test_probe.py"
    probe.write_text(f"def test_probe():\n    {PROBE}\n    import autosam_platform, autosam_models\n")
    configuration = str(ROOT / "pyproject.toml")
    output = _python("-m", "pytest", "-q", "-s", "-p", "no:cacheprovider", "-c", configuration, str(probe))
    assert str(STANDARD.resolve()) in {str(Path(line.strip(".")).resolve()) for line in output.splitlines()}


JOB = """
import _roots
import ray
from autosam_platform.cluster import connect

@ray.remote
def probe():
    import platform, autosam_models, autosam_platform
    platform.python_version()
    return platform.__file__

connect()
print(ray.get(probe.remote()))
"""


@pytest.fixture(scope="module")
def job_on_ray(ray_of_its_own: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """Last line of a job that starts Ray as every job does, nothing installed, and the home folder it had."""
    home = tmp_path_factory.mktemp("home")
    with tempfile.TemporaryDirectory(dir="/tmp", ignore_cleanup_errors=True) as short:  # for Ray's sockets
        settings = {"HOME": str(home), "AUTOSAM_WORKSPACE": str(home / "workspace"), "RAY_TMPDIR": short}
        yield _python("-c", JOB, path=("jobs",), **settings).splitlines()[-1], home


def test_a_ray_worker_finds_pythons_own_platform(job_on_ray: tuple[str, Path]) -> None:
    assert Path(job_on_ray[0]).samefile(STANDARD)


def test_a_local_job_leaves_rays_token_of_the_user_alone(job_on_ray: tuple[str, Path]) -> None:
    """With a token in ~/.ray, a later `ray start --head` would refuse a plain `ray job submit`."""
    _, home = job_on_ray
    assert not (home / ".ray").exists()
    assert (home / "workspace" / "ray" / "auth_token").exists()
