"""What overlap costs and brings: a run's test cases with each, against the paper's 0.75."""

import torch

from autosam_platform.evaluation.evaluate import evaluate_cases
from autosam_platform.evaluation.pictures import save_overlap_picture
from autosam_platform.experiment import ConfigError
from autosam_platform.pipeline.steps import finished_run, prepared_dataset, split_cases
from autosam_platform.workspace import EvaluationFolder, workspace
from benchmarks.comparison import Row
from benchmarks.job import BenchmarkJob

_OVERLAPS = (0.0, 0.25, 0.5, 0.75)


def rows(job: BenchmarkJob, device: torch.device) -> list[Row]:
    """A row for each overlap, and a picture beside the job's result."""
    run, picture = finished_run(job.run), job.result(device).with_suffix(".png")
    dataset = prepared_dataset(run.experiment.dataset)
    cases = split_cases(dataset, "test")
    if not cases:
        raise ConfigError(f"{dataset.name} has no test cases: name a run whose data has with --run")
    found = {}
    for overlap in _OVERLAPS:
        folder = EvaluationFolder(picture.parent / f"overlap-{run.name}" / f"{overlap:g}", workspace())
        found[overlap] = evaluate_cases(run.model, cases, dataset.description, folder, overlap=overlap)
    paper = found[_OVERLAPS[-1]]
    save_overlap_picture(picture, found, f"{run.name}: {paper.n_cases} test cases of {dataset.name}")
    return [
        Row(
            f"overlap {overlap:g}: Dice {each.mean_dice:.4f}, NSD {each.mean_nsd:.4f}",
            each.seconds_per_case["network"],
            paper.seconds_per_case["network"],
            None,
            None,
            abs(each.mean_dice - paper.mean_dice),
        )
        for overlap, each in found.items()
    ]
