"""What a benchmark can be told; needs no torch, so that jobs/benchmark.py answers about itself at once."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from autosam_inference.bounds import Overlap
from autosam_platform.command_line import CommandLine
from autosam_platform.experiment import Positive
from autosam_platform.workspace import workspace

if TYPE_CHECKING:
    import torch

Suite = Literal[
    "teacher", "window", "metrics", "loader", "train", "distillation", "overlap", "sources", "bedside", "quality"
]
"""Names of the modules beside this one that have a function ``rows``."""


class BenchmarkJob(CommandLine):
    """What is measured, on what."""

    suite: Annotated[Suite, tyro.conf.Positional] = "metrics"
    """Which part of the platform."""
    device: str | None = None
    """Such as cpu or cuda:1; a GPU where there is one. Metrics, loader and bedside run on the CPU."""
    model: str = "autosam_vit_b"
    """Model of the suites teacher and, without --run, distillation and bedside (a student there); `python -m
    autosam_models` lists them."""
    patch: Positive | None = None
    """Edge of the patch in voxels: of the teacher's forward pass (128), of a window (64), of a training patch (128)."""
    step_patch: Positive | None = None
    """Edge of the patch of the teacher's training step; 128 on a GPU, 64 on a CPU, whose memory is too small for it."""
    size_DHW: tuple[Positive, Positive, Positive] | None = None
    """Voxels of the scan of the suites window and bedside (300 512 512) and metrics (150 512 512)."""
    overlap: Overlap = 0.25
    """Share that windows have in common, in the suites window and bedside."""
    run: str | None = None
    """Name or folder of a finished run, for the suites overlap (the newest where none is given) and distillation; a
    bundle for the suite bedside."""
    recipe: str = "demo"
    """A recipe by its name, or a YAML file, whose steps are measured in the suite train."""
    steps: Positive = 50
    """Steps of the suite train."""
    synthetic: bool = False
    """Random voxels in place of the recipe's scans in the suite train: what the network alone can do here."""
    cases: Positive = 12
    """Cases to calibrate on and cases to test on, in the quality suite: new phantoms where the run's are, else the
    dataset's own; ten scans are predicted of each."""
    repeats: Positive = 1
    """How often each is measured in the suites teacher, window and metrics (the fastest counts), and distillation
    (the median does); how many seeds are trained in the suite sources."""

    def result(self, device: "torch.device") -> Path:
        """Where the figures are kept."""
        return workspace().benchmark(f"{self.suite}-{device.type}")
