"""Show what a certificate rests on: the inspector's checklist, the attacks on it, and the worth of each error of the
public release."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from certssb_core.audit.inspection import counts
from certssb_core.certify import published_release
from certssb_core.falsification.violations import units
from certssb_core.figures import falsification
from certssb_core.plain_text import markdown_text
from certssb_core.runs.run import Run
from ui.kit import charts, run_files, tables, text

MARKS = {
    "red": ":red[:material/cancel: **Red**]",
    "amber": ":orange[:material/error: **Amber**]",
    "green": ":green[:material/check_circle: **Green**]",
}
WORDS = {
    "red": ("check fails", "checks fail"),
    "amber": ("caveat", "caveats"),
    "green": ("check passes", "checks pass"),
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


def checklist(chosen: list[tables.Choice], bound: str, alpha: float, *, expanded: bool) -> None:
    """The inspector's findings on every choice, the worst first."""
    st.subheader("What they rest on", anchor=False)
    for choice in chosen:
        findings = tables.findings(choice.run, choice.mode, bound, alpha)
        summary = ", ".join(
            f"{count} {WORDS[colour][count > 1]}" for colour, count in counts(findings).items() if count
        )
        with st.expander(f"{choice.name}: {summary}", icon=":material/fact_check:", expanded=expanded):
            for colour, mark in MARKS.items():
                for finding in findings:
                    if finding.colour == colour:
                        st.markdown(f"{mark} **{markdown_text(finding.title)}.** {markdown_text(finding.reason)}")


def attacks(chosen: list[tables.Choice]) -> None:
    """Show what ``falsify`` found when it tried to break each run's certificates."""
    st.subheader("Has anyone tried to break them?", anchor=False)
    for run in {choice.run.name: choice.run for choice in chosen}.values():
        report = run_files.falsification(run)
        if report is None and not run.config.kind.attackable:
            text.empty(f"There is no attack on certificates of {run.name}'s kind so far: only on L2 balls and subsets.")
            continue
        if report is None:
            text.empty(f"Nobody yet. `python -m certssb_core falsify {run.name}` spends ten minutes on it.")
            continue
        parts = report["parts"]
        broken = sum(part["violations"] for part in parts)
        charts.show(
            tables.violation_rates(run),
            key=f"falsification-{run.name}",
            summary=f"**{run.name}**, {report['claims']:,} certificates in mode {report['label']}: **{broken:,}** "
            f"broken in {sum(part['trials'] for part in parts):,} attempts over {report['minutes']:.1f} minutes. Lines "
            f"end at the {report['confidence']:.0%} upper bound on the share that would break, over the "
            "independent units (worlds, inputs, replays; an older report counts every attempt). Certificates admit to "
            f"α = {report['alpha']:g}, the store to none. A violation is a flip that the votes of the attacked members "
            f"establish at α. {_reach(parts)}",
            table=pd.DataFrame(parts)[
                ["title", "trials", "flips", "violations", "rate", "rate_upper", "allowed"]
            ].assign(units=[units(part) for part in parts]),
        )
        told = [part for part in parts if "attack" in part]
        if told:
            with st.expander("How they were attacked, and what such an attack can find", icon=":material/swords:"):
                for part in told:
                    title = markdown_text(f"{part['title']}.")
                    st.markdown(f"**{title}** {_sentence(part['attack'])} *Power:* {_sentence(part['power'])}")
        known_noise(run, report.get("known_noise"))


def _sentence(words: str) -> str:
    """The words as text, from a capital letter to a full stop."""
    return markdown_text(f"{words[:1].upper()}{words[1:]}.")


def _reach(parts: list[dict]) -> str:
    """The least overstatement that the same attacks find, as far as it was measured."""
    found = [
        f"Claims **{one['factor']:g}** times too large are found out ({part['title'].partition(':')[0]})."
        for part in parts
        for one in part.get("facts", {}).get("overstated", [])
        if one.get("found")
    ]
    return " ".join(found)


def known_noise(run: Run, found: dict | None) -> None:
    """Show that whoever knows the noise can choose inputs on which claims are false, and that fresh noise cannot."""
    if not found:
        return
    if not found["inputs"]:
        st.caption(f"Attack with known noise: {found['reason']}.")
        return
    rows = pd.DataFrame(found["rows"])
    charts.show(
        falsification.known_noise(found["rows"]),
        key=f"known-noise-{run.name}",
        summary=f"**If the noise is known.** An attacker who has the seed chose {found['inputs']} inputs on which "
        f"**{found['false_known']}** claims are false: a cross lies right of the grey bar. Under fresh noise "
        f"**{found['false_fresh']}** of the same inputs get a false claim. Certificates do not cover inputs that were "
        "chosen with the seed in hand.",
        table=rows,
    )


def attribution(chosen: list[tables.Choice], bound: str, alpha: float) -> None:
    """Correct the release's arithmetic step by step, for every run shown in mode ``release``."""
    runs = [choice.run for choice in chosen if choice.mode == published_release.MODE]
    if not runs:
        return
    st.subheader("From the release's arithmetic to a certificate", anchor=False)
    for run in runs:
        table = tables.attribution(run, bound, alpha)
        first, last = table["mean_radius"].iloc[[0, -1]]
        st.markdown(
            f"**{run.name}**, clean test images: the release's arithmetic states a mean radius of **{first:.3f}**, "
            "which is not a certificate; "
            f"corrected step by step, **{last:.3f}** are certified."
        )
        st.dataframe(table, hide_index=True, column_config=COLUMNS, column_order=list(COLUMNS))
    st.caption(
        "In each table only the last two rows are certificates: true noise, true count, α split over the classes."
    )
