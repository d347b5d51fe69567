"""The web workbench: three pages over the same files that the library and the command line read and write."""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).parent
# Streamlit puts this folder on the path; what must be found is the packages beside it.
sys.path[:] = [place for place in sys.path if Path(place or ".").absolute() != HERE]
if str(HERE.parent) not in sys.path:
    sys.path.insert(0, str(HERE.parent))

import streamlit as st  # noqa: E402

st.set_page_config("Lexigraft", ":material/hub:", layout="wide")
st.html(HERE / "style.css")
st.navigation(
    [
        st.Page("pages/compare.py", title="Compare tokenizers", icon=":material/compare_arrows:", default=True),
        st.Page("pages/new_run.py", title="New run", icon=":material/add_circle:", url_path="new"),
        st.Page("pages/runs.py", title="Runs", icon=":material/monitoring:", url_path="runs"),
    ],
    position="top",
).run()
