"""The section of the Noise page that opens one image: with noise, its r(x, σ) and the ascent to σ*."""

from __future__ import annotations

import numpy as np
import streamlit as st

from certssb_core.figures import sigma as figures
from certssb_core.figures.images import picture
from certssb_core.plain_text import markdown_text
from certssb_core.results import per_image as core
from certssb_core.runs.run import Run
from ui.kit import charts, controls, errand, run_files, tables, text

SET_NAMES = {"train": "training", "clean": "clean test", "triggered": "triggered test"}


def set_names(run: Run) -> dict[str, str]:
    """The sets whose σ* the run knows: an imported one says nothing of training images."""
    there = set(tables.samples(run)["set"])
    return {name: words for name, words in SET_NAMES.items() if name in there}


def show(name: str, index: int) -> None:
    """Make :func:`section` open this image; to be called before it."""
    st.session_state["set"], st.session_state["index"] = name, index


@st.fragment
def section(run: Run) -> None:
    """One image of ``run``, chosen by a click on a point of the page's charts or by the controls."""
    st.subheader("One image", anchor=False)
    for chart in ("sigma-against", "sigma-beside"):
        if click := charts.clicked(chart):
            show(click[0], int(click[1]))
    left, middle, right = st.columns([2, 1, 2])
    table = tables.samples(run)
    with left:
        name = controls.choose("Set", set_names(run), "clean", key="set")
    with middle:
        kept = core.with_ascent(run_files.arrays(run, "sigma"), name)
        count = int((table["set"] == name).sum())
        index = controls.position(
            f"Image (0 to {count - 1:,})", count, key="index", start=tables.ordinary(run, name, tuple(map(int, kept)))
        )
    sigma = right.slider(
        "Try another σ",
        0.0,
        run.config.noise.sigma_max,
        run.config.noise.sigma,
        0.01,
        key="sigma",
        bind="query-params",
    )
    view(run, name, index, sigma)


def view(run: Run, name: str, index: int, sigma: float) -> None:
    """The image as it is, with noise at its σ* and at ``sigma``, and its r(x, σ)."""
    table = tables.samples(run)
    row = table[(table["set"] == name) & (table["index"] == index)].iloc[0]
    facts = [
        f"**{SET_NAMES[name]} image {index}**",
        f"label {markdown_text(row['name'])}",
        f"σ\\* **{row['sigma']:.3f}**",
    ]
    facts += ["poisoned"] if row["poisoned"] else []
    facts += [] if name == "train" else [f"margin {row['margin']:.3f}", f"radius **{row['radius']:.3f}**"]
    if name != "train" and (drawn := tables.fixed_radius(run, name, index)) is not None:
        facts += [f"fixed ensemble: radius **{drawn:.3f}**"]
    facts += [words] if (words := tables.judged(run, name, index)) else []
    charts.words(" · ".join(facts))
    pixels = tables.picture_of(run, name, index)
    if pixels is not None:
        shown = {
            0.0: "as it is",
            row["sigma"]: f"with noise at σ* = {row['sigma']:.3f}",
            sigma: f"at σ = {sigma:.2f}",
        }
        noisy = {words: picture(core.with_noise(pixels, amount), side=260) for amount, words in shown.items()}
        charts.pictures([charts.Picture(source, words) for words, source in noisy.items()], side=260)
    _curve(run, name, index)


def _curve(run: Run, name: str, index: int) -> None:
    sigma = run_files.arrays(run, "sigma")
    found = core.ascent(sigma, name, index)
    if found is None:
        _curve_on_demand(run, name, index, sigma)
        return
    way, scatter = "The search took no steps: the noise levels that it tried led to", ""
    if steps := len(found.path_sigma) - 1:
        way = f"The ascent took {steps} steps from σ = {found.path_sigma[0]:.3f} to"
        scatter = f" The ascent's own estimates, from {run.config.noise.draws} draws each, scatter about the curve."
    charts.show(
        figures.ascent(
            found.curve_sigma,
            found.curve_radius,
            found.path_sigma,
            found.path_radius,
            sigma_star=found.sigma_star,
        ),
        key="sigma-ascent",
        summary=f"{way} σ\\* = **{found.sigma_star:.3f}** with r = **{found.radius_star:.3f}**; the best on the grid "
        f"is r = {found.best_radius:.3f} at σ = {found.best_sigma:.3f}.{scatter}",
        table=core.ascent_table(found),
    )


def _curve_on_demand(run: Run, name: str, index: int, sigma: dict[str, np.ndarray]) -> None:
    """r(x, σ) of an image whose curve the run did not keep, computed by another process when it is asked for."""
    key = f"curve/{run.path.resolve()}/{run.path.stat().st_mtime_ns}/{name}/{index}"
    if (answer := errand.answer(key)) is None:
        text.empty(
            f"The run kept the curves of {len(core.with_ascent(sigma, name))} {SET_NAMES[name]} images, and this is "
            "none of them. It can be computed now, in some seconds."
        )
        errand.offer(
            key,
            *("curve", str(run.path.resolve()), name, str(index), "--json"),
            button="Compute the curve",
            icon=":material/show_chart:",
            help="r(x, σ) on a grid of σ, by the network that σ* was found on.",
            working="Computing the curve …",
        )
        return
    found = core.traced(sigma, name, index, np.array(answer["sigma"]), np.array(answer["radius"]))
    charts.show(
        figures.ascent(found.curve_sigma, found.curve_radius, sigma_star=found.sigma_star),
        key="sigma-ascent",
        summary=f"Computed now: at σ\\* = **{found.sigma_star:.3f}** r is **{found.radius_star:.3f}**; the best on the "
        f"grid is r = {found.best_radius:.3f} at σ = {found.best_sigma:.3f}. The run did not "
        "keep the way of the ascent.",
        table=core.ascent_table(found),
    )
