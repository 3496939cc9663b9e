"""A student leaves the lab: its files answer as torch does, and they say what somebody needs who was not there."""

import dataclasses
import json
import math
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from small_students import NAME, PATCH, small_student, write_other_evaluation

from autosam_inference import TrainedModel, predict, read_scan
from autosam_inference.bundle import Bundle
from autosam_inference.bundle.card import CARD, DATA_LICENCE, INFERENCE, METADATA, ONNX, README, WEIGHTS
from autosam_inference.bundle.contents import RuntimeParity
from autosam_platform.export.bundling import Export, export_bundle
from autosam_platform.export.network import ExportError, published_model
from autosam_platform.export.parity import require_parity
from autosam_platform.workspace import RunFolder, Workspace

LICENCE = Path(__file__).resolve().parents[2] / "LICENSE"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    student = small_student(tmp_path_factory.mktemp("workspace"))
    write_other_evaluation(student)
    return student


@pytest.fixture(scope="module")
def bundle(run: RunFolder, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    place = tmp_path_factory.mktemp("out") / "bundle"
    assert export_bundle(Export(run, LICENCE, parity_cases=1), place)
    return Bundle.load(place)


def text(bundle: Bundle, name: str) -> str:
    return bundle.read(name).decode()


def test_the_files_answer_as_torch_does(bundle: Bundle) -> None:
    """The figures of the export itself, on the files read back; whole scans among them."""
    parity = bundle.card.parity
    assert set(parity) == {"openvino", "onnx"}
    for each in parity.values():
        assert each.logits <= max(1e-3, 2e-4 * each.largest_logit) < 1 < each.largest_logit
        assert each.labels is not None and each.labels >= 0.999
        assert each.dice is not None and abs(each.dice) <= 0.1 and each.scans == 1
    assert parity["onnx"].format == "fp32"


def test_a_slim_student_leaves_as_it_is(tmp_path: Path) -> None:
    """Nothing is left out or padded wrongly where the network is another class's than the module's run."""
    slim = small_student(tmp_path, "unet_nano", dataset="phantom")
    assert export_bundle(Export(slim, LICENCE, parity_cases=1), tmp_path / "bundle")
    bundle = Bundle.load(tmp_path / "bundle")
    parity, warning = bundle.card.parity, str(bundle.card.warning)
    assert warning.startswith("Trained on synthetic scans alone, not for patients: model student-01234567, mean Dice ")
    assert f"**{warning}**" in text(bundle, README) and warning in json.loads(text(bundle, METADATA))["intended_use"]
    assert set(parity) == {"openvino", "onnx"}
    assert all(each.logits <= 1e-3 and each.labels is not None and each.labels >= 0.999 for each in parity.values())


@pytest.mark.parametrize("name", ["openvino", "onnx", "torch"])
def test_every_runtime_of_the_bundle_answers_as_the_run_does(
    bundle: Bundle, run: RunFolder, name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """Against our own class, which trained: another way than the export's own measure; and nothing is logged."""
    image_BCDHW = torch.rand(1, 1, *PATCH, generator=torch.Generator().manual_seed(3))
    network = TrainedModel.load(run.model, device="cpu").runtime.network  # type: ignore[attr-defined]
    with torch.inference_mode():
        expected = network(image_BCDHW).numpy()
    runtime = TrainedModel.load(bundle.place, runtime=name, device="cpu").runtime  # type: ignore[arg-type]
    found = torch.as_tensor(runtime.logits(image_BCDHW.numpy())).float().numpy()
    assert np.abs(found - expected).max() < (2e-4 if name == "onnx" else 0.02) * np.abs(expected).max()
    assert (found.argmax(1) == expected.argmax(1)).mean() >= 0.999
    assert "constant_folding" not in capfd.readouterr().err


def test_the_card_says_what_somebody_needs_who_was_not_there(bundle: Bundle, run: RunFolder) -> None:
    card = bundle.card
    assert (card.run_id, card.patch, card.spacing_xyz, card.hu_window) == (NAME, PATCH, (2.0, 2.0, 3.0), (-125, 275))
    assert card.codes["left kidney"].side is not None and card.codes["left kidney"].side.meaning == "Left"
    assert card.codes["liver"].kind.value == "10200004" and card.codes["liver"].kind.scheme == "SCT"
    assert card.training_data is not None and card.training_data.cases == {"train": 2, "val": 0, "test": 1}
    assert "Synapse" in card.training_data.licence
    assert card.lineage == {"teacher": "teacher-89abcdef", "lambda": "0.5"}
    assert card.data_fingerprint == "0123456789abcdef" and card.export_versions["openvino"]
    assert card.weights_hash == run.card.weights_hash
    assert bundle.read(WEIGHTS) == run.weights.read_bytes()
    assert card.scores is not None and card.scores.n_cases == 1
    liver, spleen, aorta = (card.scores.organs[name] for name in ("liver", "spleen", "aorta"))
    assert (liver.dice, liver.n, liver.not_found, liver.invented) == (0.0, 1, 1, 0)
    assert (spleen.dice, spleen.not_found, spleen.invented) == (0.0, 0, 1)
    assert (aorta.dice, aorta.lowest_dice, aorta.hd95_mm) == (0.9, 0.9, 3.0)
    (other,) = card.other_scores
    assert (other.dataset, other.n_cases, other.mean_dice, other.organs["liver"].n) == ("one_scan", 2, 0.5, 2)
    assert card.settings["training.seed"] == 0 and card.settings["model.name"] == "swin_unetr_tiny"
    assert card.warning is None, "BTCV is of patients"


def test_known_failures_are_said_in_words(bundle: Bundle) -> None:
    said = " ".join(bundle.card.known_failures)
    for sentence in (
        "liver: a mean Dice of 0.00 % in 1 test cases, too low to rely on.",
        "liver: not found in 1 of 1 test cases that show it.",
        "spleen: found in 1 of 1 test cases that do not show it.",
        "Its scores are of 1 cases only",
    ):
        assert sentence in said
        assert sentence in text(bundle, README)
    assert "aorta" not in said


def test_the_model_card_is_for_people(bundle: Bundle) -> None:
    told = text(bundle, README)
    for part in (
        "no medical device",
        "| 8 | aorta | 90.00 | 90.00 | 90.00 | 3.0 | 1 | 0 |",
        "autosam-predict BUNDLE SCAN.nii.gz --output FOLDER",
        "python -m monai.bundle run --config_file configs/inference.json",
        "- teacher: teacher-89abcdef",
        "### On one_scan, another dataset",
        "On 2 cases (test, fingerprint 0123abcd)",
        "| 6 | liver | 50.00 | 50.00 | 25.00 | 3.0 | 2 | 0 |",
        "- training.seed: 0",
    ):
        assert part in told
    assert "Synapse" in text(bundle, DATA_LICENCE)


def test_neither_patients_nor_this_machine_are_told(bundle: Bundle, run: RunFolder) -> None:
    told = b"".join(bundle.read(name) for name in bundle.card.files) + (bundle.place / CARD).read_bytes()
    for secret in ("SECRET-1", str(LICENCE.parent), str(run.folder.parents[1]), os.path.expanduser("~/")):
        assert secret.encode() not in told


REQUIRED = {
    *("schema", "version", "changelog", "monai_version", "pytorch_version", "numpy_version"),
    *("required_packages_version", "name", "task", "description", "authors", "copyright", "intended_use"),
    "network_data_format",
}
"""By MONAI's schema of metadata (meta_schema_20240725), by its specification, and ``intended_use``."""


def test_the_metadata_are_what_monai_asks_for(bundle: Bundle) -> None:
    told = json.loads(text(bundle, METADATA))
    assert told.keys() >= REQUIRED
    formats = told["network_data_format"]
    for tensor in (formats["inputs"]["image"], formats["outputs"]["pred"]):
        required = {"type", "format", "num_channels", "spatial_shape", "dtype", "value_range", "is_patch_data"}
        assert tensor.keys() >= required | {"channel_def"} and tensor["spatial_shape"] == list(PATCH)
    assert formats["inputs"]["image"]["value_range"] == [0.0, 1.0]
    assert formats["outputs"]["pred"]["channel_def"]["6"] == "liver"


def test_monai_asks_the_network_for_what_the_metadata_say(bundle: Bundle, tmp_path: Path) -> None:
    """MONAI raises where they disagree; that it looks is seen by metadata that say another number of classes."""
    from monai.bundle import verify_net_in_out

    config = str(bundle.place / INFERENCE)
    verify_net_in_out("network_def", device="cpu", meta_file=str(bundle.place / METADATA), config_file=config)
    told = json.loads(text(bundle, METADATA))
    told["network_data_format"]["outputs"]["pred"]["num_channels"] += 1
    (tmp_path / "metadata.json").write_text(json.dumps(told))
    with pytest.raises(ValueError, match="channel"):
        verify_net_in_out("network_def", device="cpu", meta_file=str(tmp_path / "metadata.json"), config_file=config)


def test_monai_alone_predicts_what_we_predict(bundle: Bundle, run: RunFolder, tmp_path: Path) -> None:
    """MONAI's loading, resampling, windows and saving, from the bundle's configuration; a file in LPS."""
    from monai.bundle import ConfigParser

    image, _ = run.evaluation().files("img0001")
    parser = ConfigParser(json.loads(text(bundle, INFERENCE)))
    parser.update({"image": str(image), "output_dir": str(tmp_path), "bundle_root": str(bundle.place)})
    parser["device"] = "$torch.device('cpu')"
    for part in ("initialize", "run", "finalize"):
        parser.get_parsed_content(part)
    (written,) = tmp_path.rglob("*.nii.gz")
    ours = predict(TrainedModel.load(bundle.place, runtime="onnx"), read_scan(image)).label_DHW
    theirs = read_scan(written).volume.array_DHW
    assert len(np.unique(ours)) > 3
    assert theirs.shape == ours.shape and (theirs == ours).mean() >= 0.999


def test_an_export_is_found_again_and_never_replaces_what_is_no_bundle(
    bundle: Bundle, run: RunFolder, tmp_path: Path
) -> None:
    before = (bundle.place / CARD).stat().st_mtime_ns
    assert not export_bundle(Export(run, LICENCE, parity_cases=1), bundle.place)
    assert (bundle.place / CARD).stat().st_mtime_ns == before
    for place in (tmp_path / "folder", tmp_path / "a.zip"):
        target = place if place.suffix else place / "notes.txt"
        target.parent.mkdir(exist_ok=True)
        target.write_text("mine")
        with pytest.raises(ExportError, match=r"is there and is no bundle, so it is not replaced"):
            export_bundle(Export(run, LICENCE), place)
        assert target.read_text() == "mine"
    (tmp_path / "link").symlink_to(bundle.place, target_is_directory=True)
    with pytest.raises(ExportError, match="is no bundle"):
        export_bundle(Export(run, LICENCE), tmp_path / "link")


def test_scores_that_came_later_make_another_bundle(run: RunFolder) -> None:
    """An evaluation on a real scan after an export is told by the next one, which is not found as done."""
    from autosam_platform.export.bundling import _made_from
    from autosam_platform.export.telling import scores

    before = _made_from(Export(run, LICENCE), scores(run))
    write_other_evaluation(run, "ours-00000002")
    later = _made_from(Export(run, LICENCE), scores(run))
    shutil.rmtree(run.evaluation("test", "ours-00000002").folder)
    assert later != before == _made_from(Export(run, LICENCE), scores(run))


def test_a_failed_export_leaves_nothing(run: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("autosam_platform.export.bundling.write_networks", full)
    for name in ("folder", "a.zip"):
        with pytest.raises(OSError, match="No space left"):
            export_bundle(Export(run, LICENCE), tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_what_was_never_evaluated_stays_unless_told(tmp_path: Path) -> None:
    run = small_student(tmp_path, evaluated=False)
    with pytest.raises(ExportError, match=r"never evaluated.*jobs/evaluate\.py --run student-01234567.*--allow-une"):
        export_bundle(Export(run, LICENCE), tmp_path / "bundle")
    assert not (tmp_path / "bundle").exists()


def test_a_teacher_stays_in_the_lab(tmp_path: Path) -> None:
    run = Workspace(tmp_path).run("teacher-01234567")
    from small_models import write_model

    from autosam_platform.data.description import load_description

    write_model(run.model, load_description("btcv"), (2.0, 2.0, 3.0))
    with pytest.raises(ExportError, match=r"is a teacher \(autosam_demo\).*distil a student from it"):
        published_model(run)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"logits": 0.01}, r"onnx .*logits differ by 0\.01 \(at most 0\.0018\)"),
        ({"logits": 0.0011, "largest_logit": 2.0}, r"logits differ by 0\.0011 \(at most 0\.001\)"),
        ({"logits": math.inf}, "logits differ by inf"),
        ({"labels": 0.998}, r"99\.80 % of the labels of 2 scans agree"),
        ({"dice": -0.2}, r"mean Dice differs by -0\.20 points"),
    ],
)
def test_files_that_answer_otherwise_are_no_bundle(changes: dict[str, float], message: str) -> None:
    sound = RuntimeParity(format="fp32", logits=1e-5, largest_logit=9.0, labels=0.9995, dice=0.05, scans=2)
    require_parity({"onnx": sound})
    with pytest.raises(ExportError, match=message):
        require_parity({"openvino": sound, "onnx": sound.model_copy(update=changes)})


def test_weights_of_another_network_are_seen_by_the_parity(bundle: Bundle, run: RunFolder) -> None:
    """The measure itself can fail: against a network whose last weights are another's."""
    from autosam_platform.export.parity import measured

    model = published_model(run)
    weights = load_file(run.weights)
    weights["network.out.conv.conv.bias"] += 0.5
    model.published.load(model.network.network, weights)
    found = measured(bundle.place, model.network, [])
    assert {name: round(each.logits, 2) for name, each in found.items()} == {"openvino": 0.5, "onnx": 0.5}
    assert dataclasses.is_dataclass(model) and bundle.read(ONNX)
