"""Nodes of a Ray cluster and what runs on them, from Ray's state API."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import streamlit as st

from dashboard.components.jobs.ray_jobs import answers

_GB, _MB = 1e9, 1e6


@dataclass(frozen=True)
class Node:
    """A machine of the cluster.

    Attributes:
        cores, gpus: reserved by tasks and actors, and there in all.
        memory_gb: in use by anybody, and there in all (10⁹ bytes); ``None`` before the node's agent measured it.
        busy: share of its cores' time in use by anybody, in percent; ``None`` likewise.
        devices: each GPU with its load and memory.
    """

    address: str
    head: bool
    cores: tuple[float, float]
    gpus: tuple[float, float]
    memory_gb: tuple[float, float] | None
    busy: float | None
    devices: tuple[str, ...]


@dataclass(frozen=True)
class Work:
    """Actors or tasks of one name on one node.

    Attributes:
        what: actor or task.
        driver: number of the job they belong to.
        count: how many.
    """

    what: str
    name: str
    state: str
    address: str
    driver: str
    count: int


@st.cache_data(ttl=3, max_entries=4, show_spinner=False)
def nodes(address: str) -> list[Node]:
    """The nodes that are alive, the head first.

    Raises:
        NoClusterError, ReadingError: see ``ray_jobs.cluster``.
    """
    from dashboard.components.jobs.ray_clients import States

    with answers(address):
        client = States(address)
        found = client.listed("nodes", ("state", "=", "ALIVE"))
        measured, used = client.measured(), client.used()
    listed = [_node(each, measured.get(each.node_id, {}), used.get(each.node_id, {})) for each in found]
    return sorted(listed, key=lambda node: (not node.head, node.address))


def _node(node: Any, measured: Mapping[str, Any], used: Mapping[str, Any]) -> Node:
    total = node.resources_total
    cores, gpus = ((used.get(name, [0.0])[0], total.get(name, 0.0)) for name in ("CPU", "GPU"))
    memory = measured.get("mem")  # all, free, percent, in use: in bytes
    return Node(
        address=node.node_ip,
        head=node.is_head_node,
        cores=cores,
        gpus=gpus,
        memory_gb=((memory[0] - memory[1]) / _GB, memory[0] / _GB) if memory else None,
        busy=measured.get("cpu"),
        devices=tuple(_device(each) for each in measured.get("gpus", [])),
    )


def _device(told: Mapping[str, Any]) -> str:
    """``NVIDIA H100: 97 %, 40.1 of 80.0 GB``; Ray counts memory in MB and may not know the load."""
    load = told.get("utilizationGpu")
    used, total = (told[name] * _MB / _GB for name in ("memoryUsed", "memoryTotal"))
    return f"{told['name']}: {'load unknown' if load is None else f'{load:g} %'}, {used:.1f} of {total:.1f} GB"


@st.cache_data(ttl=3, max_entries=4, show_spinner=False)
def work(address: str) -> list[Work]:
    """Actors that live and tasks that run or wait, those of one name and place counted together.

    Raises:
        NoClusterError, ReadingError: see ``ray_jobs.cluster``.
    """
    from dashboard.components.jobs.ray_clients import States

    over = {"actors": ("DEAD",), "tasks": ("FINISHED", "FAILED")}
    counted: Counter[tuple[str, str, str, str, str]] = Counter()
    with answers(address):
        client = States(address)
        places = {node.node_id: node.node_ip for node in client.listed("nodes")}
        for kind, states in over.items():
            found = client.listed(kind, *(("state", "!=", state) for state in states))
            counted.update(_what(kind, each, places) for each in found)
    return [Work(*key, count) for key, count in sorted(counted.items())]


def _what(kind: str, each: Any, places: Mapping[str, str]) -> tuple[str, str, str, str, str]:
    name = getattr(each, "class_name", "") or each.name  # an actor may have no name of its own
    return kind.removesuffix("s"), name, each.state, places.get(each.node_id, ""), each.job_id
