import pandas as pd
import pytest

from certssb_core.figures import curves


@pytest.fixture
def table():
    return pd.DataFrame(
        {
            "series": ["run"] * 4,
            "set": ["clean", "clean", "triggered", "triggered"],
            "radius": [0.0, 1.0, 0.0, 1.0],
            "share": [1.0, 0.5, 0.8, 0.2],
            "low": [0.9, 0.4, 0.7, 0.1],
            "high": [1.0, 0.6, 0.9, 0.3],
            "count": [10, 5, 8, 2],
            "n": [10] * 4,
        }
    )


def test_clean_and_triggered_have_a_panel_each_in_percent_with_their_interval(table):
    figure = curves.certified_accuracy(table, colours={"run": "#123456"})
    lines = {trace.xaxis: trace for trace in figure.data if trace.name == "run"}
    assert list(lines["x"].y) == [100, 50]
    assert list(lines["x2"].y) == [80, 20]
    band = next(trace for trace in figure.data if trace.fill == "toself")
    assert list(band.y) == pytest.approx([100, 60, 40, 90])
    assert figure.layout.xaxis2.title.text == "radius r (L2 pixel units)"


def test_published_points_are_marked_as_no_certificate(table):
    published = pd.DataFrame({"radius": [0.0, 0.25], "share": [0.999, 0.994]})
    figure = curves.certified_accuracy(table, colours={"run": "#123456"}, published=published, at=0.5)
    points = figure.data[-1]
    assert "not a certificate" in points.name
    assert list(points.y) == pytest.approx([99.9, 99.4])
    assert {shape.x0 for shape in figure.layout.shapes} == {0.5}


def test_budget_shows_percent_and_the_number_under_discussion():
    table = pd.DataFrame(
        {
            "series": ["run"] * 3,
            "images": [0, 1, 2],
            "share": [1.0, 0.25, 0.0],
            "count": [4, 1, 0],
            "n": [4] * 3,
        }
    )
    figure = curves.budget(table, colours={"run": "#123456"}, images=1)
    assert list(figure.data[0].y) == [100, 25, 0]
    assert figure.layout.shapes[0].x0 == 1
