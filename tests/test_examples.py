"""The examples in docstrings say what the code does."""

import doctest
import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FILES = [
    file.relative_to(root)
    for root in (ROOT / "platform", ROOT / "models")
    for file in sorted(root.rglob("*.py"))
    if ">>> " in file.read_text(encoding="utf-8")
]


@pytest.mark.parametrize("file", FILES, ids=str)
def test_examples_come_out_as_written(file: Path) -> None:
    results = doctest.testmod(importlib.import_module(".".join(file.with_suffix("").parts)))
    assert results.attempted and not results.failed


def test_each_package_has_examples() -> None:
    assert {file.parts[0] for file in FILES} == {"autosam_inference", "autosam_models", "autosam_platform"}
