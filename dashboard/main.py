"""The pages of the dashboard, one file each in ``views/``; ``app.py`` starts the server that shows them.

That folder must not be called ``pages``: Streamlit would show the first visitor a page of it without running
this file.
"""

import sys
from pathlib import Path

_ROOT = Path(__file__).resolve().parent.parent
sys.path[:] = dict.fromkeys([*sys.path, *(str(_ROOT / part) for part in ("", "platform", "models"))])

import streamlit as st  # noqa: E402

from dashboard.components.base.sign_in import admit  # noqa: E402
from dashboard.components.base.tab import named_tab  # noqa: E402

_CLOSE_TO_THE_TOP = """
    .stMainBlockContainer { padding: 3.75rem 1.5rem 1rem }
    .stMainBlockContainer h1 { font-size: 1.6rem; padding: 0 0 0.25rem }
    .stMainBlockContainer h3 { font-size: 1.2rem; padding: 0.25rem 0 }
"""

# Pages have no icons: a browser would fetch them from the internet for its tab.
st.set_page_config(page_title="AutoSAM", layout="wide")
admit()
# Content begins below the bar with the pages' names, and a title is no taller than a line of it.
st.html(f"<style>{_CLOSE_TO_THE_TOP}</style>")
_page = st.navigation(
    [
        st.Page("views/runs.py", title="Runs", default=True),
        st.Page("views/run.py", title="Run", url_path="run"),
        st.Page("views/compare.py", title="Compare", url_path="compare"),
        st.Page("views/data.py", title="Data", url_path="data"),
        st.Page("views/viewer.py", title="Viewer", url_path="viewer"),
        st.Page("views/sweeps.py", title="Sweeps", url_path="sweeps"),
        st.Page("views/studies.py", title="Studies", url_path="studies"),
        st.Page("views/predict.py", title="Predict", url_path="predict"),
        st.Page("views/launch.py", title="Launch", url_path="launch"),
        st.Page("views/cluster.py", title="Cluster", url_path="cluster"),
    ],
    position="top",
)
named_tab(_page.title)
_page.run()
