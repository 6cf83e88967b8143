"""σ* in pictures: how it spreads over the images, what it buys, and how it was found for one of them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from certssb_core.figures import theme
from certssb_core.plain_text import chart_text

_SIGMA = "σ* (pixel units, log scale)"
_NAMED_TICKS = np.array([0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50])
_ROW_PIXELS = (90, 38)  # height of a row: of few groups, of many
_FEW = 3
_ROW = 0.85  # height of the tallest bar of a row, in rows
_SVG_POINTS = 5000  # beyond, the browser needs WebGL to stay fluid


def binned(sigma: pd.Series, group: pd.Series, *, bins: int | None = None) -> pd.DataFrame:
    """Count σ* per group in bins of equal ratio (the ascent moves on log σ).

    Args:
        sigma: ``(n,)`` > 0.
        group: ``(n,)`` names; groups come out in order of first appearance.
        bins: number of bins between the least and the largest σ*; by default it grows with ∛n.

    Returns:
        One row per group and bin: ``group, low, high, count, share`` (share of its group, in [0, 1]).
    """
    bins = bins or int(np.clip(4 * np.cbrt(len(sigma)), 10, 60))
    low, high = float(sigma.min()), float(sigma.max())
    edges = np.geomspace(low, high, bins + 1) if high > low * 1.01 else np.geomspace(low / 1.1, low * 1.1, bins + 1)
    edges[0], edges[-1] = min(edges[0], low), max(edges[-1], high)
    parts = []
    for name in group.unique():
        counts, _ = np.histogram(sigma[group == name], bins=edges)
        parts.append(
            pd.DataFrame(
                {
                    "group": name,
                    "low": edges[:-1],
                    "high": edges[1:],
                    "count": counts,
                    "share": counts / max(counts.sum(), 1),
                }
            )
        )
    return pd.concat(parts, ignore_index=True)


def binned_sets(levels: dict[str, np.ndarray]) -> pd.DataFrame:
    """:func:`binned` of several sets: ``{name: (n,)}``."""
    group = np.repeat(list(levels), [len(values) for values in levels.values()])
    return binned(pd.Series(np.concatenate(list(levels.values()))), pd.Series(group))


def histogram(
    table: pd.DataFrame,
    *,
    colours: dict[str, str],
    start: float | None = None,
    chosen: int | None = None,
    limits: dict[float, int] | None = None,
) -> go.Figure:
    """Draw :func:`binned`; a bar's ``customdata`` begins with ``["bar", number, group]``.

    Several groups stand in rows, the first on top, each to its own scale.

    Args:
        table: of :func:`binned`.
        colours: a colour per group.
        start: σ₀, where the ascent began; drawn as a dotted line.
        chosen: number of the bar that is open, drawn as a band.
        limits: the ends of the searched range, each with the number of images whose σ* lies there.
    """
    figure = go.Figure()
    groups = table["group"].unique()
    edges = np.append(table["low"].unique(), table["high"].max())
    in_rows = len(groups) > 1
    for row, name in enumerate(groups):
        rows = table[table["group"] == name]
        bars = _bars(rows, edges, name=name, colour=colours[name])
        scale = _ROW / (rows["share"].max() or 1.0) if in_rows else 100.0
        base = len(groups) - 1 - row if in_rows else None
        figure.add_trace(bars.update(y=scale * rows["share"].to_numpy(), base=base))
    if start is not None:
        _vertical(figure, start, f"σ₀ = {start:g}", inside=(float(edges[0]), float(edges[-1])))
    if chosen is not None and chosen < len(edges) - 1:
        figure.add_vrect(edges[chosen], edges[chosen + 1], line_width=2, line_color=theme.INK, fillcolor=theme.GRID)
    if in_rows:
        theme.styled(
            figure,
            x=_SIGMA,
            y="group, each to its own scale",
            height=130 + _ROW_PIXELS[len(groups) > _FEW] * len(groups),
            legend=False,
        )
        counts = table.groupby("group", sort=False)["count"].sum()
        names = [
            chart_text(name) + (f"<br>(n = {counts[name]:,})" if len(groups) <= _FEW else "") for name in groups[::-1]
        ]
        figure.update_yaxes(tickvals=np.arange(len(groups)) + 0.3, ticktext=names, showgrid=False)
    else:
        theme.styled(figure, x=_SIGMA, y="share of the group (%)")
    figure.update_layout(barmode="overlay", bargap=0)
    for end, count in (limits or {}).items():
        if count and edges[0] * 0.99 <= end <= edges[-1] * 1.01:
            _limit(figure, end, count, left=end > np.sqrt(edges[0] * edges[-1]))
    return _on_log_sigma(figure, edges[0], edges[-1])


def _bars(rows: pd.DataFrame, edges: np.ndarray, *, name: str, colour: str) -> go.Bar:
    """Bars that fill their bins on the logarithmic axis; their heights are left to the caller."""
    middles = np.sqrt(edges[:-1] * edges[1:])
    return go.Bar(
        x=middles,
        width=edges[1:] - edges[:-1],
        offset=edges[:-1] - middles,
        customdata=[
            ["bar", bar, str(name), int(row.count_), f"{row.low:.3f} to {row.high:.3f}", row.share]
            for bar, row in enumerate(rows.rename(columns={"count": "count_"}).itertuples())
        ],
        name=f"{chart_text(name)} (n = {rows['count'].sum():,})",
        marker={"color": theme.translucent(colour, 0.35), "line": {"color": colour, "width": 1.5}},
        unselected={"marker": {"opacity": 1.0}},
        hovertemplate="σ* from %{customdata[4]}: %{customdata[3]:,} images (%{customdata[5]:.1%})",
    )


def beside(table: pd.DataFrame, *, ours: str, theirs: str) -> go.Figure:
    """σ* of the same images as two runs found it, one point per image, and the line where they agree.

    Args:
        table: columns ``index, name, ours, theirs``; a point's ``customdata`` is ``[set, index, name]``.
        ours, theirs: names of the two runs.
    """
    figure = go.Figure()
    scatter = go.Scattergl if len(table) > _SVG_POINTS else go.Scatter
    figure.add_trace(
        scatter(
            x=table["ours"],
            y=table["theirs"],
            customdata=table[["set", "index"]].assign(name=table["name"].map(chart_text)),
            name=f"one of {len(table):,} test images",
            mode="markers",
            marker={"size": 7, "opacity": 0.6, "color": theme.SKY},
            hovertemplate="%{customdata[0]} image %{customdata[1]} (%{customdata[2]})<br>"
            "here %{x:.3f}, released %{y:.3f}<extra></extra>",
        )
    )
    ends = [min(table["ours"].min(), table["theirs"].min()), max(table["ours"].max(), table["theirs"].max())]
    figure.add_scatter(
        x=ends, y=ends, name="the same σ*", mode="lines", line={"color": theme.INK, "dash": "dot"}, hoverinfo="skip"
    )
    theme.styled(figure, x=f"σ* in {ours} (pixel units)", y=f"σ* in {theirs} (pixel units)")
    return _on_log_sigma(figure, table["ours"].min(), table["ours"].max())


def against(
    samples: pd.DataFrame, value: str, *, title: str, colours: dict[str, str], unanimous: float | None = None
) -> go.Figure:
    """One point per test image: σ* against ``value``; wrong or abstaining answers are crosses.

    Args:
        samples: columns ``set, index, name, sigma, right`` and ``value``; a point's ``customdata`` is
            ``[set, index, name]``.
        value: the column on the vertical axis.
        title: of the vertical axis, with its unit.
        colours: a colour per set.
        unanimous: largest margin that this many members can certify; draws σ · margin for ``radius`` and a
            level line for ``margin``.
    """
    figure = go.Figure()
    scatter = go.Scattergl if len(samples) > _SVG_POINTS else go.Scatter
    for name in samples["set"].unique():
        for right, symbol, opacity in ((True, "circle", 0.7), (False, "x", 1.0)):
            rows = samples[(samples["set"] == name) & (samples["right"] == right)]
            figure.add_trace(
                scatter(
                    x=rows["sigma"],
                    y=rows[value],
                    customdata=rows[["set", "index"]].assign(name=rows["name"].map(chart_text)),
                    name=f"{name}, {'right' if right else 'not'} ({len(rows):,})",
                    mode="markers",
                    marker={"size": 8, "opacity": opacity, "color": colours[name], "symbol": symbol},
                    hovertemplate="%{customdata[0]} image %{customdata[1]} (%{customdata[2]})<br>"
                    "σ* = %{x:.3f}, %{y:.3f}<extra></extra>",
                )
            )
    if unanimous is not None and len(samples):
        ends = np.geomspace(samples["sigma"].min(), samples["sigma"].max(), 50)
        figure.add_scatter(
            x=ends,
            y=unanimous * ends if value == "radius" else np.full_like(ends, unanimous),
            name="all members agree",
            mode="lines",
            line={"color": theme.INK, "width": 1.5, "dash": "dot"},
            hoverinfo="skip",
        )
    theme.styled(figure, x=_SIGMA, y=title)
    figure.update_yaxes(rangemode="tozero")
    return _on_log_sigma(figure, samples["sigma"].min(), samples["sigma"].max())


def ascent(
    curve_sigma: np.ndarray,
    curve_radius: np.ndarray,
    path_sigma: np.ndarray | None = None,
    path_radius: np.ndarray | None = None,
    *,
    sigma_star: float,
) -> go.Figure:
    """r(x, σ) of one image, its optimum, and the way the ascent took to σ*, where it is known.

    Args:
        curve_sigma, curve_radius: ``(G,)`` the dense curve; radius in L2 pixel units.
        path_sigma, path_radius: ``(T + 1,)`` the ascent, start first.
        sigma_star: where it ended.
    """
    best = int(np.argmax(curve_radius))
    figure = go.Figure()
    figure.add_scatter(
        x=curve_sigma,
        y=curve_radius,
        name="r(x, σ)",
        mode="lines",
        line={"color": theme.INK, "width": 3},
        hovertemplate="σ = %{x:.3f}: r = %{y:.3f}<extra></extra>",
    )
    if path_sigma is not None and path_radius is not None and len(path_sigma) > 1:
        _way(figure, path_sigma, path_radius)
    figure.add_scatter(
        x=curve_sigma[[best]],
        y=curve_radius[[best]],
        name="best σ on the grid",
        mode="markers",
        marker={"symbol": "star", "size": 20, "color": theme.ORANGE, "line": {"width": 1, "color": theme.INK}},
        hovertemplate="best: σ = %{x:.3f}, r = %{y:.3f}<extra></extra>",
    )
    shown = np.concatenate([curve_sigma, [] if path_sigma is None else path_sigma])
    ends = float(shown.min()), float(shown.max())
    _vertical(figure, sigma_star, f"σ* = {sigma_star:.3f}", inside=ends)
    theme.styled(figure, x="σ (pixel units, log scale)", y="r(x, σ) (L2 pixel units)")
    figure.update_yaxes(rangemode="tozero")
    return _on_log_sigma(figure, *ends)


def _way(figure: go.Figure, path_sigma: np.ndarray, path_radius: np.ndarray) -> None:
    """The steps of the ascent, from the first in purple to the last in yellow."""
    steps = np.arange(len(path_sigma))
    figure.add_scatter(
        x=path_sigma,
        y=path_radius,
        customdata=steps,
        name="ascent, purple to yellow",
        mode="lines+markers",
        line={"color": theme.INK, "width": 1, "dash": "dot"},
        marker={
            "size": 10,
            "color": steps,
            "colorscale": [[0, theme.PURPLE], [1, theme.YELLOW]],
            "line": {"width": 1, "color": theme.INK},
        },
        hovertemplate="step %{customdata}: σ = %{x:.3f}, r = %{y:.3f}<extra></extra>",
    )


def _vertical(figure: go.Figure, sigma: float, words: str, *, inside: tuple[float, float] = (0.0, np.inf)) -> None:
    """Mark ``sigma``, its words on the side that has room for them: ``inside`` are the ends of the axis."""
    low, high = inside
    left = bool(low and np.log(sigma / low) > 0.8 * np.log(high / low))
    theme.vertical(figure, sigma)
    # On a log axis plotly places annotations (unlike lines) by the exponent.
    figure.add_annotation(
        x=np.log10(sigma),
        y=1,
        yref="paper",
        text=words,
        showarrow=False,
        xanchor="right" if left else "left",
        xshift=-6 if left else 6,
        yanchor="top",
    )


def _limit(figure: go.Figure, sigma: float, count: int, *, left: bool) -> None:
    """Say above a bar at an end of the searched range how many images stopped there."""
    figure.add_annotation(
        x=np.log10(sigma),
        y=1,
        yref="paper",
        text=f"search limit: {count:,} images",
        showarrow=False,
        xanchor="right" if left else "left",
        yanchor="bottom",
    )
    figure.update_layout(margin_t=max(44, figure.layout.margin.t or 0))


def _on_log_sigma(figure: go.Figure, low: float, high: float) -> go.Figure:
    margin = 0.03 * (np.log10(high / low) or 1.0)
    ticks = _NAMED_TICKS[(low * 0.9 <= _NAMED_TICKS) & (high * 1.1 >= _NAMED_TICKS)]
    figure.update_xaxes(
        type="log",
        range=[np.log10(low) - margin, np.log10(high) + margin],
        tickvals=ticks if len(ticks) > 1 else None,
        ticktext=[f"{tick:g}" for tick in ticks] if len(ticks) > 1 else None,
    )
    return figure
