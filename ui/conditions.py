"""What must be said beside every certificate: whether the attack works at all, the promise, its condition."""

from __future__ import annotations

import streamlit as st

from certssb_core.experiment import certification, config
from ui import state
from ui.derived import Choice


def warn_of_weak_attacks(chosen: list[Choice]) -> None:
    for run in {choice.run.name: choice.run for choice in chosen}.values():
        undefended = state.metrics(run)["undefended"]
        if not undefended["attack_works"]:
            st.warning(
                f"**{run.name}: this certificate defends against nothing.** The backdoor works on only "
                f"{undefended['attack_success_rate']:.1%} of the triggered images even without a defence.",
                icon=":material/warning:",
            )


def promises(chosen: list[Choice], alpha: float) -> None:
    st.subheader("What the numbers promise", anchor=False)
    held: dict[str, list[str]] = {}
    for choice in chosen:
        promise = certification.promise(
            config.override(choice.run.config, {"certification.alpha": str(alpha)}), choice.mode
        )
        held.setdefault(promise.condition, []).append(choice.name)
    st.markdown(f":material/open_with: **Test radius.** {promise.test_radius}")
    st.markdown(f":material/groups: **Joint budget.** {promise.joint_budget}")
    for condition, names in held.items():
        st.markdown(f":material/gavel: **Condition of {'; '.join(names)}.** {condition}")
