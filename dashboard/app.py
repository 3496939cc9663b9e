"""The dashboard: ``streamlit run dashboard/app.py``. Its server; the pages are in ``main.py``."""

import sys
from pathlib import Path

_ROOT = Path(__file__).resolve().parent.parent
sys.path[:] = dict.fromkeys([*sys.path, *(str(_ROOT / part) for part in ("", "platform", "models"))])

import streamlit as st  # noqa: E402
from starlette.middleware import Middleware  # noqa: E402

from dashboard.components.base.gate import Gate, require_closed  # noqa: E402

require_closed()
app = st.App("main.py", middleware=[Middleware(Gate)])
