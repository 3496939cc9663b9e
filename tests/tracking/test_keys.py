"""Every name of a curve has a key that MLflow takes, and is read back from it."""

import random

import pytest
from mlflow.utils.validation import _validate_metric_name

from autosam_platform.tracking.keys import metric_key, metric_name


@pytest.mark.parametrize(
    "name",
    [
        "train/loss",
        "val/dice/right kidney",
        "val/dice/Milzläsion",
        "test/nsd/prostate/uterus",
        "a.b/.c/d..",
        "a: crop_x1024",
    ],
)
def test_a_name_that_mlflow_takes_is_its_own_key(name: str) -> None:
    _validate_metric_name(name)
    assert metric_key(name) == metric_name(name) == name


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("dice/lesion (benign)", "dice/lesion _x0028_benign_x0029_"),
        ("dice/artery & vein", "dice/artery _x0026_ vein"),
        ("dice/T12+L1", "dice/T12_x002B_L1"),
        ("dice/Leber, links", "dice/Leber_x002C_ links"),
        ("dice/a//b", "dice/a_x002F_/b"),
        ("dice//a/", "dice_x002F_/a_x002F_"),
        ("dice/", "dice_x002F_"),  # an organ without a name
        ("/a", "_x002F_a"),
        ("dice/../b/.", "dice/_x002E_./b/_x002E_"),
        ("dice/a\u0308", "dice/a_x0308_"),  # an ä in two characters, as some systems write it
        ("dice/\U0001f9b4", "dice/_x1F9B4_"),
        ("dice/_x0028_", "dice/_x005F_x0028_"),  # what would be read as a bracket
        ("dice/_x0028(", "dice/_x005F_x0028_x0028_"),
    ],
)
def test_what_mlflow_refuses_of_a_name_is_written_as_a_number(name: str, key: str) -> None:
    assert metric_key(name) == key
    _validate_metric_name(key)
    assert metric_name(key) == name


def test_no_two_names_have_one_key() -> None:
    """Names of all that has a meaning here, drawn at random."""
    draw = random.Random(0)
    for _ in range(20_000):
        name = "a" + "".join(draw.choices(["_", "x", "0028", "1F", "_x0028", "(", "/", ".", "a"], k=draw.randrange(9)))
        _validate_metric_name(metric_key(name))
        assert metric_name(metric_key(name)) == name
