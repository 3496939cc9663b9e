"""No run is scored on cases that it was trained on, whatever came or went since, and under whatever name."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from small_cards import small_card
from synthetic_scans import make_scan, write_btcv_case, write_nifti

from autosam_platform.data import preparation
from autosam_platform.data.description import DatasetDescription, load_description
from autosam_platform.data.preparation import Preparation, PreparedDataset, prepare
from autosam_platform.experiment import ConfigError, Experiment
from autosam_platform.pipeline import comparing, steps
from autosam_platform.pipeline.steps import evaluated, require_unseen
from autosam_platform.workspace import RunFolder, Workspace

PARTS = [{"split": "train", "cases": 3}, {"split": "val", "cases": 1}, {"split": "test", "cases": 2}]
IN_ORDER = {"rule": "in_order", "parts": PARTS}
FOLDS = {"rule": "folds", "folds": 3}
ALL_TEST = {"rule": "every_case", "splits": ["test"]}


@pytest.fixture(autouse=True)
def _without_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preparation, "map_tasks", lambda function, items, **_: [function(each) for each in items])


def _prepared(place: Path, *numbers: int, **changes: object) -> PreparedDataset:
    """BTCV's description, changed, of scans in ``place`` with these numbers alone."""
    for path in place.glob("raw/*/*.nii.gz"):
        path.unlink()
    for number in numbers:
        write_btcv_case(place / "raw", number, make_scan(number))
    return _described(place, place / "raw", **changes)


def _described(place: Path, root: Path, **changes: object) -> PreparedDataset:
    fields = load_description("btcv").model_dump(mode="json") | {"name": "ours", "split": IN_ORDER} | changes
    settings = Preparation(spacing_xyz=(2.0, 2.0, 2.0))
    return prepare(DatasetDescription.model_validate(fields), root, settings, Workspace(place))


def _trained(place: Path, dataset: PreparedDataset, name: str = "ours-1", **settings: Any) -> RunFolder:
    """A run that says it was trained on the dataset as it is."""
    split = {part: [case.case_id for case in dataset.cases(part)] for part in ("train", "val", "test")}
    card = small_card(dataset.classes, dataset="ours", data_fingerprint=dataset.fingerprint, split=split)
    run = Workspace(place).run(name)
    run.model.mkdir(parents=True)
    run.model_card.write_text(card.model_dump_json(exclude_none=True))
    run.write_experiment(Experiment.model_validate({"dataset": {"name": "btcv", "root": str(place)}} | settings))
    return run


def test_scans_that_went_move_trained_cases_among_the_test_cases(tmp_path: Path) -> None:
    run = _trained(tmp_path, _prepared(tmp_path, 1, 2, 3, 4, 5, 6))
    now = _prepared(tmp_path, 1, 2, 3, 4)
    assert [case.case_id for case in now.cases("test")] == ["img0004"], "which validated"
    with pytest.raises(ConfigError, match=r"ours-1 was trained on, or .*, 1 of the 1 test cases .*: img0004\. .*score"):
        require_unseen(run, now, "test")
    with pytest.raises(ConfigError, match=r"ours-1 was trained on 1 of the 1 val cases .*: img0003\. .*case_pattern"):
        require_unseen(run, now, "val")
    require_unseen(run, now, "train")


def test_scans_that_came_deal_other_folds(tmp_path: Path) -> None:
    run = _trained(tmp_path, _prepared(tmp_path, *range(1, 7), split=FOLDS))
    now = _prepared(tmp_path, *range(1, 13), split=FOLDS)
    learnt = {*run.card.split["train"], *run.card.split["val"]}
    seen = sorted(case.case_id for case in now.cases("test") if case.case_id in learnt)
    assert seen
    with pytest.raises(ConfigError, match=", ".join(seen)):
        require_unseen(run, now, "test")


@pytest.mark.parametrize("numbers", [(1, 2, 3, 4, 5, 6), (1, 2, 3, 4, 6)], ids=["as it was", "a test case less"])
def test_cases_that_are_where_they_were_are_scored(tmp_path: Path, numbers: tuple[int, ...]) -> None:
    run = _trained(tmp_path, _prepared(tmp_path, 1, 2, 3, 4, 5, 6))
    parts = [*PARTS[:2], {"split": "test", "cases": len(numbers) - 4}]
    now = _prepared(tmp_path, *numbers, split={"rule": "in_order", "parts": parts})
    for split in ("train", "val", "test"):
        require_unseen(run, now, split)  # type: ignore[arg-type]


def test_renamed_scans_are_known_again(tmp_path: Path) -> None:
    run = _trained(tmp_path, _prepared(tmp_path, 1, 2, 3, 4, 5, 6))
    for path in (tmp_path / "raw").glob("*/*0001.nii.gz"):
        path.rename(path.with_name(path.name.replace("0001", "0099")))
    with pytest.raises(ConfigError, match=r"1 of the 2 test cases .*: img0099 \(its img0001\)"):
        require_unseen(run, _described(tmp_path, tmp_path / "raw"), "test")


def test_what_is_trained_and_tested_on_one_scan_stays_so(tmp_path: Path) -> None:
    """As the recipe one_scan: on purpose, and as well after its label was corrected."""
    both = {"rule": "every_case", "splits": ["train", "test"]}
    run = _trained(tmp_path, _prepared(tmp_path, 1, split=both))
    label = make_scan(1).label_xyz
    label[label == 1] = 0
    write_nifti(tmp_path / "raw/labelsTr/label0001.nii.gz", label, make_scan(1).affine)
    now = _described(tmp_path, tmp_path / "raw", split=both)
    assert now.fingerprint != run.card.data_fingerprint
    require_unseen(run, now, "test")
    with pytest.raises(ConfigError, match="img0001"):
        require_unseen(run, _described(tmp_path, tmp_path / "raw", name="other", split=ALL_TEST), "test", "other-1")


@pytest.mark.parametrize("changes", [{}, {"hu_window": [-200, 300]}], ids=["alike", "other window"])
def test_another_description_of_the_same_scans_is_no_other_dataset(tmp_path: Path, changes: dict[str, object]) -> None:
    run = _trained(tmp_path, _prepared(tmp_path, 1, 2, 3, 4, 5, 6))
    for number in (1, 5, 9):  # trained on, tested on, never seen; in other files under other names
        scan = make_scan(number)
        write_nifti(tmp_path / f"copy/images/p{number}.nii.gz", scan.image_xyz, scan.affine, "LPS")
        write_nifti(tmp_path / f"copy/labels/p{number}.nii.gz", scan.label_xyz, scan.affine, "LPS")
    other = {"name": "other", "layout": "pairs", "split": ALL_TEST} | changes
    with pytest.raises(
        ConfigError, match=r"1 of the 3 test cases that other has now: p1 \(its img0001\)\. .*take them"
    ):
        require_unseen(run, _described(tmp_path, tmp_path / "copy", **other), "test", "other-1")
    require_unseen(run, _described(tmp_path, tmp_path / "copy", **other, case_pattern="p[59]"), "test", "other-1")


def test_names_of_another_dataset_say_nothing(tmp_path: Path) -> None:
    run = _trained(tmp_path, _prepared(tmp_path, 1, 2, 3, 4, 5, 6))
    write_btcv_case(tmp_path / "theirs", 1, make_scan(99))
    require_unseen(run, _described(tmp_path, tmp_path / "theirs", split=ALL_TEST), "test", "ours-2")


def test_where_the_runs_cases_are_gone_it_is_said_and_names_still_count(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = _prepared(tmp_path, 1, 2, 3, 4, 5, 6)
    run = _trained(tmp_path, before)
    other = _described(tmp_path, tmp_path / "raw", name="other", split=ALL_TEST)
    before.manifest.unlink()
    require_unseen(run, other, "test", "other-1")
    assert "note: ours-1's own cases are not prepared any more" in capsys.readouterr().out
    with pytest.raises(ConfigError, match="img0004"):
        require_unseen(run, _prepared(tmp_path, 1, 2, 3, 4), "test")


def test_a_model_that_was_not_trained_has_seen_nothing(tmp_path: Path) -> None:
    sam = {"name": "sam_vit_b", "patch_DHW": (1, 64, 64)}
    run = _trained(tmp_path, _prepared(tmp_path, 1, 2, 3, 4, 5, 6), model=sam)
    assert run.experiment.untuned
    require_unseen(run, _prepared(tmp_path, 1, 2, 3, 4), "test")


def _never(*_: object, **__: object) -> None:
    raise AssertionError("nothing is evaluated")


@pytest.mark.parametrize("evaluate", ["one run", "against another"])
def test_it_is_refused_before_any_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, evaluate: str) -> None:
    before = _prepared(tmp_path, 1, 2, 3, 4, 5, 6)
    runs = [_trained(tmp_path, before, name) for name in ("ours-1", "ours-2")]
    now = _prepared(tmp_path, 1, 2, 3, 4)
    monkeypatch.setattr(steps, "evaluate_cases", _never)
    monkeypatch.setattr(comparing, "evaluated", _never)
    monkeypatch.setattr(comparing, "dataset_to_evaluate", lambda *_: (now, None))
    calls: dict[str, Callable[[], object]] = {
        "one run": lambda: evaluated(runs[0], now, "test"),
        "against another": lambda: comparing.compared([(runs[0], runs[1])], comparing.Tested("test")),
    }
    with pytest.raises(ConfigError, match="ours-1 was trained on"):
        calls[evaluate]()
    assert not runs[0].evaluation().folder.exists()
