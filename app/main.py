"""The web workbench: three pages over the same files that the library and the command line read and write.

The pages lie in `views/`: beside a folder called `pages/`, Streamlit answers the first visit to a page's own address by
running that page alone, without this file.
"""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).parent
# Streamlit puts this folder on the path; what must be found is the packages beside it.
sys.path[:] = [place for place in sys.path if Path(place or ".").absolute() != HERE]
if str(HERE.parent) not in sys.path:
    sys.path.insert(0, str(HERE.parent))

import streamlit as st  # noqa: E402
from PIL import Image  # noqa: E402


def icon() -> Image.Image:
    """Draw the tab's picture, three pieces of a word: a named one would be fetched from the internet."""
    picture = Image.new("RGBA", (64, 64))
    for left, right, colour in ((2, 26, (15, 118, 110)), (29, 43, (217, 119, 6)), (46, 62, (99, 102, 241))):
        picture.paste((*colour, 255), (left, 18, right, 46))
    return picture


st.set_page_config("Lexigraft", icon(), layout="wide")
st.html(HERE / "style.css")
st.navigation(
    [
        st.Page("views/compare.py", title="Compare tokenizers", icon=":material/compare_arrows:", default=True),
        st.Page("views/new_run.py", title="New run", icon=":material/add_circle:", url_path="new"),
        st.Page("views/runs.py", title="Runs", icon=":material/monitoring:", url_path="runs"),
    ],
    position="top",
).run()
