"""The repository's own files: pins, the cluster, the commands of the README."""

import ast
import copy
import functools
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from ray.autoscaler._private.util import prepare_config, validate_config

from autosam_inference.included import FOLDER, included_model

ROOT = Path(__file__).resolve().parents[1]
OURS = {
    "autosam_inference",
    "autosam_models",
    "autosam_platform",
    "dashboard",
    "jobs",
    "_roots",
    "benchmarks",
}


def _project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def _requirements() -> list[Requirement]:
    """Of the base and of every extra, without those that name another extra of this project."""
    project = _project()
    extras = project["optional-dependencies"].values()
    found = [Requirement(line) for lines in (project["dependencies"], *extras) for line in lines]
    return [each for each in found if each.name != project["name"]]


@functools.cache
def _required(*extras: str) -> set[str]:
    """Names of what is installed with the base and these extras, and with the extras that they name."""
    project = _project()
    lines = [*project["dependencies"], *(line for each in extras for line in project["optional-dependencies"][each])]
    wanted = [Requirement(line) for line in lines]
    further = [_required(*each.extras) for each in wanted if each.name == project["name"]]
    return {canonicalize_name(each.name) for each in wanted}.union(*further)


def _pins() -> dict[str, Requirement]:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [Requirement(line) for line in lines if line and not line.startswith("#")]
    return {canonicalize_name(pin.name): pin for pin in pins}


def test_every_pin_is_one_exact_public_version() -> None:
    for pin in _pins().values():
        (version,) = pin.specifier
        assert version.operator == "==", f"{pin} is no exact version"
        assert "+" not in version.version and "*" not in version.version, f"{pin} is not to be had everywhere"
        assert pin.url is None


@pytest.mark.parametrize("requirement", _requirements(), ids=str)
def test_every_requirement_is_pinned_within_its_range(requirement: Requirement) -> None:
    pin = _pins()[canonicalize_name(requirement.name)]
    assert requirement.specifier.contains(next(iter(pin.specifier)).version)


def test_no_docstring_begins_with_the_same() -> None:
    """Whoever jumps to a definition reads its docstring alone: "the same" as what?"""
    for root in ("platform", "models", "jobs", "dashboard"):
        for file in (ROOT / root).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                # An expression that is a string is a docstring, of a setting too.
                if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
                    told = str(node.value.value).strip()
                    assert not told.startswith("The same"), f"{file}:{node.lineno}: {told.splitlines()[0]}"


EXTRAS = {
    "platform/autosam_inference": (),
    "platform/autosam_inference/runtimes/pytorch.py": ("train",),
    "platform/autosam_inference/runtimes/onnx.py": ("onnx",),
    "platform/autosam_platform": ("train",),
    "models": ("train",),
    "jobs": ("train",),
    "dashboard": ("dashboard",),
}
"""With which extras a part of the project works; of parts that hold one another, the inner one says it."""


def _extras(file: Path) -> tuple[str, ...]:
    place = file.relative_to(ROOT)
    return EXTRAS[max((each for each in EXTRAS if place.is_relative_to(each)), key=len)]


def test_every_package_imported_is_required() -> None:
    """What comes along with another package today need not come along tomorrow."""
    providers = packages_distributions()
    for root in ("platform", "models", "jobs", "dashboard"):
        for file in (ROOT / root).rglob("*.py"):
            extras = _extras(file)
            for name in _imports(file) - OURS - sys.stdlib_module_names:
                offered = {canonicalize_name(each) for each in providers.get(name, [])}
                told = f"the base and {extras}" if extras else "the base"
                assert _required(*extras) & offered, f"{file} imports {name}, which {told} does not install"


def test_nothing_is_required_twice() -> None:
    base = _required()
    for extra, lines in _project()["optional-dependencies"].items():
        again = base & {canonicalize_name(Requirement(line).name) for line in lines}
        assert not again, f"[{extra}] repeats {again} of the base"


def test_dev_is_everything() -> None:
    everything = {canonicalize_name(each.name) for each in _requirements()}
    assert everything <= _required("dev")


def _imports(file: Path) -> set[str]:
    nodes = list(ast.walk(ast.parse(file.read_text(encoding="utf-8"))))
    plain = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    members = {node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module}
    return {name.partition(".")[0] for name in plain | members}


def _cluster() -> dict[str, Any]:
    return yaml.safe_load((ROOT / "ray_cluster.yaml").read_text(encoding="utf-8"))


def test_the_cluster_is_what_rays_schema_asks_for() -> None:
    assert validate_config(prepare_config(_cluster())) is None  # it raises what the next test expects


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"max_workers": "two"}, "'two' is not of type"),
        ({"idle_minutes": 5}, "'idle_minutes' was unexpected"),
    ],
)
def test_the_schema_refuses_what_is_wrong(change: dict[str, Any], message: str) -> None:
    with pytest.raises(jsonschema.ValidationError, match=message):
        validate_config(prepare_config(_cluster() | change))


def test_the_cluster_grows_from_no_gpu_nodes() -> None:
    cluster = _cluster()
    head, gpu = cluster["available_node_types"]["head"], cluster["available_node_types"]["a100"]
    assert cluster["head_node_type"] == "head"
    assert "GPU" not in head["resources"] and gpu["resources"]["GPU"] == 8
    assert gpu["min_workers"] == 0 < gpu["max_workers"] <= cluster["max_workers"]
    assert gpu["node_config"]["ImageId"] == head["node_config"]["ImageId"], "one image, one Python"


def test_every_node_has_the_project_the_workspace_and_the_token() -> None:
    cluster = prepare_config(copy.deepcopy(_cluster()))
    for kind in ("head", "worker"):
        setup = "\n".join(cluster[f"{kind}_setup_commands"])
        start = cluster[f"{kind}_start_ray_commands"][-1]
        assert "-c constraints.txt -e '.[train]'" in setup and "mount -t nfs4" in setup
        assert "RAY_AUTH_MODE=token" in start and "MLFLOW_TRACKING_URI=http://" in start
        assert "AUTOSAM_WORKSPACE=/shared/" in start
    assert cluster["file_mounts"]["/home/ubuntu/.ray/auth_token"] == "~/.ray/auth_token"


def test_the_clusters_commands_are_shell() -> None:
    cluster = prepare_config(copy.deepcopy(_cluster()))
    commands = [each for key, value in cluster.items() if key.endswith("_commands") for each in value]
    assert len(commands) > 10
    for command in commands:
        done = subprocess.run(["bash", "-n", "-c", command], capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{command}: {done.stderr}"


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
@pytest.mark.parametrize(
    ("python", "message"), [("", "No python3 found"), ("/bin/false", "needs Python 3.11, 3.12 or 3.13")]
)
def test_set_up_says_which_python_is_missing(tmp_path: Path, python: str, message: str) -> None:
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path)
    done = subprocess.run(
        ["make", "setup", f"SYSTEM_PYTHON={python}"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert message in done.stderr
    assert not (tmp_path / ".venv").exists()


def _tracked() -> list[Path]:
    """Files of the repository; where it was copied without its history, nothing is known of them."""
    done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip("this copy is no git repository")
    return [ROOT / name for name in done.stdout.split("\0") if name and (ROOT / name).is_file()]


def test_nothing_large_is_in_the_repository_but_one_model() -> None:
    large = {file: file.stat().st_size for file in _tracked() if file.stat().st_size > 1_000_000}
    models = [file for file in _tracked() if file.suffix == ".zip"]
    assert models == [place for place in [included_model()] if place in models] and set(large) <= set(models)
    assert all(size <= 10_000_000 for size in large.values())


def test_the_included_model_is_part_of_the_base() -> None:
    """`autosam_inference` is what every install has; git leaves the model's bytes as they are."""
    data = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]["package-data"]
    place = FOLDER / "any.zip"
    assert FOLDER.parent.name == "autosam_inference" and any(map(place.match, data["autosam_inference.included"]))
    asked = ["git", "check-attr", "text", "diff", "--", str(place)]
    said = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, check=False)
    assert said.returncode or [line.rpartition(": ")[2] for line in said.stdout.splitlines()] == ["unset", "unset"]


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_one_command_makes_the_included_model() -> None:
    # A make that another make started (`make test`) says which folder it enters.
    asked = ["make", "-n", "--no-print-directory", "-o", ".venv/.set-up", "included-model"]
    done = subprocess.run([*asked, "REAL=/a b"], cwd=ROOT, capture_output=True, text=True, check=True)
    place = FOLDER.relative_to(ROOT) / "torso_student.zip"
    name = yaml.safe_load((ROOT / "jobs" / "recipes" / "torso_student.yaml").read_text(encoding="utf-8"))["name"]
    steps = [
        "jobs/distill_student.py --recipe torso_student",
        f'jobs/evaluate.py --run "{name}" --dataset one_scan --root "/a b"',
        f'jobs/export.py --run "{name}" --output {place}',
    ]
    assert [line.split(" ", 1)[1] for line in done.stdout.splitlines()] == steps
    done = subprocess.run([*asked, "RUN=torso-1"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "evaluate" not in done.stdout and '--run "torso-1" --output' in done.stdout


HADOLINT = shutil.which("hadolint", path=str(Path(sys.executable).parent))


def _hadolint(file: Path) -> subprocess.CompletedProcess[str]:
    assert HADOLINT is not None
    return subprocess.run([HADOLINT, str(file)], capture_output=True, text=True, check=False)


@pytest.mark.skipif(HADOLINT is None, reason="hadolint is not installed")
def test_the_linter_finds_nothing_in_the_dockerfile(tmp_path: Path) -> None:
    done = _hadolint(ROOT / "Dockerfile")
    assert done.returncode == 0, done.stdout
    (tmp_path / "Dockerfile").write_text("FROM python\nRUN cd /x && pip install y\n")
    assert "DL3006" in _hadolint(tmp_path / "Dockerfile").stdout, "the linter finds faults"


def test_the_image_gets_what_pip_needs_and_nothing_else() -> None:
    """Every file that `pip install` of the source reads, and no scan, run or secret."""
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*"
    project = _project()
    needed = {"pyproject.toml", "constraints.txt", project["readme"], *project["license-files"], "platform", "models"}
    assert {rule.removeprefix("!") for rule in rules if rule.startswith("!")} == needed


def test_the_image_runs_as_nobody_and_without_a_shell() -> None:
    lines = (ROOT / "Dockerfile").read_text(encoding="utf-8").splitlines()
    assert "USER 10001:10001" in lines and 'ENTRYPOINT ["autosam-predict"]' in lines
