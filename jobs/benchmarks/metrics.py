"""Dice, NSD and HD95 of 13 organs, against DeepMind's surface-distance; voxels of 0.8 × 0.8 × 3 mm."""

import numpy as np
import torch

from autosam_inference.card import LabelClass
from autosam_models.sizes import size_text
from autosam_platform.evaluation.metrics import case_metrics
from benchmarks.comparison import CLASSES, Row, best, compared, plain_module
from benchmarks.job import BenchmarkJob


def rows(job: BenchmarkJob, device: torch.device) -> list[Row]:
    """One row: all three metrics of one case, the difference that of the worst."""
    plain, size_DHW = plain_module("metrics_reference"), job.size_DHW or (150, 512, 512)
    spacing_DHW, classes = (3.0, 0.8, 0.8), [LabelClass(id=each, name=f"organ {each}") for each in range(1, CLASSES)]
    prediction_DHW, truth_DHW = plain.organ_maps(size_DHW, len(classes), seed=0)
    threads = torch.get_num_threads()
    ours = best(
        lambda: case_metrics(prediction_DHW, truth_DHW, spacing_DHW, classes, 2.0, threads=threads), device, job.repeats
    )
    theirs = best(
        lambda: plain.reference_metrics(prediction_DHW, truth_DHW, spacing_DHW, len(classes), 2.0), device, job.repeats
    )
    found = np.array([(each.dice, each.nsd, each.hd95_mm) for each in ours.result])
    difference = np.nanmax(np.abs(found - np.array(list(theirs.result.values()))))
    return [compared(f"Dice, NSD, HD95 of 13 organs, {size_text(size_DHW)}", ours, theirs, float(difference))]
