import numpy as np
import pandas as pd
import pytest

from certssb_core.figures import sigma


@pytest.fixture
def values():
    generator = np.random.default_rng(0)
    return pd.Series(np.exp(generator.normal(-1, 0.5, 500))), pd.Series(["a"] * 400 + ["b"] * 100)


def test_bins_hold_every_image_once_and_edges_grow_by_one_ratio(values):
    table = sigma.binned(*values, bins=20)
    assert table.groupby("group")["count"].sum().to_dict() == {"a": 400, "b": 100}
    assert table.groupby("group")["share"].sum().to_dict() == pytest.approx({"a": 1.0, "b": 1.0})
    row = table.iloc[7]
    data, group = values
    assert row["count"] == ((group == "a") & (data >= row["low"]) & (data < row["high"])).sum() > 0
    edges = table.loc[table["group"] == "a", "low"].to_numpy()
    np.testing.assert_allclose(edges[1:] / edges[:-1], (data.max() / data.min()) ** (1 / 20))


def test_one_value_for_all_is_still_a_histogram():
    table = sigma.binned(pd.Series([0.25] * 9), pd.Series(["a"] * 9), bins=5)
    assert table["count"].sum() == 9


def test_histogram_draws_percent_of_the_group_and_sigma_0(values):
    table = sigma.binned(*values, bins=20)
    figure = sigma.histogram(table, colours={"a": "#000001", "b": "#000002"}, start=0.25)
    assert [trace.name for trace in figure.data] == ["a (n = 400)", "b (n = 100)"]
    assert sum(figure.data[1].y[1:-2]) == pytest.approx(100)
    assert figure.data[0].line.color == "#000001"
    assert figure.layout.shapes[0].x0 == 0.25
    assert "pixel units" in figure.layout.xaxis.title.text


def test_against_marks_wrong_answers_and_carries_the_key_of_each_image():
    samples = pd.DataFrame(
        {
            "set": ["clean", "clean", "triggered"],
            "index": [4, 9, 4],
            "name": ["zero", "one", "zero"],
            "sigma": [0.1, 0.2, 0.4],
            "right": [True, False, True],
            "radius": [0.2, 0.0, 0.5],
        }
    )
    figure = sigma.against(
        samples, "radius", title="radius", colours={"clean": "#111111", "triggered": "#222222"}, unanimous=2.0
    )
    right, wrong, triggered, none_wrong, line = figure.data
    assert (right.customdata.tolist(), wrong.customdata.tolist()) == (
        [["clean", 4, "zero"]],
        [["clean", 9, "one"]],
    )
    assert (right.marker.symbol, wrong.marker.symbol) == ("circle", "x")
    assert list(triggered.y) == [0.5]
    assert len(none_wrong.x) == 0
    np.testing.assert_allclose(line.y / line.x, 2.0)


def test_ascent_stars_the_best_of_the_grid():
    grid = np.geomspace(0.05, 2.0, 30)
    curve = np.exp(-(np.log(grid / 0.4) ** 2))
    figure = sigma.ascent(grid, curve, np.array([0.25, 0.3]), np.array([0.8, 0.9]), sigma_star=0.3)
    star = next(trace for trace in figure.data if trace.marker.symbol == "star")
    assert star.y[0] == max(curve)
    assert abs(np.log(star.x[0] / 0.4)) < np.log(grid[1] / grid[0])
    assert figure.layout.annotations[0].x == pytest.approx(np.log10(0.3))
