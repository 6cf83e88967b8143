"""Backdoor smoothing as figures: how the measure is spread, how well it separates, and both against the attack."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from certssb_core.figures import theme

NAMES = {"clean": "clean", "triggered": "triggered", "control": "control patterns"}
COLOURS = {"clean": theme.COLOURS["clean"], "triggered": theme.COLOURS["triggered"], "control": theme.ORANGE}
_DASHES = {"clean": "dash", "triggered": "solid", "control": "dot"}
_MARKS = {"clean": "circle", "triggered": "diamond", "control": "square"}


def spread(table: pd.DataFrame, *, measure: str) -> go.Figure:
    """Share of inputs below every value, a line per group.

    Args:
        table: columns ``group, value, share``, rising.
        measure: what the values are.
    """
    figure = go.Figure()
    for group, rows in table.groupby("group", sort=False):
        figure.add_scatter(
            x=rows["value"],
            y=100 * rows["share"],
            name=NAMES[group],
            mode="lines",
            line={"color": COLOURS[group], "width": 3, "dash": _DASHES[group]},
            hovertemplate="%{y:.0f} % lie below %{x:.3f}",
        )
    theme.styled(figure, x=f"{measure} (lower: smoother)", y="inputs below (%)", height=400)
    return figure.update_yaxes(range=[-2, 102])


def roc(table: pd.DataFrame) -> go.Figure:
    """Triggered inputs found against others taken for triggered, where those below a threshold are named.

    Args:
        table: columns ``against, alarms, hits``, shares.
    """
    figure = go.Figure()
    figure.add_scatter(
        x=[0, 100], y=[0, 100], mode="lines", line={"color": theme.INK, "width": 1}, showlegend=False, hoverinfo="skip"
    )
    for group, rows in table.groupby("against", sort=False):
        figure.add_scatter(
            x=100 * rows["alarms"],
            y=100 * rows["hits"],
            name=f"from {NAMES[group]}",
            mode="lines",
            line={"color": COLOURS[group], "width": 3, "dash": _DASHES[group]},
            hovertemplate="%{y:.0f} % found at %{x:.0f} % false alarms",
        )
    theme.styled(figure, x="others taken for triggered (%)", y="triggered found (%)", height=400)
    return figure.update_yaxes(range=[-2, 102]).update_xaxes(range=[-2, 102])


def against_success(table: pd.DataFrame, *, measure: str) -> go.Figure:
    """The measure and the AUC of attacks of rising success.

    Args:
        table: columns ``attack_success`` and, of every group, ``GROUP, GROUP_low, GROUP_high`` (median and quartiles)
            and ``auc_GROUP, …`` (with its interval); sorted by success.
        measure: what the values are.
    """
    titles = [f"{measure}: medians and quartiles", "AUC with 95 % interval"]
    figure = make_subplots(rows=1, cols=2, horizontal_spacing=0.09, subplot_titles=titles)
    for group, name in NAMES.items():
        for column, of, label in ((1, group, name), (2, f"auc_{group}", f"triggered from {name}")):
            if of in table:
                _line(figure, table, of, column=column, group=group, name=label)
    figure.add_hline(0.5, line={"color": theme.INK, "width": 1.5, "dash": "dot"}, row=1, col=2)
    theme.styled(figure, x="attack success rate (%)", height=440)
    figure.update_annotations(font_size=theme.FONT_SIZE)
    figure.update_yaxes(range=[-0.03, 1.03], row=1, col=2)
    return figure.update_layout(margin_t=84, legend_y=1.1)


def _line(figure: go.Figure, table: pd.DataFrame, of: str, *, column: int, group: str, name: str) -> None:
    figure.add_scatter(
        x=100 * table["attack_success"],
        y=table[of],
        error_y={
            "type": "data",
            "symmetric": False,
            "array": table[f"{of}_high"] - table[of],
            "arrayminus": table[of] - table[f"{of}_low"],
            "thickness": 1.5,
        },
        name=name,
        legendgroup=group,
        showlegend=column == 1,
        mode="lines+markers",
        marker={"size": 9, "symbol": _MARKS[group]},
        line={"color": COLOURS[group], "width": 3, "dash": _DASHES[group]},
        hovertemplate=f"{name}: %{{y:.3f}} at %{{x:.1f}} % success<extra></extra>",
        row=1,
        col=column,
    )
