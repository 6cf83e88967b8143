"""The README's plots, from the numbers in results/.

    python -m benchmarks.plots [NAME …]          (needs a Chromium; NAME as in results/NAME.json; default: README's)

Writes assets/NAME.png.
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
import tempfile
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
from playwright.sync_api import sync_playwright

from certssb_core.figures import theme

ROOT = Path(__file__).parents[1]
RESULTS, ASSETS = ROOT / "benchmarks" / "results", ROOT / "assets"
STYLES = (
    ("envelope", theme.INK, "dash"),
    ("set-aside", theme.BLUE, "solid"),
    ("voted", theme.GREEN, "solid"),
    ("sample-specific", theme.ORANGE, "solid"),
)
"""Series are drawn by the first word found in their name."""


def envelope(facts: dict[str, Any]) -> go.Figure:
    """Certified accuracy against the radius: every sample-specific reading, the envelope, the release's points."""
    figure = go.Figure()
    radii = facts["radius"]["points"]
    for name, shares in facts["radius"].items():
        found = next(((colour, dash) for word, colour, dash in STYLES if word in name), None)
        if found:
            line = {"color": found[0], "dash": found[1], "width": 3}
            figure.add_scatter(x=radii, y=shares, name=name, mode="lines", line=line)
    points = facts.get("published by the release (not a certificate)")
    if points:
        marker = {"color": theme.PURPLE, "size": 13, "symbol": "x"}
        name = "the release's own numbers (not a certificate)"
        figure.add_scatter(x=points["radius"], y=points["share"], name=name, mode="markers+lines", marker=marker)
    theme.styled(figure, x="certified L2 radius r", y=f"right, radius > r ({facts['inputs']:,} images)", height=560)
    figure.update_yaxes(range=[0, 1.02], tickformat=".0%")
    title = f"{facts['members'][0]:,} members, α = {facts['alpha']:g}, {facts['bound']}"
    return _on_paper(figure, right=True, title=title)


def store(facts: dict[str, Any]) -> go.Figure:
    """Seconds against the number of inputs: the published script, and the store on images and on noise."""
    figure = go.Figure()
    series = {
        "published script": ("published script, MNIST", theme.PURPLE),
        "mnist": ("store, MNIST", theme.BLUE),
        "random": ("store, random pixels", theme.ORANGE),
    }
    for key, (name, colour) in series.items():
        if key in facts:
            found = facts[key]
            line = {"color": colour, "width": 3}
            figure.add_scatter(
                x=found["inputs"],
                y=found["seconds"],
                name=name,
                mode="lines+markers",
                line=line,
                marker={"size": 8},
            )
    machine = facts["machine"]
    theme.styled(figure, x="inputs inserted", y="seconds", height=560)
    figure.update_xaxes(type="log", dtick=1)
    figure.update_yaxes(type="log", dtick=1)
    title = f"Filling the store, {facts['dimensions']} pixels, {machine['processor']}, {machine['cores']} cores"
    return _on_paper(figure, right=False, title=title)


def members(facts: dict[str, Any]) -> go.Figure:
    """Certified accuracy against the radius, a line for every run and number of members."""
    figure = go.Figure()
    for (name, found), colour in zip(facts["runs"].items(), (theme.ORANGE, theme.BLUE, theme.GREEN), strict=False):
        line = {"color": colour, "width": 3, "shape": "hv"}
        figure.add_scatter(x=facts["radii"], y=found["share beyond"], name=name, mode="lines", line=line)
    theme.styled(figure, x="certified L2 radius r", y="right, radius > r", height=560)
    figure.update_yaxes(range=[0, 1.02], tickformat=".0%")
    return _on_paper(figure, right=True, title=f"α = {facts['alpha']:g}, {facts['bound']}")


def pareto(facts: dict[str, Any]) -> go.Figure:
    """Plug-in share beyond three radii against a member's cost, at the best σ; networks without votes as lines."""
    figure = go.Figure()
    kinds: dict[str, list[dict[str, Any]]] = {}
    for one in facts["entries"].values():
        name = one["model"] if one["epochs"] == 1 else f"{one['model']}, {one['epochs']} epochs"
        kinds.setdefault(name, []).append(one)
    cost = {name: min(sum(_cost(one)) for one in kind) for name, kind in kinds.items()}
    drawn = {name: [one["curves"]["20"]["plug-in"] for one in kind if "20" in one.get("curves", {})]
             for name, kind in kinds.items()}  # fmt: skip
    drawn = {name: shares for name, shares in drawn.items() if shares}
    for radius, colour in ((0.0, theme.INK), (0.25, theme.BLUE), (0.5, theme.ORANGE)):
        at = facts["radii"].index(radius)
        figure.add_scatter(
            x=[cost[name] for name in drawn],
            y=[max(shares[at] for shares in found) for found in drawn.values()],
            name=f"r = {radius:g}",
            mode="markers",
            marker={"size": 13, "color": colour},
        )
    theme.styled(figure, x="processor seconds a member, votes included", y="plug-in share, radius > r", height=560)
    for name, kind in kinds.items():
        text = name
        if name not in drawn:
            figure.add_shape(type="line", x0=cost[name], x1=cost[name], yref="paper", y0=0, y1=1, line={"dash": "dash"})
            text += ", estimated" if any(one["cpu seconds"]["estimated"] for one in kind) else ", too few members"
        figure.add_annotation(x=math.log10(cost[name]), y=0.4, text=text, textangle=-90, showarrow=False, xshift=-17)
    figure.update_xaxes(type="log", dtick=1, range=[-1, 4])
    figure.update_yaxes(range=[0, 1.02], tickformat=".0%")
    _on_paper(
        figure,
        right=False,
        title="What 20 members would certify with very many votes, at the best σ measured (no certificate)",
    )
    return figure.update_layout(legend={"y": 0.2})


def _cost(entry: dict[str, Any]) -> tuple[float, float]:
    return entry["cpu seconds"]["training"], entry["cpu seconds"]["votes"]


def _on_paper(figure: go.Figure, *, right: bool, title: str) -> go.Figure:
    """White, with its legend in a corner inside."""
    side = {"x": 1, "xanchor": "right", "y": 1} if right else {"x": 0.02, "xanchor": "left", "y": 0.98}
    figure.update_layout(
        paper_bgcolor="white",
        plot_bgcolor="white",
        legend={"orientation": "v", "yanchor": "top"} | side,
        title=title,
        margin={"t": 60},
    )
    return figure


PLOTTED = ("envelope-mnist", "members-digits", "pareto", "store")
FIGURES = {"store": store, "members": members, "envelope": envelope, "pareto": pareto}


def figure_of(name: str) -> go.Figure:
    facts = json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))
    return FIGURES[name.partition("-")[0]](facts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=None)
    known = [name for name in PLOTTED if (RESULTS / f"{name}.json").exists()]
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as folder:
        arguments = ["--no-sandbox", "--disable-gpu"]
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=arguments)
        page = browser.new_page(viewport={"width": 1000, "height": 600}, device_scale_factor=1.5)
        for name in parser.parse_args().names or known:
            figure_of(name).write_html(Path(folder) / "plot.html", config={"displayModeBar": False})
            page.goto((Path(folder) / "plot.html").as_uri())
            page.wait_for_selector(".main-svg")
            page.screenshot(path=ASSETS / f"{name}.png")
        browser.close()


if __name__ == "__main__":
    main()
