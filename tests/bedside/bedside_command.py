"""The command in this process, with the smallest model, and what tests ask of its results."""

import json
from pathlib import Path

import numpy as np
import pytest
from dicom_factory import ct, ct_slices, write_series
from safetensors.numpy import load_file, save_file
from small_models import write_model
from synthetic_scans import make_scan, write_nifti

from autosam_inference.bedside.command import main
from autosam_platform.data.description import load_description


def small_model(folder: Path, seed: int = 0) -> Path:
    """A run's ``model/`` with random weights and BTCV's organs; a small scan is one window of 16³ voxels."""
    write_model(folder, load_description("btcv"), (4.0, 5.0, 3.0), seed)
    weights = load_file(folder / "model.safetensors")
    (bias,) = (each for each in weights if weights[each].shape == (14,))  # which sees background alone, untrained
    save_file(weights | {bias: np.zeros(14, np.float32)}, folder / "model.safetensors")
    return folder


def nifti(path: Path, seed: int = 0) -> Path:
    scan = make_scan(seed)
    return write_nifti(path, scan.image_xyz, scan.affine)


def series(folder: Path, seed: int = 0) -> tuple[Path, str]:
    """A DICOM series, and its UID."""
    slices = ct_slices(ct(seed))
    return write_series(folder, slices), str(slices[0].SeriesInstanceUID)


def run(*words: object) -> int:
    """Exit status of the command on one core, be it argparse's."""
    try:
        return main(["--threads", "1", *(str(each) for each in words)])
    except SystemExit as end:
        return int(end.code or 0)


def answer(capsys: pytest.CaptureFixture[str]) -> dict:
    """What ``--json`` said."""
    return json.loads(capsys.readouterr().out.splitlines()[-1])
