"""Members' votes on an image, beside their votes before it was changed."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import plotly.graph_objects as go

from certssb_core.figures import theme
from certssb_core.plain_text import chart_text

_COLOURS = {"picked": theme.GREY, "asked": theme.SKY}


def table(asked: Sequence[int], classes: Sequence[str], picked: Sequence[int] | None = None) -> pd.DataFrame:
    """One row per class: ``class``, votes on the image ``asked`` and, where there is one, on the ``picked`` one."""
    columns = {"class": list(classes)} | ({} if picked is None else {"picked": list(picked)}) | {"asked": list(asked)}
    return pd.DataFrame(columns)


def bars(votes: pd.DataFrame, *, names: dict[str, str], height: int = 330) -> go.Figure:
    """Votes per class of every column of :func:`table`, under its name in ``names``."""
    figure, newest = go.Figure(), votes.columns[-1]
    for column in votes.columns[1:]:
        figure.add_bar(
            x=votes["class"].map(chart_text),
            y=votes[column],
            name=names[column],
            marker_color=_COLOURS[column],
            text=[f"{count:,}" if count and column == newest else "" for count in votes[column]],
            textposition="outside",
            textangle=0,
            constraintext="none",  # else plotly shrinks it to the width of its bar
            cliponaxis=False,
            hovertemplate="class %{x}: %{y} votes",
        )
    theme.styled(figure, x="class", y="votes", height=height, legend=len(votes.columns) > 2)
    figure.update_xaxes(type="category")
    return figure.update_layout(bargap=0.25, bargroupgap=0.08)
