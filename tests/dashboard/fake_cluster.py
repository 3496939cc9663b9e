"""A cluster that a test makes up: its jobs, and what pages send to it."""

import shlex
from collections.abc import Sequence
from datetime import UTC, datetime

import pytest

from dashboard.components.jobs import ray_jobs, run_jobs
from dashboard.components.jobs.ray_jobs import Submitted


class FakeCluster:
    """Stands in the place of ``ray_jobs.submitted``, and takes what is submitted."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.jobs: list[Submitted] = []
        self.sent: list[list[str]] = []
        patch.setattr(ray_jobs, "cluster", lambda: "http://127.0.0.1:9")
        patch.setattr(ray_jobs, "submitted", self)
        patch.setattr(ray_jobs, "submit", self._submit)
        patch.setattr(ray_jobs, "log_of", lambda address, job_id: f"what {job_id} printed")
        patch.setattr(run_jobs, "checked_settings", lambda kind, arguments: {})

    def __call__(self, address: str) -> list[Submitted]:
        return self.jobs

    def clear(self) -> None:
        """Nothing is cached."""

    def add(self, kind: str, arguments: Sequence[str], state: str = "RUNNING") -> Submitted:
        """A job that somebody has sent."""
        job_id, command = f"raysubmit_{len(self.jobs)}", shlex.join(["python", f"jobs/{kind}.py", *arguments])
        job = Submitted(job_id, "01000000", kind, state, command, datetime.now(UTC), None, "")
        self.jobs.insert(0, job)
        return job

    def _submit(self, address: str, kind: str, arguments: Sequence[str]) -> str:
        self.sent.append([kind, *arguments])
        return self.add(kind, arguments, "PENDING").job_id
