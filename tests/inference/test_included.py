"""The model that comes with the project: where it is looked for, by which word, and what is said of it."""

from pathlib import Path
from typing import Any

import pytest
from small_bundles import SYNTHETIC, WARNING, bare_bundle
from small_cards import organs, small_card

from autosam_inference import included
from autosam_inference.bundle import Bundle, BundleCard, BundleError
from autosam_inference.bundle.card import SCHEMA
from autosam_inference.included import INCLUDED, included_model, named_included


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where it is looked for, in the place of the project's own folder."""
    place = tmp_path / "Paket 1" / "included"
    place.mkdir(parents=True)
    monkeypatch.setattr(included, "FOLDER", place)
    return place


def test_one_is_found_and_none_is_none(folder: Path) -> None:
    assert included_model() is None and named_included(INCLUDED) is None
    (folder / "__init__.py").touch()
    (folder / ".0a1b2c3d.tmp-small.zip").touch()  # what an export leaves that is killed
    assert included_model() is None
    place = bare_bundle(folder / "small.zip")
    assert included_model() == place == named_included(INCLUDED)
    assert named_included("small") is None and named_included("") is None


def test_of_two_none_is_guessed(folder: Path) -> None:
    for name in ("a.zip", "b.zip"):
        (folder / name).touch()
    with pytest.raises(BundleError, match=r"holds 2 models \(a\.zip, b\.zip\).*remove"):
        included_model()


@pytest.mark.parametrize("file", ["configs/card.json", "model.json"])
def test_a_model_here_that_is_called_by_the_word_is_not_passed_over(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str
) -> None:
    """The word meant it before a model came with the project; the whole path still does."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / INCLUDED / file).parent.mkdir(parents=True)
    (tmp_path / INCLUDED / file).touch()
    assert named_included(INCLUDED) is None, "there is no other"
    bare_bundle(folder / "small.zip")
    with pytest.raises(BundleError, match=r"'included' is the model that comes .* whole path"):
        named_included(INCLUDED)
    assert named_included(str(tmp_path / INCLUDED)) is None


def card(**changes: Any) -> BundleCard:
    plain = small_card(organs(3)).model_dump(mode="json")
    told = {"bundle_schema": SCHEMA, "written_by": "0.0.0", "files": {}} | SYNTHETIC | changes
    return BundleCard.model_validate(plain | told)


def other(**changes: Any) -> dict[str, Any]:
    return SYNTHETIC["other_scores"][0] | changes


def test_what_it_is_is_said_in_a_line() -> None:
    assert card().warning == WARNING
    assert card().short_warning == WARNING.partition(":")[0]
    assert len(str(card().short_warning)) <= 64, "DICOM has no more for a description"


@pytest.mark.parametrize(
    ("changes", "ending"),
    [
        ({"other_scores": []}, "87.50 % on 20 synthetic test cases, never tried on a scan of a patient."),
        ({"other_scores": [other(synthetic=True)]}, "on 20 synthetic test cases, never tried on a scan of a patient."),
        ({"other_scores": [other(synthetic=None, n_cases=2, dataset="ours")]}, "mean Dice 62.50 % on 2 scans (ours)."),
        ({"other_scores": [other(mean_dice=None)]}, "mean Dice unknown on 1 real scan (one_scan)."),
        ({"scores": None}, "never evaluated on synthetic test cases, mean Dice 62.50 % on 1 real scan (one_scan)."),
    ],
)
def test_the_line_follows_from_the_card(changes: dict[str, Any], ending: str) -> None:
    assert str(card(**changes).warning).endswith(ending)


def test_other_models_need_no_warning() -> None:
    """That of a run, whose card has no training data; and one of scans that are not told to be synthetic."""
    assert small_card(organs(3)).warning is small_card(organs(3)).short_warning is None
    for data in (None, SYNTHETIC["training_data"] | {"synthetic": False}):
        assert card(training_data=data).warning is card(training_data=data).short_warning is None


def test_a_bundle_of_the_schema_before_is_read(tmp_path: Path) -> None:
    data = {name: value for name, value in SYNTHETIC["training_data"].items() if name != "synthetic"}
    old = bare_bundle(tmp_path / "old.zip", bundle_schema=1, training_data=data)
    read = Bundle.load(old).card
    assert read.training_data is not None and not read.training_data.synthetic
    assert read.other_scores == () and read.settings == {} and read.warning is None


@pytest.mark.skipif(included_model() is None, reason="no model comes with this version")
def test_the_one_that_comes_with_the_project_is_small_and_tells_all() -> None:
    place = included_model()
    assert place is not None and place.stat().st_size <= 10_000_000
    told = Bundle.load(place).card  # every file is compared with its hash
    assert told.bundle_schema == SCHEMA and told.weights_hash and told.made_from and "training.seed" in told.settings
    assert "teacher" in told.lineage and told.quality is not None
    assert told.scores is not None and told.scores.n_cases >= 20 and set(told.parity) == {"openvino", "onnx"}
    assert any(each.synthetic is False for each in told.other_scores), "tried on a real scan"
    assert told.warning is not None and "real scan" in told.warning
