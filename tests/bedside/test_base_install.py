"""What a clinic installs: the wheel without extras, in an environment of its own, made as docs/bedside.md says."""

import json
import shutil
import subprocess
import sys
from importlib.metadata import distributions
from pathlib import Path

import pytest
from dicom_factory import ct_slices, write_series
from small_bundles import SYNTHETIC, WARNING, small_bundle

from autosam_inference.included import FOLDER

ROOT = Path(__file__).resolve().parents[2]
LIMIT_MB = 400
ABSENT = {"torch", "ray", "monai", "streamlit", "scipy", "matplotlib", "pandas", "mlflow", "onnxruntime"}
OF_EXTRAS = {"autosam_inference.runtimes.pytorch": "torch", "autosam_inference.runtimes.onnx": "onnxruntime"}
"""Modules that an extra is for, and the package that they miss."""

PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check"]

IMPORTS = """
import importlib, json, pkgutil
import autosam_inference
missing = {}
for module in pkgutil.walk_packages(autosam_inference.__path__, "autosam_inference."):
    if not module.name.endswith("__main__"):
        try:
            importlib.import_module(module.name)
        except ModuleNotFoundError as error:
            missing[module.name] = error.name
print(json.dumps(missing))
"""


def _run(command: list[str], folder: Path) -> str:
    """What a command says; it sees neither this checkout nor this environment."""
    settings = {"PATH": "/usr/bin:/bin", "HOME": str(folder)}
    done = subprocess.run(command, cwd=folder, env=settings, capture_output=True, text=True, check=False, timeout=1500)
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The distribution, built of a copy, since building leaves things beside its source; a stand-in is included."""
    source, wheels = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheels")
    ignored = shutil.ignore_patterns("__pycache__", "*.egg-info", "*.zip")
    for name in ("platform", "models"):
        shutil.copytree(ROOT / name, source / name, ignore=ignored)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    small_bundle(source / FOLDER.relative_to(ROOT) / "small.zip", **SYNTHETIC)
    _pip("wheel", "--no-deps", "--wheel-dir", str(wheels), str(source))
    (built,) = wheels.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def base(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The environment's folder of programs."""
    environment = tmp_path_factory.mktemp("clinic") / "environment"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(environment)], check=True)
    python = str(environment / "bin" / "python")
    _pip("--python", python, "install", "--constraint", str(ROOT / "constraints.txt"), str(wheel))
    return environment / "bin"


def _pip(*arguments: str) -> str:
    done = subprocess.run([*PIP, *arguments], capture_output=True, text=True, check=False, timeout=3000)
    if done.returncode and not _an_index_answers():
        pytest.skip(f"the base cannot be installed here, since no package index answers: {done.stderr[-300:]}")
    assert done.returncode == 0, done.stderr
    return done.stdout


def _an_index_answers() -> bool:
    asked = subprocess.run([*PIP, "index", "versions", "filelock"], capture_output=True, check=False, timeout=600)
    return asked.returncode == 0


def _packages(base: Path) -> Path:
    (found,) = base.parent.glob("lib/python*/site-packages")
    return found


def test_it_is_small(base: Path) -> None:
    """Compiled files included, which pip makes; pip itself, which some environments hold, is not counted."""
    size_mb = sum(file.stat().st_size for file in _packages(base).rglob("*") if file.is_file()) / 1e6
    assert 100 < size_mb <= LIMIT_MB


def test_what_trains_is_not_there(base: Path) -> None:
    names = {each.name.lower() for each in distributions(path=[str(_packages(base))])}
    assert {"openvino", "autosam-adapter-platform"} <= names
    assert not ABSENT & names


def test_its_packages_agree(base: Path) -> None:
    assert "No broken requirements" in _pip("--python", str(base / "python"), "check")


def test_every_module_of_inference_is_imported(base: Path, tmp_path: Path) -> None:
    missing = json.loads(_run([str(base / "python"), "-I", "-c", IMPORTS], tmp_path).splitlines()[-1])
    assert missing == OF_EXTRAS


def test_the_command_is_there(base: Path, tmp_path: Path) -> None:
    assert "BUNDLE" in _run([str(base / "autosam-predict"), "--help"], tmp_path)


def test_a_bundle_and_a_dicom_series_come_to_label_maps(base: Path, tmp_path: Path) -> None:
    bundle = small_bundle(tmp_path / "student.zip")
    series = write_series(tmp_path / "series", ct_slices())
    words = [str(bundle), str(series), "--output", str(tmp_path / "found"), "--threads", "1"]
    _run([str(base / "autosam-predict"), *words], tmp_path)
    for pattern in ("*/*.nii.gz", "*/*.seg.dcm", "*/*.png", "summary.csv"):
        assert len(list((tmp_path / "found").glob(pattern))) == 1, pattern


def test_the_included_model_is_there(base: Path, tmp_path: Path) -> None:
    series = write_series(tmp_path / "series", ct_slices())
    words = ["included", str(series), "--output", str(tmp_path / "found"), "--threads", "1"]
    assert _run([str(base / "autosam-predict"), *words], tmp_path).splitlines()[0] == WARNING
    assert len(list((tmp_path / "found").glob("*/*.nii.gz"))) == 1
