"""Certify: what the stored votes certify, under any confidence, bound and mode, for several runs at once."""

import streamlit as st

from certssb_core.certify.certificate import FIXED
from certssb_core.certify.certificate_kinds import CERTIFICATES, CertificateKind
from certssb_core.figures import curves, theme
from certssb_core.results import certification, comparison
from ui.certify import budget_inputs, certificate_charts, choice, many_runs, replaced_map, soundness
from ui.kit import charts, conditions, controls, headline, run_files, tables, text, view_as_code

FORMULAS = r"""
**Test radius** $\sigma_x \cdot$ margin, where margin =
$\tfrac12(\Phi^{-1}(\underline{p_A}) - \Phi^{-1}(\overline{p_B}))$: the trigger on the test
input alone, the training set as given.

**Joint budget**: n poisoned training images and the test input, each moved by at most τ, while
$$\tau^2\Big(\frac{1}{\sigma_x^2} + \sum_{n\ \text{largest}} \frac{1}{\sigma_i^2}\Big) < \text{margin}^2 .$$
Where a member sees a share of the images, drawn by its seed, the draw is counted: of n images a member sees only some.

α is split over the bounds used and over the classes, for the top class is chosen from the same votes.
"""
ENVELOPE = "best uniform σ at each radius"


def name_the_classifier(chosen: list[tables.Choice]) -> None:
    """Say that the fixed ensemble is another classifier, where it is shown."""
    for run in {one.run.name: one.run for one in chosen if one.mode == FIXED}.values():
        drawn = run_files.fixed(run)
        st.caption(
            f"**{run.name}, fixed-ensemble**: {drawn['draws']:,} draws of {drawn['jury']} of these very members, under "
            "fresh noise. Every other mode is about members trained afresh: another classifier, with a joint budget."
        )


@st.fragment  # its controls leave the rest of the page alone
def accuracy(kind: CertificateKind, chosen: list[tables.Choice], colours: dict[str, str]) -> None:
    """The curves of one kind of certificate, for different units share no axis."""
    st.subheader(f"Certified accuracy, in {kind.unit}", anchor=False)
    series = [one.series for one in chosen]
    table = comparison.curves(series, whole=kind.whole)
    uniform = [one.name for one in chosen if one.mode == "uniform"]
    envelope = certificate_charts.key_of("envelope", kind)
    if len(uniform) > 1 and st.toggle("Upper envelope of the uniform runs", key=envelope, bind="query-params"):
        table = comparison.with_envelope(table, uniform, name=ENVELOPE)
    several = len({one.run.name for one in chosen}) > 1
    left, right = st.columns(2)
    base = ""
    if several:
        with right:
            base = many_runs.baseline(chosen, kind)
    key, step = certificate_charts.key_of("r", kind), 1 if kind.whole else 0.01
    high = type(step)(round(table["radius"].max(), 2))
    with left if several else st.container():
        radius = controls.slider(f"Read at r ({kind.unit})", high, step * (1 if kind.whole else 25), step, key=key)
    muted = many_runs.muted([one.name for one in chosen], base) if several else []
    certificate_charts.accuracy(kind, chosen, table, radius, colours, muted=muted, by_measure=not several)
    if several:
        many_runs.compare(kind, chosen, radius, base)
    bound, alpha = st.session_state["bound"], st.session_state["alpha"]
    view_as_code.show(
        view_as_code.certified(chosen, bound=bound, alpha=alpha, radius=radius, unit=kind.unit, whole=kind.whole)
    )


@st.fragment
def budget(chosen: list[tables.Choice]) -> None:
    st.subheader("If the training images move too", anchor=False)
    chosen = [one for one in chosen if tables.has_joint_budget(one)]
    if not chosen:
        text.empty("Nothing is certified about changes of the training images by a norm: see above why.")
        return
    left, right = st.columns(2)
    norm = left.slider("Norm τ of every change (L2 pixel units)", 0.01, 1.0, 0.05, 0.01, key="tau", bind="query-params")
    most, replaced = max(certification.replaced_at_most(run_files.run_votes(one.run)) for one in chosen), 0
    if most:
        replaced = controls.slider("Further images replaced by anything, n₁", most, 0, 1, key="n1")
    budgets, table = certificate_charts.joint_budgets(chosen, norm, replaced)
    with right:
        images = controls.slider("Poisoned training images n", int(table["images"].max()), 1, 1, key="n")
    muted = many_runs.muted([one.name for one in chosen], st.session_state.get("baseline", ""))
    certificate_charts.budget(budgets, table, norm=norm, images=images, replaced=replaced, muted=muted)
    budget_inputs.show(chosen[0], budgets[0][1], images=images)


text.page_header(
    "certify",
    FORMULAS,
    ["2504.21730", "2003.08904", "1902.02918"],
)
chosen = choice.choose()
colours = curves.colours([one.name for one in chosen]) | {ENVELOPE: theme.GREY}
conditions.warn_of_weak_attacks(chosen)
for kind in CERTIFICATES.values():
    if of_kind := [one for one in chosen if run_files.run_votes(one.run).kind == kind]:
        accuracy(kind, of_kind, colours)
name_the_classifier(chosen)
bound, alpha = st.session_state["bound"], st.session_state["alpha"]
detailed = choice.details(chosen)
for run in {one.run.name: one.run for one in detailed if one.mode == one.run.config.noise.test_map}.values():
    headline.after_store(run)
conditions.promises(detailed, alpha)
soundness.checklist(detailed, bound, alpha, expanded=len(chosen) == 1)
soundness.attribution(detailed, bound, alpha)
soundness.attacks(detailed)
replaced_map.show(chosen, bound, alpha)
budget(chosen)
charts.download("Report (HTML)", lambda: tables.report(chosen, bound, alpha), "report.html", "text/html")
