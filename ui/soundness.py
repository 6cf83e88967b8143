"""What a certificate rests on: the inspector's checklist, and what each error of the public release is worth."""

from __future__ import annotations

import streamlit as st

from certssb_core.audit.inspection import counts
from certssb_core.certify import release
from ui import derived

MARKS = {
    "red": ":red[:material/cancel: **Red**]",
    "amber": ":orange[:material/error: **Amber**]",
    "green": ":green[:material/check_circle: **Green**]",
}
COLUMNS = {
    "step": "step",
    "mean_radius": st.column_config.NumberColumn("mean radius", format="%.4f", help="L2 pixel units; 0 where wrong"),
    "change": st.column_config.NumberColumn("change", format="%+.4f"),
    "accuracy": st.column_config.NumberColumn("right, radius > 0.25", format="percent"),
    "count": st.column_config.NumberColumn("votes counted", format="localized"),
    "votes_at": "votes cast at",
    "radius_at": "σ in the radius",
    "bound": "bound",
}


def checklist(chosen: list[derived.Choice], bound: str, alpha: float) -> None:
    """The inspector's findings on every choice, the worst first."""
    st.subheader("What they rest on", anchor=False)
    for choice in chosen:
        findings = derived.findings(choice.run, choice.mode, bound, alpha)
        summary = ", ".join(f"{count} {colour}" for colour, count in counts(findings).items() if count)
        with st.expander(f"{choice.name}: {summary}", icon=":material/fact_check:", expanded=len(chosen) == 1):
            for colour, mark in MARKS.items():
                for finding in findings:
                    if finding.colour == colour:
                        words = f"**{finding.title}.** {finding.reason}"
                        st.markdown(f"{mark} {words.replace('σ*', 'σ&ast;')}")


def attribution(chosen: list[derived.Choice], bound: str, alpha: float) -> None:
    """From the release's arithmetic to a certificate, for every run shown in mode ``release``."""
    runs = [choice.run for choice in chosen if choice.mode == release.MODE]
    if not runs:
        return
    st.subheader("From the release's arithmetic to a certificate", anchor=False)
    for run in runs:
        table = derived.attribution(run, bound, alpha)
        first, last = table["mean_radius"].iloc[[0, -1]]
        st.markdown(
            f"**{run.name}**, clean test images: the release's arithmetic states a mean radius of **{first:.3f}**, "
            f"which is {release.LABEL.partition(', ')[2]}; corrected step by step, **{last:.3f}** are certified."
        )
        st.dataframe(table, hide_index=True, column_config=COLUMNS, column_order=list(COLUMNS))
    st.caption(
        "In each table only the last two rows are certificates: true noise, true count, α split over the classes."
    )
