"""Say beside every certificate whether the attack works at all, the promise, and its condition."""

from __future__ import annotations

import streamlit as st

from certssb_core.config.parse import override
from certssb_core.plain_text import markdown_text
from certssb_core.results import certification
from certssb_core.results.attack_verdict import caveats
from ui.kit import charts, run_files
from ui.kit.tables import Choice

PARTS = {
    "test_radius": ":material/open_with: **Test radius",
    "joint_budget": ":material/groups: **Joint budget",
    "condition": ":material/gavel: **Condition",
}


def warn_of_weak_attacks(chosen: list[Choice]) -> None:
    """Say each caveat once, with the runs that it is about."""
    said: dict[str, list[str]] = {}
    for run in {choice.run.name: choice.run for choice in chosen}.values():
        for caveat in caveats(run_files.metrics(run)):
            said.setdefault(caveat, []).append(run.name)
    for caveat, names in said.items():
        st.warning(f"**{', '.join(names)}.** {markdown_text(caveat)}", icon=":material/warning:")


def promises(chosen: list[Choice], alpha: float) -> None:
    st.subheader("What the numbers promise", anchor=False)
    given = [(choice.name, _promise(choice, alpha)) for choice in chosen]
    for part, words in PARTS.items():
        said: dict[str, list[str]] = {}
        for name, promise in given:
            said.setdefault(getattr(promise, part), []).append(name)
        for sentence, names in said.items():
            whose = f" of {'; '.join(names)}" if len(said) > 1 or part == "condition" else ""
            charts.words(f"{words}{whose}.** {sentence}")


def _promise(choice: Choice, alpha: float) -> certification.Promise:
    settings = override(choice.run.config, {"certification.alpha": str(alpha)})
    return certification.promise(settings, choice.mode)
