"""Tell whether a planted attack works without a defence: from a finished run, or measured on demand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import streamlit as st

from certssb_core.config.schema import RunConfig
from certssb_core.results.attack_verdict import attack_caveats
from ui.kit import errand, forms, run_files
from ui.kit.view_as_code import settings


@dataclass(frozen=True)
class Measured:
    """The ``undefended`` part of a run's metrics.json, and where it was measured."""

    undefended: dict[str, Any]
    where: str


def known(config: RunConfig) -> Measured | None:
    """The attack's success without a defence, where a run or an earlier question has measured it."""
    if run := run_files.run_with_attack(config):
        if undefended := run_files.metrics(run)["undefended"]:
            return Measured(undefended, f"measured in {run.name}")
        return None
    found = errand.answer(_key(config))
    return Measured(found, "measured on its own") if found else None


def offer(config: RunConfig) -> None:
    """A button that measures it, in another process."""
    preset, wanted = forms.with_attack(config)
    changed = [word for key, value in settings(wanted, preset).items() for word in ("--set", f"{key}={value}")]
    errand.offer(
        _key(config),
        *("undefended", preset, *changed, "--json"),
        button="Measure now",
        icon=":material/speed:",
        help="Trains one model without a defence on the poisoned data. Crafted poisons take longer.",
        working="Training a model without a defence …",
    )


def warn(config: RunConfig) -> None:
    """Warn before a run whose attack does not work: its certificates would defend against nothing."""
    if config.attack.rate == 0:
        st.warning(
            "The poisoning rate is 0: no image is poisoned, and the certificates defend against nothing.",
            icon=":material/warning:",
        )
        return
    if measured := known(config):
        for caveat in attack_caveats(measured.undefended):
            st.warning(f"{caveat} ({measured.where}.)", icon=":material/warning:")


def _key(config: RunConfig) -> str:
    return f"undefended/{config.data.model_dump_json()}/{config.attack.model_dump_json()}/{config.seed}"
