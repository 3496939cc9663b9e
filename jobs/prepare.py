"""Check and prepare a data set: one verdict per case (ok, fixed, rejected, with the reason), then the patch store.

Examples:
    python jobs/prepare.py                                        the phantoms of the demo
    python jobs/prepare.py --recipe btcv --dataset.root FOLDER
"""

import sys

from _roots import RECIPES

from autosam_platform.command_line import Job, parse_job
from autosam_platform.pipeline.ending import Outcome, run_job


def main() -> None:
    job = parse_job(sys.argv[1:], RECIPES, description=__doc__)
    job.end_if_checked()

    run_job(lambda: _prepare(job), job)


def _prepare(job: Job) -> Outcome:
    from autosam_platform.evaluation.contact_sheet import write_contact_sheet
    from autosam_platform.pipeline.steps import prepared_dataset

    dataset = prepared_dataset(job.dataset)
    sheet = write_contact_sheet(dataset)
    print(f"Look at the data before training: {sheet}", flush=True)
    dataset.require_complete(allow_rejected=job.dataset.allow_rejected)
    cases = {split: len(dataset.cases(split)) for split in ("train", "val", "test")}
    verdicts = {each.case_id: each.status for each in dataset.verdicts}
    left_out = {each.name: each.reason for each in dataset.left_out}
    found = {"verdicts": verdicts, "left_out": left_out, "notes": list(dataset.notes)}
    return Outcome(dataset.folder, {"fingerprint": dataset.fingerprint, "cases": cases, "sheet": str(sheet)} | found)


if __name__ == "__main__":
    main()
