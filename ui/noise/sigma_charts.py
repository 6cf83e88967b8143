"""σ* over all images of a run: how it spreads, the images behind a bar, what it buys, the released σ* beside it."""

from __future__ import annotations

import streamlit as st

from certssb_core.figures import sigma as figures
from certssb_core.figures import theme
from certssb_core.plain_text import markdown_text
from certssb_core.results import per_image as core
from certssb_core.runs.run import Run
from ui.kit import charts, controls, run_files, tables
from ui.noise import one_image

VALUES = {"radius": "certified radius (L2 pixel units)", "margin": "margin (units of σ)"}
ROWS = 20
"""Images per page of the table behind a bar: each with its thumbnail."""
MOST_POINTS = 4_000
COLUMNS = {
    "image": st.column_config.ImageColumn("image", width="small"),
    "set": "set",
    "index": st.column_config.NumberColumn("index", format="localized"),
    "name": "label",
    "poisoned": "poisoned",
    "sigma": st.column_config.NumberColumn("σ*", format="%.4f"),
    "margin": st.column_config.NumberColumn("margin", format="%.3f"),
    "radius": st.column_config.NumberColumn("radius", format="%.3f"),
}


def spread(run: Run, by: str, of: str, bar: int | None = None, *, clickable: bool = True) -> None:
    """The histogram of σ*, its groups binned here, so that any number of images is a few bars in the browser."""
    bins = tables.sigma_bins(run, by, of)
    classes = {name: theme.class_colour(place) for place, name in enumerate(tables.class_names(run))}
    colours = classes if by == "class" else theme.COLOURS
    medians = tables.grouped(run, by, of).groupby("group", sort=False, observed=True)["sigma"].median()
    charts.show(
        figures.histogram(
            bins, colours=colours, start=run.config.noise.sigma, chosen=bar, limits=_at_limits(run, by, of)
        ),
        key="sigma-histogram",
        summary="Median σ\\*: "
        + ", ".join(f"{markdown_text(name)} **{value:.3f}**" for name, value in medians.items())
        + "."
        + (" Click a bar to see the images behind it." if clickable else ""),
        table=bins,
        selection=clickable,
    )


def _at_limits(run: Run, by: str, of: str) -> dict[float, int]:
    """Number of the images shown whose σ* is the least or the largest that the search allows."""
    noise, sigma = run.config.noise, run_files.arrays(run, "sigma")
    shown = {"set": tuple(core.SETS), "poisoned": ("train",)}.get(by, (of,))
    counts = {noise.sigma_min: 0, noise.sigma_max: 0}
    for name, share in core.sigma_at_ends(sigma, noise).items():
        if name in shown:
            counts[noise.sigma_min] += round(share["low"] * len(sigma[name]))
            counts[noise.sigma_max] += round(share["high"] * len(sigma[name]))
    return counts


def behind_a_bar(run: Run, by: str, of: str) -> int | None:
    """Controls that open a bar of the histogram, also set by a click on it; the images are shown by :func:`images_of`.

    Returns:
        The number of the open bar.
    """
    bins = tables.sigma_bins(run, by, of)
    groups = {"": "all", **{str(name): markdown_text(name) for name in bins["group"].unique()}}
    if click := charts.clicked("sigma-histogram"):
        st.session_state["bar"], st.session_state["group"], st.session_state["rows"] = int(click[1]), click[2], 0
    count = bins["low"].nunique()
    if st.session_state.get("bar") not in {None, *range(count)}:
        st.session_state["bar"] = None
    if st.session_state.get("group", "") not in groups:
        st.session_state["group"] = ""
    left, right = st.columns([1, 3])
    bar = left.number_input(
        f"Open bar (0 to {count - 1})", 0, count - 1, None, key="bar", bind="query-params", placeholder="click one"
    )
    with right:
        controls.choose("Images of", groups, "", key="group")
    return bar


def images_of(run: Run, by: str, of: str, bar: int) -> None:
    """The images that bar ``bar`` counts, a page at a time; a tick opens one under the microscope."""
    bins, group = tables.sigma_bins(run, by, of), st.session_state.get("group", "")
    rows = core.in_bar(tables.grouped(run, by, of), bins, bar, group)
    edges = bins.drop_duplicates("low").iloc[bar]
    left, right = st.columns([3, 1], vertical_alignment="bottom")
    left.markdown(
        f"**{len(rows):,}** images{f' of {markdown_text(group)}' if group else ''} have σ\\* from "
        f"**{edges['low']:.4f}** to **{edges['high']:.4f}**. Tick one to open it below."
    )
    with right:
        shown = controls.page(rows, ROWS, key="rows")
    st.dataframe(
        shown.assign(image=tables.thumbnails(run, shown)),
        hide_index=True,
        column_order=list(COLUMNS),
        column_config=COLUMNS,
        height=300,
        key="behind",
        on_select="rerun",
        selection_mode="single-row",
    )
    if (ticked := charts.ticked("behind")) is not None and ticked < len(shown):
        one_image.show(shown["set"].iloc[ticked], int(shown["index"].iloc[ticked]))


def gain(run: Run, value: str, *, clickable: bool = True) -> None:
    """σ* against what the image is certified for."""
    table = tables.samples(run)
    test = table[table["set"] != "train"]
    right = test[test["right"]]
    rule = run.config.certification
    unanimous = core.unanimous_margin(
        rule.bound,
        members=run.config.training.members,
        classes=len(tables.class_names(run)),
        alpha=rule.alpha,
    )
    drawn = test if len(test) <= MOST_POINTS else test.sample(MOST_POINTS, random_state=0)
    charts.show(
        figures.against(drawn, value, title=VALUES[value], colours=theme.COLOURS, unanimous=unanimous),
        key="sigma-against",
        summary=f"**{len(right):,} of {len(test):,}** test inputs get the right answer (crosses: wrong, or "
        f"abstaining); their median radius is **{right['radius'].median():.3f}**."
        + (" Click a point to open its image." if clickable else "")
        + (f" Drawn are {MOST_POINTS:,} of them, at random." if len(drawn) < len(test) else ""),
        table=drawn,
        selection=clickable,
    )


def beside_release(run: Run) -> None:
    """σ* of this run beside that of the public release, where one with the same test images was imported."""
    other = run_files.run_of_other_origin(run)
    if other is None:
        return
    ours, released = (run, other) if run.config.origin == "trained" else (other, run)
    table = core.beside_release(tables.samples(ours), tables.samples(released))
    st.subheader("Beside the released σ\\*", anchor=False)
    larger = int((table["theirs"] > table["ours"]).sum())
    charts.show(
        figures.beside(table, ours=ours.name, theirs=released.name),
        key="sigma-beside",
        summary=f"Clean test images. Median σ\\*: **{table['ours'].median():.3f}** in {ours.name}, "
        f"**{table['theirs'].median():.3f}** in {released.name} (the public release, whose update can only make σ "
        f"grow); the released σ\\* is larger for **{larger:,} of {len(table):,}** images. Click a point to open its "
        "image.",
        table=table,
        selection=True,
    )
