"""One round of the kill loop: a preparation is killed, the same command ends with the same bits, nothing is left."""

import random
from pathlib import Path

import pytest
from kill_loop import prepare_scene, struck


@pytest.mark.usefixtures("ray_of_its_own")
def test_a_killed_preparation_ends_the_same_and_leaves_nothing(tmp_path: Path) -> None:
    scene, starts, expected = prepare_scene(["prepare"], tmp_path)
    assert len(expected["prepare"][0]) >= 6
    found = struck(
        "prepare", scene, starts["prepare"], tmp_path / "killed", expected["prepare"], "driver", random.Random(0)
    )
    assert found.victims == ["driver"] and found.starts == 2
    assert found.sound, found
