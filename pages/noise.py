"""Noise σ*: how much noise each image bears, what that buys, and how it was found."""

import streamlit as st

from certssb_core.plain_text import markdown_text
from certssb_core.results import per_image as core
from certssb_core.results import permuted_levels
from certssb_core.runs.run import Run
from ui.kit import controls, run_files, tables, text, view_as_code
from ui.noise import one_image, sigma_charts

FORMULAS = r"""
$$r(x, \sigma) = \tfrac{\sigma}{2}\left[\Phi^{-1}(\min(\bar p_A(\sigma), p_{cap}))
- \Phi^{-1}(\max(\bar p_B(\sigma), 1 - p_{cap}))\right], \qquad p_{cap} = (\alpha/2)^{1/M}$$

σ\* is found by ascent on log σ from σ₀. The gradient flows through the network as well as through the
factor σ, so σ can fall as well as grow. $p_{cap}$ is what M unanimous votes can certify.

**Regret** = 1 − mean r(x, σ\*) / mean max r(x, σ), the maximum taken over a dense grid of σ.
"""
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
        by = controls.choose("Split by", core.groupings(tables.samples(run)), "set", key="by")
        of = controls.choose("Of", one_image.set_names(run), "clean", key="of") if by == "class" else "train"
    place = st.container()
    bar = sigma_charts.behind_a_bar(run, by, of)
    with place:
        sigma_charts.spread(run, by, of, bar)
    if bar is not None:
        sigma_charts.images_of(run, by, of, bar)
    noise = run.config.noise
    if shares := core.sigma_at_ends(run_files.arrays(run, "sigma"), noise):
        words = "; ".join(f"{core.SETS[name]} {one['low']:.1%} and {one['high']:.1%}" for name, one in shares.items())
        st.caption(
            f"At the ends of the range of σ\\*, {noise.sigma_min:g} and {noise.sigma_max:g}, lie: {words}. These "
            "images would take another σ\\* if the range were wider."
        )
    metrics = run_files.metrics(run)
    if clue := permuted_levels.clue(metrics):
        st.warning(markdown_text(permuted_levels.caveat(clue)), icon=":material/warning:")
    elif asked := metrics.get("permuted_levels"):
        st.caption(markdown_text(f"{permuted_levels.in_words(asked)}."))
    view_as_code.show(view_as_code.sigma(run, by, of))


def gain(run: Run) -> None:
    st.subheader("What σ* buys", anchor=False)
    sigma_charts.gain(run, controls.choose("Against σ*", sigma_charts.VALUES, "radius", key="against"))


text.page_header(
    "noise",
    FORMULAS,
    ["2504.21730", "2012.04351"],
)
if run := run_files.pick_run(balls=True):
    spread(run)
    gain(run)
    sigma_charts.beside_release(run)
    one_image.section(run)
    st.subheader("How good is σ*?", anchor=False)
    st.caption("Regret: the share of radius lost against each image's own best σ, by σ* and by the best single σ.")
    st.dataframe(core.regret(run_files.arrays(run, "sigma")), hide_index=True, column_config=REGRET)
