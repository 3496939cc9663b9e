"""A finished run as a bundle."""

import shutil
from pathlib import Path
from typing import Any

from autosam_inference.bundle.card import IR, LICENCE, ONNX, SCHEMA, WEIGHTS
from autosam_platform import __version__
from autosam_platform.export.conversion import write_networks
from autosam_platform.export.network import published_model
from autosam_platform.export.writing import write_bundle
from autosam_platform.workspace import RunFolder


def export_bundle(run: RunFolder, place: Path, licence: Path) -> None:
    """Write the bundle of a finished run to ``place``: a zip where it ends in ``.zip``, else a folder.

    Args:
        licence: text that the bundle is passed on under.

    Raises:
        ExportError: the network is one of our own, or something that is no bundle lies there.
        ModelFolderError: the run's model is damaged.
    """
    write_bundle(place, lambda folder: _fill(run, folder, licence))


def _fill(run: RunFolder, folder: Path, licence: Path) -> dict[str, Any]:
    model = published_model(run)
    for name in (WEIGHTS, LICENCE):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(run.weights, folder / WEIGHTS)
    shutil.copyfile(licence, folder / LICENCE)
    write_networks(model.network, run.card.patch, folder / ONNX, folder / IR)
    told = run.card.model_dump(mode="json", exclude={"split"})  # ids of cases stay in the lab
    return told | {"bundle_schema": SCHEMA, "written_by": __version__}
