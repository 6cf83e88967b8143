"""Dialogs, and drawing the page anew: a page drawn anew closes its dialog, so what nobody asked for waits."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

_OPEN = "dialog-open"


def show(title: str, content: Callable[..., object], *arguments: object) -> None:
    """Open a dialog titled ``title`` and draw ``content`` in it."""
    st.session_state[_OPEN] = True
    st.dialog(title, on_dismiss=closed)(content)(*arguments)


def closed() -> None:
    """Note that no dialog is open: the reader has closed it, or the whole page is about to be drawn."""
    st.session_state.pop(_OPEN, None)


def redraw() -> None:
    """Draw the whole page anew, as something in the background has changed.

    While a dialog is open this does nothing, so ask again at the next refresh.
    """
    if _OPEN not in st.session_state:
        st.rerun()
