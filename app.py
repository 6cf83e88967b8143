"""The dashboard: ``streamlit run app.py``. This file only routes; each page is a file in ``pages/``."""

import sys
from pathlib import Path

import streamlit as st

from certssb_core.runs import server_limits
from ui.kit import dialog, present
from ui.kit.controls import drop_infinite_numbers
from ui.kit.pages import navigation
from ui.kit.text import plain_errors

ASSETS = Path(__file__).parent / "assets"

st.set_page_config(
    page_title="Cert-SSBD",
    page_icon=ASSETS / "icon.svg",  # a Material icon would be fetched from the network,
    layout="wide",
    menu_items={"About": "Certified backdoor defence by sample-specific smoothing."},
)


@st.cache_resource(show_spinner=False)
def tell_misspelt_variables() -> None:
    """In the terminal of whoever starts the server, once."""
    for sentence in server_limits.misspelt():
        print(f"warning: {sentence}", file=sys.stderr)


tell_misspelt_variables()
page = st.navigation(navigation(), position="top")  # leaves the whole width to the charts
st.html(ASSETS / "page.css")
drop_infinite_numbers()
dialog.closed()
present.follow_link()
with plain_errors():
    page.run()
