"""Controls that every exploring page uses; each is bound to the URL under its key."""

from __future__ import annotations

from math import isfinite
from typing import Any

import pandas as pd
import streamlit as st


def drop_infinite_numbers() -> None:
    """Take numbers that no control can hold (``inf``, ``1e999``, ``nan``) out of the URL: Streamlit fails at them."""
    infinite = [key for key in st.query_params if not all(map(_finite, st.query_params.get_all(key)))]
    for key in infinite:
        del st.query_params[key]
    if infinite:
        st.rerun()  # what controls start from is what the URL was when the page was begun


def _finite(text: str) -> bool:
    try:
        return isfinite(float(text))
    except ValueError:
        return True  # no number


def choose(label: str, options: dict[str, str], start: str, *, key: str) -> str:
    """One of ``options`` (value to words), always one."""
    return st.segmented_control(
        label,
        list(options),
        format_func=options.get,
        default=start,
        required=True,
        key=key,
        bind="query-params",
    )


def choose_key(label: str, options: dict[str, str], start: str, *, key: str) -> str:
    """:func:`choose` whose link names the value, for words that may change; a link that names the words opens, too."""
    if key not in st.session_state:
        asked, named = st.query_params.get(key), {words: value for value, words in options.items()}
        st.session_state[key] = asked if asked in options else named.get(asked, start)
    if st.session_state[key] not in options:
        st.session_state[key] = start
    chosen = st.segmented_control(label, list(options), format_func=options.get, required=True, key=key)
    if chosen != start:
        st.query_params[key] = chosen
    elif key in st.query_params:
        del st.query_params[key]
    return chosen


def pick(label: str, options: dict[str, str], start: str, *, key: str) -> str:
    """:func:`choose` for a control that is not in the link."""
    return st.segmented_control(label, list(options), format_func=options.get, default=start, required=True, key=key)


def position(label: str, count: int, *, key: str, start: int = 0) -> int:
    """A whole number in [0, count); one left over from a longer list falls back to ``start``."""
    if st.session_state.get(key, start) not in range(count):
        st.session_state[key] = start
    return st.number_input(label, 0, max(count - 1, 0), start, key=key, bind="query-params")


def page(table: pd.DataFrame, rows: int, *, key: str) -> pd.DataFrame:
    """One page of ``table``, at most ``rows`` long: a table on screen is sent to the browser whole."""
    pages = max(1, -(-len(table) // rows))
    number = position(f"Page (0 to {pages - 1:,})", pages, key=key) if pages > 1 else 0
    return table.iloc[number * rows : (number + 1) * rows]


def slider(label: str, high: float, start: float, step: float, *, key: str) -> Any:
    """A number from 0 to ``high``, which moves with the data: a value beyond it is cut."""
    start = min(start, high)
    if st.session_state.get(key, start) > high:
        st.session_state[key] = high
    return st.slider(label, type(step)(0), high, start, step, key=key, bind="query-params")
