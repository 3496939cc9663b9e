"""Cluster: its nodes, what they have and what of it is used, and what runs where."""

from collections.abc import Iterable

import pandas as pd
import streamlit as st

from dashboard.components.base.messages import explained
from dashboard.components.base.terminal import in_terminal
from dashboard.components.base.text import plain
from dashboard.components.jobs import cluster_state, ray_jobs
from dashboard.components.jobs.cluster_state import Node, Work
from dashboard.components.jobs.ray_jobs import NoClusterError, Submitted

_REFRESH = 5  # seconds
_NODES = {
    "node": st.column_config.TextColumn("Node", pinned=True),
    "cores": st.column_config.TextColumn("Cores reserved"),
    "busy": st.column_config.ProgressColumn("Cores in use", format="%d %%", min_value=0, max_value=100),
    "gpus": st.column_config.TextColumn("GPUs reserved"),
    "memory": st.column_config.TextColumn("Memory in use"),
    "devices": st.column_config.ListColumn("Each GPU: load, memory"),
}
_WORK = {
    "what": st.column_config.TextColumn("What"),
    "name": st.column_config.TextColumn("Name"),
    "count": st.column_config.NumberColumn("How many"),
    "state": st.column_config.TextColumn("State", width="medium"),
    "node": st.column_config.TextColumn("Node"),
    "job": st.column_config.TextColumn("Job"),
}


def _page() -> None:
    with explained():
        try:
            address = ray_jobs.cluster()
            nodes, work = cluster_state.nodes(address), cluster_state.work(address)
            jobs = ray_jobs.submitted(address)
        except NoClusterError as error:
            st.info(plain(f"No Ray cluster runs ({error}). The other pages work without one. Start it in a terminal:"))
            st.code(in_terminal(ray_jobs.START), language="bash", wrap_lines=True)
            return
        st.caption(plain(f"Ray at {address.partition('://')[2]}, looked at every {_REFRESH} seconds"))
        if not nodes:
            st.info("The cluster is starting: no node has joined it yet.")
            return
        _totals(nodes, jobs)
        st.subheader("Nodes")
        st.dataframe(_table(nodes), hide_index=True, placeholder="–", column_config=_NODES, key="nodes")
        st.caption("Reserved is what Ray has promised to jobs; in use is what the machine measures, whoever uses it.")
        _running(work, jobs)


def _totals(nodes: list[Node], jobs: list[Submitted]) -> None:
    cores, gpus = _sum(node.cores for node in nodes), _sum(node.gpus for node in nodes)
    used, total = _sum(node.memory_gb for node in nodes if node.memory_gb)
    shown = {
        "Nodes": str(len(nodes)),
        "Cores reserved": f"{cores[0]:g} of {cores[1]:g}",
        "GPUs reserved": f"{gpus[0]:g} of {gpus[1]:g}" if gpus[1] else "none",
        "Memory in use (GB)": f"{used:.1f} of {total:.0f}",
        "Jobs going on": str(sum(job.active for job in jobs)),
    }
    for place, (name, value) in zip(st.columns(len(shown)), shown.items(), strict=True):
        place.metric(name, value, border=True)


def _sum(parts: Iterable[tuple[float, float]]) -> tuple[float, float]:
    pairs = list(parts)
    return sum(used for used, _ in pairs), sum(total for _, total in pairs)


def _table(nodes: list[Node]) -> pd.DataFrame:
    rows = [
        (
            f"{node.address} (head)" if node.head else node.address,
            f"{node.cores[0]:g} of {node.cores[1]:g}",
            node.busy,
            f"{node.gpus[0]:g} of {node.gpus[1]:g}" if node.gpus[1] else None,
            "{:.1f} of {:.1f} GB".format(*node.memory_gb) if node.memory_gb else None,
            list(node.devices),
        )
        for node in nodes
    ]
    return pd.DataFrame(rows, columns=list(_NODES))


def _running(work: list[Work], jobs: list[Submitted]) -> None:
    st.subheader("What runs where")
    if not work:
        st.info("Nothing runs on the cluster now. The page Launch sends jobs to it.")
        return
    names = {job.driver: f"{job.kind or 'job'} ({job.job_id})" for job in jobs if job.driver}
    rows = [
        (each.what, each.name, each.count, each.state, each.address, names.get(each.driver, each.driver))
        for each in work
    ]
    st.dataframe(pd.DataFrame(rows, columns=list(_WORK)), hide_index=True, column_config=_WORK, key="work")


st.title("Cluster")
st.fragment(_page, run_every=_REFRESH)()
