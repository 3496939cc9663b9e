"""From the section of an experiment to its dataset: phantoms in the number that is asked for."""

from pathlib import Path

import pytest

from autosam_platform.experiment import DatasetSection
from autosam_platform.pipeline.steps import prepared_dataset
from autosam_platform.workspace import workspace


def test_fewer_phantoms_are_the_first_ones_in_the_proportions_of_the_split(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ray_local: None
) -> None:
    monkeypatch.setenv("AUTOSAM_WORKSPACE", str(tmp_path))
    section = DatasetSection(name="phantom_amos", phantoms=6, spacing_xyz=(8.0, 8.0, 8.0))
    prepared = prepared_dataset(section)
    assert [len(prepared.cases(split)) for split in ("train", "val", "test")] == [4, 0, 2]  # of 64 and 32
    (made,) = workspace().dataset("").iterdir()
    images = sorted(path.name for path in (made / "imagesTr").iterdir())
    assert images == [f"img{number:04d}.nii.gz" for number in range(1, 7)]
