"""Noise σ*: how much noise each image bears, what that buys, and how it was found."""

import streamlit as st

from certssb_core.experiment import samples as core
from certssb_core.experiment.run import Run
from certssb_core.figures import sigma as figures
from certssb_core.figures import theme
from ui import charts, controls, derived, one_image, state, text

FORMULAS = r"""
$$r(x, \sigma) = \tfrac{\sigma}{2}\left[\Phi^{-1}(\min(\bar p_A(\sigma), p_{cap}))
- \Phi^{-1}(\max(\bar p_B(\sigma), 1 - p_{cap}))\right], \qquad p_{cap} = (\alpha/2)^{1/M}$$

σ\* is found by ascent on log σ from σ₀; the gradient flows through the network as well as through the
factor σ, so σ can fall as well as grow. $p_{cap}$ is what M unanimous votes can certify.

**Regret** = 1 − mean r(x, σ\*) / mean max r(x, σ), the maximum taken over a dense grid of σ.
"""
VALUES = {"radius": "certified radius (L2 pixel units)", "margin": "margin (units of σ)"}
REGRET = {
    "set": "images of",
    "images": "curves kept",
    "regret": st.column_config.NumberColumn("regret of σ*", format="percent"),
    "best_uniform_sigma": st.column_config.NumberColumn("best single σ", format="%.3f"),
    "best_uniform_regret": st.column_config.NumberColumn("its regret", format="percent"),
}


def spread(run: Run) -> None:
    st.subheader("How σ* spreads", anchor=False)
    with st.container(horizontal=True):
        by = controls.choose("Split by", core.groupings(derived.samples(run)), "set", key="by")
        of = controls.choose("Of", one_image.set_names(run), "clean", key="of") if by == "class" else "train"
    shown = core.grouped(derived.samples(run), by, of)
    bins = figures.binned(shown["sigma"], shown["group"])
    medians = shown.groupby("group", sort=False)["sigma"].median()
    classes = {name: theme.class_colour(place) for place, name in enumerate(derived.class_names(run))}
    charts.show(
        figures.histogram(bins, colours=classes if by == "class" else theme.COLOURS, start=run.config.noise.sigma),
        key="sigma-histogram",
        summary="Median σ\\*: " + ", ".join(f"{name} **{value:.3f}**" for name, value in medians.items()) + ".",
        table=bins,
    )


def gain(run: Run) -> None:
    st.subheader("What σ* buys", anchor=False)
    value = controls.choose("Against σ*", VALUES, "radius", key="against")
    table = derived.samples(run)
    test = table[table["set"] != "train"]
    right = test[test["right"]]
    rule = run.config.certification
    unanimous = core.unanimous_margin(
        rule.bound,
        members=run.config.training.members,
        classes=len(derived.class_names(run)),
        alpha=rule.alpha,
    )
    charts.show(
        figures.against(test, value, title=VALUES[value], colours=theme.COLOURS, unanimous=unanimous),
        key="sigma-against",
        summary=f"**{len(right):,} of {len(test):,}** test inputs get the right answer (crosses: wrong, or "
        f"abstaining); their median radius is **{right['radius'].median():.3f}**. "
        "Click a point to open its image.",
        table=test,
        selection=True,
    )


text.page_header(
    "Noise σ*",
    "How much noise does each image bear, and what does that buy?",
    FORMULAS,
    ["2504.21730", "2012.04351"],
)
if run := state.pick_run():
    spread(run)
    gain(run)
    one_image.section(run)
    st.subheader("How good is σ*?", anchor=False)
    st.caption("Regret: the share of radius lost against each image's own best σ, by σ* and by the best single σ.")
    st.dataframe(core.regret(state.arrays(run, "sigma")), hide_index=True, column_config=REGRET)
