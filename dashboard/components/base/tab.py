"""The title of the browser's tab: several of them are open, and each says what its page shows."""

import streamlit as st


def named_tab(*parts: str) -> None:
    """Name the tab by what its page shows, what tells it from others first: ``demo-1a2b3c4d · Run``.

    Called once more by a page that shows one thing of several.
    """
    st.set_page_config(page_title=" · ".join(part for part in parts if part))
