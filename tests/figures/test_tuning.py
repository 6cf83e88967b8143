import numpy as np
import pandas as pd
import pytest

from certssb_core.figures import theme
from certssb_core.figures.tuning import FRONT, OTHERS, importance, parallel, pareto

TABLE = pd.DataFrame(
    {
        "run": ["a", "b", "c", "d"],
        "about": ["one", "two", "three", "four"],
        "front": [True, False, True, True],
        "accuracy": [0.9, 0.7, 0.8, 0.6],
        "radius": [0.1, 0.15, 0.2, 0.4],
        "seconds": [1.0, 10.0, 100.0, 1.0],
        "map": ["uniform", "own", "own", "uniform"],
    }
)


def by_name(figure):
    return {trace.name: trace for trace in figure.data if trace.name}


def test_points_carry_their_runs_and_say_which_are_on_the_front():
    figure = pareto(TABLE, x="radius", y="accuracy", x_title="radius (px)", y_title="accuracy", x_maximised=True)
    points = by_name(figure)
    assert [row[0] for row in points[FRONT].customdata] == ["a", "c", "d"]
    assert list(points[OTHERS].x) == [0.15]
    assert figure.layout.xaxis.title.text == "radius (px)"


@pytest.mark.parametrize("maximised", [True, False])
def test_every_beaten_point_lies_on_the_worse_side_of_the_stairs(maximised):
    """The height of the stairs between two front points is that of the one that beats what lies there."""
    table = TABLE.assign(x=TABLE["radius"] if maximised else -TABLE["radius"])
    figure = pareto(table, x="x", y="accuracy", x_title="", y_title="", x_maximised=maximised)
    stairs = figure.data[0]
    assert list(stairs.x) == sorted(stairs.x)
    beaten = 0.15 if maximised else -0.15  # between a (0.1, 0.9) and c (0.2, 0.8): only c reaches so far
    left, right = sorted([(0.1, 0.9), (0.2, 0.8)] if maximised else [(-0.1, 0.9), (-0.2, 0.8)])
    assert left[0] < beaten < right[0]
    height = right[1] if stairs.line.shape == "vh" else left[1]  # vh: first down, then along
    assert height == 0.8


def test_importance_in_percent_with_a_bar_per_objective():
    table = pd.DataFrame(
        {"objective": ["accuracy", "accuracy", "radius"], "setting": ["σ₀", "Epochs", "σ₀"], "share": [0.75, 0.25, 1.0]}
    )
    bars = by_name(importance(table, titles={"accuracy": "Accuracy", "radius": "Radius", "seconds": "Time"}))
    assert set(bars) == {"Accuracy", "Radius"}
    assert dict(zip(bars["Accuracy"].y, bars["Accuracy"].x, strict=True)) == {"σ₀": 75, "Epochs": 25}
    assert np.isnan(dict(zip(bars["Radius"].y, bars["Radius"].x, strict=True))["Epochs"])


def test_parallel_axes_run_from_the_least_to_the_most():
    axes = ["accuracy", "seconds", "map"]
    figure = parallel(TABLE, axes=axes, titles={axis: axis for axis in axes}, log=["seconds"])
    lines = {trace.customdata[0]: list(trace.y) for trace in figure.data}
    assert lines["a"] == pytest.approx([1, 0, 0.75])
    assert lines["b"] == pytest.approx([1 / 3, 0.5, 0.25]), "10 lies halfway from 1 to 100 on a log axis"
    assert lines["d"][0] == 0
    words = {annotation.text for annotation in figure.layout.annotations}
    assert words == {"0.6", "0.9", "1", "100", "uniform", "own", *(f"<b>{axis}</b>" for axis in axes)}
    assert [trace.showlegend for trace in figure.data] == [True, True, False, False]
    assert figure.data[-1].line.color == theme.ORANGE, "the front is drawn last, on top"


def test_an_axis_without_a_spread_is_drawn_in_the_middle():
    figure = parallel(TABLE.head(1), axes=["accuracy"], titles={"accuracy": "a"})
    assert list(figure.data[0].y) == [0.5]
