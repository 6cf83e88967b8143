"""Choose a preset by its title: good first ones on top, the others by what they are about."""

from __future__ import annotations

from functools import lru_cache

import streamlit as st

from certssb_core.config.presets import DEFAULT_PRESET, PRESETS
from certssb_core.config.schema import RunConfig
from certssb_core.data.datasets import DATASETS
from ui.kit import forms

START_HERE = (DEFAULT_PRESET, "digits-quick", "subset-digits-01", "photographs")
"""A first run that shows everything, a faster one, one that certifies the planted attack, one on photographs."""


@lru_cache(maxsize=1)
def grouped() -> dict[str, str]:
    """Group of every preset, in the order in which they are offered."""
    groups = {name: _group(name, config) for name, config in PRESETS.items()}
    order = list(dict.fromkeys(["Start here", *groups.values()]))
    return dict(sorted(groups.items(), key=lambda item: order.index(item[1])))


def choose() -> str:
    """The preset that the form starts from; its name is in the URL under ``preset``, as shared links have it."""
    asked = st.query_params.get("preset")
    if "preset" not in st.session_state and asked in PRESETS:
        st.session_state["preset"] = asked
    groups = grouped()
    chosen = st.selectbox(
        "Preset",
        list(groups),
        index=list(groups).index(DEFAULT_PRESET),
        key="preset",
        format_func=lambda name: f"{groups[name]} · {PRESETS[name].title}",
        help="A complete, sensible setting to start from; choosing one sets every control below. Type to search.",
        on_change=lambda: forms.reset(PRESETS[st.session_state.preset]),
    )
    if chosen != DEFAULT_PRESET:
        st.query_params["preset"] = chosen
    else:
        st.query_params.pop("preset", None)
    return chosen


def _group(name: str, config: RunConfig) -> str:
    if name in START_HERE:
        return "Start here"
    if config.attack.crafted:
        return "Crafted poisons"
    if config.certification.certificate.startswith("subset"):
        return "Certified against the planted attack"
    if config.certification.certificate != "weighted-l2" or (config.noise.train_map == "uniform" and "rab" in name):
        return "Other defences"
    return DATASETS[config.data.name].title
