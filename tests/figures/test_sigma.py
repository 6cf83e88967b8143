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


def test_one_group_is_drawn_in_percent_and_with_sigma_0(values):
    data, group = values
    table = sigma.binned(data, pd.Series(["a"] * len(group)), bins=20)
    figure = sigma.histogram(table, colours={"a": "#000001"}, start=0.25)
    assert [trace.name for trace in figure.data] == ["a (n = 500)"]
    assert sum(figure.data[0].y) == pytest.approx(100)
    assert figure.data[0].marker.line.color == "#000001"
    assert figure.layout.shapes[0].x0 == 0.25
    assert "pixel units, log scale" in figure.layout.xaxis.title.text


def test_the_ends_of_the_search_are_labelled_and_counted(values):
    table = sigma.binned(*values, bins=20)
    colours = {"a": "#000001", "b": "#000002"}
    low, high = table["low"].min(), table["high"].max()
    figure = sigma.histogram(table, colours=colours, limits={low: 0, high: 7, 10 * high: 3})
    assert [note.text for note in figure.layout.annotations] == ["search limit: 7 images"]
    assert list(figure.layout.yaxis.ticktext) == ["b<br>(n = 100)", "a<br>(n = 400)"], "small multiples, each counted"


def test_bars_fill_their_bins_and_a_click_says_which(values):
    table = sigma.binned(*values, bins=20)
    figure = sigma.histogram(table, colours={"a": "#000001", "b": "#000002"}, chosen=7)
    bars, rows = figure.data[1], table[table["group"] == "b"]
    np.testing.assert_allclose(bars.x + bars.offset, rows["low"])
    np.testing.assert_allclose(bars.x + bars.offset + bars.width, rows["high"])
    assert bars.customdata[7][:4] == ["bar", 7, "b", rows["count"].iloc[7]]
    band = figure.layout.shapes[0]
    assert (band.x0, band.x1) == (rows["low"].iloc[7], rows["high"].iloc[7])


def test_many_groups_stand_in_rows_the_first_on_top(values):
    data, _ = values
    group = pd.Series([f"class {i % 5}" for i in range(500)])
    table = sigma.binned(data, group, bins=12)
    figure = sigma.histogram(table, colours={name: "#000001" for name in group.unique()})
    assert list(figure.layout.yaxis.ticktext) == [f"class {i}" for i in range(4, -1, -1)]
    for row, bars in enumerate(figure.data):
        shares = table.loc[table["group"] == f"class {row}", "share"].to_numpy()
        assert bars.base == 4 - row
        np.testing.assert_allclose(np.array(bars.y) / max(bars.y), shares / shares.max())
        assert max(bars.y) < 1, "no row reaches into the next"
    assert figure.data[3].customdata[4][:3] == ["bar", 4, "class 3"]


def test_hundreds_of_thousands_of_values_become_a_small_figure():
    generator = np.random.default_rng(0)
    data, group = pd.Series(np.exp(generator.normal(-1, 0.5, 300_000))), pd.Series(np.arange(300_000) % 3).map(str)
    table = sigma.binned(data, group)
    assert table["count"].sum() == 300_000
    np.testing.assert_array_equal(
        table.groupby("low")["count"].sum(),
        np.histogram(data, np.append(table["low"].unique(), table["high"].max()))[0],
    )
    assert len(sigma.histogram(table, colours=dict.fromkeys("012", "#000001")).to_json()) < 60_000


def test_beside_draws_both_values_and_the_line_of_equals():
    table = pd.DataFrame({"set": "clean", "index": [3, 5], "name": "one", "ours": [0.2, 0.4], "theirs": [0.3, 0.35]})
    points, line = sigma.beside(table, ours="mine", theirs="release").data
    assert points.customdata.tolist() == [["clean", 3, "one"], ["clean", 5, "one"]]
    assert list(points.y) == [0.3, 0.35]
    assert list(line.x) == list(line.y) == [0.2, 0.4]


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


def test_a_search_without_steps_has_no_way_to_draw():
    grid = np.geomspace(0.05, 2.0, 5)
    still, moved = (
        sigma.ascent(grid, grid, np.full(steps, 0.3), np.full(steps, 0.3), sigma_star=0.3) for steps in (1, 2)
    )
    assert len(still.data) + 1 == len(moved.data)


def test_ascent_stars_the_best_of_the_grid():
    grid = np.geomspace(0.05, 2.0, 30)
    curve = np.exp(-(np.log(grid / 0.4) ** 2))
    figure = sigma.ascent(grid, curve, np.array([0.25, 0.3]), np.array([0.8, 0.9]), sigma_star=0.3)
    star = next(trace for trace in figure.data if trace.marker.symbol == "star")
    assert star.y[0] == max(curve)
    assert abs(np.log(star.x[0] / 0.4)) < np.log(grid[1] / grid[0])
    assert figure.layout.annotations[0].x == pytest.approx(np.log10(0.3))
