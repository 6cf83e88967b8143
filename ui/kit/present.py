"""Present a page to a hall: no header, no toolbar, large type.

``?present=1`` asks for it, and it stays from page to page.
"""

from __future__ import annotations

from pathlib import Path

import streamlit as st

STYLE = Path(__file__).parents[2] / "assets" / "present.css"
KEY = "present"


def on() -> bool:
    """Tell whether this reader presents."""
    return st.session_state.get("presenting", False)


def follow_link() -> None:
    """Present if the link or an earlier page asks for it, and keep that in the link; before a page is drawn."""
    if KEY in st.query_params:
        st.session_state["presenting"] = st.query_params[KEY] == "1"
    if on():
        st.query_params[KEY] = "1"
        st.html(STYLE)
        with st.container(key="leave-presentation"):
            st.button("Leave", on_click=_set, args=(False,), type="tertiary")


def button() -> None:
    """Start to present; nothing is drawn while presenting."""
    if not on():
        st.button(
            "Present",
            on_click=_set,
            args=(True,),
            icon=":material/present_to_all:",
            help="Hide the header and enlarge the type, on this page and the next ones. The link keeps it.",
        )


def _set(presenting: bool) -> None:
    st.session_state["presenting"] = presenting
    st.query_params.pop(KEY, None)
