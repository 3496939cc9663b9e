"""A finished run as a bundle."""

import datetime
import importlib.metadata
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autosam_inference.bundle import Bundle, BundleCard, BundleError
from autosam_inference.bundle.card import DATA_LICENCE, INFERENCE, IR, LICENCE, METADATA, ONNX, README, SCHEMA, WEIGHTS
from autosam_inference.bundle.contents import Scores, codes_of
from autosam_inference.card import files_hash
from autosam_inference.files import content_hash, write_json, write_text
from autosam_inference.model import TrainedModel
from autosam_inference.quality.calibration import Calibration
from autosam_platform import __version__
from autosam_platform.export.conversion import write_networks
from autosam_platform.export.model_card import readme
from autosam_platform.export.monai_inference import inference
from autosam_platform.export.monai_metadata import metadata
from autosam_platform.export.network import ExportError, PublishedModel, published_model
from autosam_platform.export.parity import evaluated_cases, measured, require_parity
from autosam_platform.export.telling import known_failures, other_scores, scores, settings, training_data
from autosam_platform.export.writing import require_replaceable, seal, write_bundle
from autosam_platform.workspace import RunFolder

VERSION = 3  # raise it whenever the same run would give another bundle

Calibrate = Callable[[TrainedModel], Calibration]


@dataclass(frozen=True)
class Export:
    """What is exported, and how.

    Attributes:
        run: a finished one.
        licence: file with the text that the bundle is passed on under.
        allow_unevaluated: export a model of which nobody knows how good it is.
        parity_cases: test cases whose label maps are compared.
        calibrate: tells where not to trust the model; None leaves that out.
    """

    run: RunFolder
    licence: Path
    allow_unevaluated: bool = False
    parity_cases: int = 2
    calibrate: Calibrate | None = None


def export_bundle(export: Export, place: Path) -> bool:
    """Write the bundle to ``place``, a zip where it ends in ``.zip``, else a folder; False where it was there already.

    Raises:
        ExportError: the network is one of our own, was never evaluated, the files do not answer as torch does, or
            something that is no bundle lies there.
        ModelFolderError: the run's model is missing or damaged.
    """
    require_replaceable(place)
    told = scores(export.run)
    if told is None and not export.allow_unevaluated:
        raise ExportError(
            f"{export.run.name} was never evaluated on test cases, so nobody knows how good it is: python "
            f"jobs/evaluate.py --run {export.run.name}, or export it all the same with --allow-unevaluated."
        )
    made_from = _made_from(export, told)
    if _is_there(place, made_from):
        return False
    model = published_model(export.run)
    write_bundle(place, lambda folder: _fill(folder, export, model, told, made_from))
    return True


def _made_from(export: Export, told: Scores | None) -> str:
    run = export.run
    says = (training_data(run), told, *other_scores(run))
    parts = (VERSION, SCHEMA, __version__, files_hash(run.model), [each and each.model_dump() for each in says])
    return content_hash(*parts, export.licence, export.parity_cases, export.calibrate is not None, _versions())


def _is_there(place: Path, made_from: str) -> bool:
    try:
        return Bundle.load(place).card.made_from == made_from
    except BundleError:
        return False


def _fill(folder: Path, export: Export, model: PublishedModel, told: Scores | None, made_from: str) -> dict[str, Any]:
    """Write everything but the card, and give what that says."""
    run = export.run
    for name in (WEIGHTS, README):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(run.weights, folder / WEIGHTS)
    shutil.copyfile(export.licence, folder / LICENCE)
    card = _card(run, told, made_from)
    write_networks(model.network, card.patch, folder / ONNX, folder / IR)
    seal(folder, _plain(card))  # for a moment: whoever measures opens it as everybody does
    found = measured(folder, published_model(run).network, evaluated_cases(run.evaluation(), export.parity_cases))
    require_parity(found)
    changes: dict[str, Any] = {"parity": found}
    if export.calibrate is not None:
        changes["quality"] = export.calibrate(TrainedModel.load(folder))
    card = card.model_copy(update=changes)
    write_json(folder / METADATA, metadata(card))
    write_json(folder / INFERENCE, inference(card, model.published))
    write_text(folder / README, readme(card))
    assert card.training_data is not None
    write_text(folder / DATA_LICENCE, f"{card.training_data.title}: {card.training_data.licence}.\n")
    return _plain(card)


def _card(run: RunFolder, told: Scores | None, made_from: str) -> BundleCard:
    card, data, others = run.card, training_data(run), other_scores(run)
    return BundleCard.model_validate(
        card.model_dump(mode="json", exclude={"split"})  # ids of cases stay in the lab
        | {
            "bundle_schema": SCHEMA,
            "written_by": __version__,
            "written_on": datetime.date.today().isoformat(),
            "made_from": made_from,
            "codes": {each.name: codes_of(each.name) for each in card.classes},
            "training_data": data,
            "scores": told,
            "other_scores": others,
            "settings": settings(run),
            "known_failures": known_failures(card, told, data, others),
            "export_versions": _versions(),
            "files": {},
        }
    )


def _plain(card: BundleCard) -> dict[str, Any]:
    return card.model_dump(mode="json", exclude={"files", "split"})


def _versions() -> dict[str, str]:
    names = ("torch", "monai", "onnx", "onnxscript", "onnxruntime", "openvino", "numpy")
    found = {name: importlib.metadata.version(name) for name in names}
    return found | {"python": sys.version.split()[0]}
