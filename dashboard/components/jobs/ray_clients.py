"""Ray's own clients, told which cluster to ask and how long to wait for it.

As they are, they ask ``RAY_ADDRESS`` again whatever they are given, and wait for an answer without end. Imported only
by functions that ask a cluster, since Ray takes a second to import.
"""

from typing import Any

from ray.dashboard.modules.dashboard_sdk import SubmissionClient
from ray.job_submission import JobSubmissionClient
from ray.util.state import StateApiClient
from ray.util.state.common import ListApiOptions, StateResource

_SECONDS = (2, 15)  # to connect, and between bytes of an answer
_MOST = 1000  # listed of a kind


class _Direct(SubmissionClient):
    """Asks one address, and gives up. Ray adds the token of RAY_AUTH_MODE=token by itself."""

    def __init__(self, address: str) -> None:
        SubmissionClient.__init__(self, address)

    def _do_request(self, method: str, endpoint: str, **arguments: Any) -> Any:
        return super()._do_request(method, endpoint, **{"timeout": _SECONDS} | arguments)


class Jobs(_Direct, JobSubmissionClient):
    """Jobs of a cluster: ``list_jobs``, ``submit_job``, ``get_job_logs``, ``stop_job``."""


class States(_Direct, StateApiClient):
    """What runs on a cluster: ``list`` of nodes, actors, tasks."""

    def listed(self, kind: str, *filters: tuple[str, str, str | bool]) -> list[Any]:
        """What Ray knows of each of a kind, such as its ``NodeState`` of "nodes"."""
        options = ListApiOptions(limit=_MOST, timeout=_SECONDS[1], detail=True, filters=list(filters))
        return self.list(StateResource(kind), options, raise_on_missing_output=False)

    def measured(self) -> dict[str, Any]:
        """What each node's agent measured (cores, memory, GPUs), by the node's id; nothing where it did not yet."""
        answer = self._do_request("GET", "/nodes", params={"view": "summary"})
        answer.raise_for_status()
        return {node["raylet"]["nodeId"]: node for node in answer.json()["data"]["summary"]}

    def used(self) -> dict[str, Any]:
        """What tasks and actors hold of each node's resources: node's id → ``{"CPU": [used, total], …}``."""
        answer = self._do_request("GET", "/api/cluster_status")
        answer.raise_for_status()
        status = answer.json()["data"]["clusterStatus"] or {}  # nothing in the head's first seconds
        return status.get("loadMetricsReport", {}).get("usageByNode", {})
