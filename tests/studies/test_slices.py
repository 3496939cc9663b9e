"""Which case is shown, and that errors are outlined and nothing else is."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.image import imread
from synthetic_scans import write_btcv

from autosam_platform.data.description import load_description
from autosam_platform.data.readers import find_cases
from autosam_platform.evaluation.table import Row
from autosam_platform.studies.slices import ERROR, Shown, save_slices, telling_case


def _row(case: str, dice: float) -> Row:
    return Row(case, 1, "liver", dice, dice, 2.0, 3.0, 1.0, 1.0)


def test_the_case_in_the_middle_of_all_systems_is_shown() -> None:
    one = [_row("a", 0.9), _row("b", 0.5), _row("c", 0.1), _row("d", 0.6)]
    other = [_row("a", 0.9), _row("b", 0.5), _row("c", 0.3)]
    assert telling_case({"one": one, "other": other}) == "b"  # means .9, .5, .2; d is of one system only
    with pytest.raises(ValueError, match="no case has a score with every system"):
        telling_case({"one": [_row("a", 1.0)], "other": [_row("b", 1.0)]})


def _yellow(path: Path) -> int:
    """Pixels of the colour of errors."""
    return int((np.abs(imread(path)[..., :3] - to_rgb(ERROR)).max(axis=-1) < 0.1).sum())


def test_only_errors_are_outlined_in_yellow(tmp_path: Path) -> None:
    description = load_description("btcv")
    case = find_cases(description, write_btcv(tmp_path / "raw", 1))[0]
    assert case.label is not None
    truth = nib.load(case.label)
    worse = np.roll(np.asarray(truth.dataobj), 3, axis=0)
    wrong = tmp_path / "wrong.nii.gz"
    nib.save(nib.Nifti1Image(worse, truth.affine), wrong)
    found = {}
    for name, prediction in (("right", case.label), ("wrong", wrong)):
        shown = Shown("BTCV", case, description, {"ours": prediction}, {"ours": 0.5})
        save_slices([tmp_path / f"{name}.png", tmp_path / f"{name}.svg"], [shown], "Figure 3")
        found[name] = _yellow(tmp_path / f"{name}.png")
    assert found["right"] == 0
    assert found["wrong"] > 50
    assert (tmp_path / "wrong.svg").read_text(encoding="utf-8").lstrip().startswith("<?xml")
