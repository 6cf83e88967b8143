"""The dashboard: ``streamlit run app.py``. This file only routes; each page is a file in ``pages/``."""

from pathlib import Path

import streamlit as st

from ui.kit.controls import drop_infinite_numbers
from ui.kit.text import plain_errors

ASSETS = Path(__file__).parent / "assets"

st.set_page_config(
    page_title="Cert-SSBD",
    page_icon=ASSETS / "icon.svg",  # a Material icon would be fetched from the network,
    layout="wide",
    menu_items={"About": "Certified backdoor defence by sample-specific smoothing."},
)

page = st.navigation(
    [
        st.Page("pages/home.py", title="Home", icon=":material/home:", default=True),
        st.Page("pages/lessons.py", title="Lessons", icon=":material/school:"),
        st.Page("pages/poison.py", title="Poison", icon=":material/bug_report:"),
        st.Page("pages/train.py", title="Train", icon=":material/model_training:"),
        st.Page("pages/noise.py", title="Noise σ*", icon=":material/grain:"),
        st.Page("pages/certify.py", title="Certify", icon=":material/verified_user:"),
        st.Page("pages/overlaps.py", title="Overlaps", icon=":material/join_inner:"),
        st.Page("pages/query.py", title="Query", icon=":material/contact_support:"),
        st.Page("pages/compare.py", title="Field", icon=":material/compare:"),
        st.Page("pages/tune.py", title="Tune", icon=":material/tune:"),
    ],
    position="top",  # leaves the whole width to the charts, on a projector above all
)
st.html(ASSETS / "page.css")
drop_infinite_numbers()
with plain_errors():
    page.run()
