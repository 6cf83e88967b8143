"""A chart comes with its sentence, its table and its downloads."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
from streamlit.testing.v1 import AppTest


def one_chart() -> None:
    import pandas as pd
    import plotly.graph_objects as go

    from ui.kit import charts

    figure = go.Figure(go.Scatter(x=[1, 2], y=[3, 4]))
    charts.show(figure, key="line", summary="It rises.", table=pd.DataFrame({"x": [1, 2], "y": [3, 4]}))


@pytest.fixture
def app() -> AppTest:
    app = AppTest.from_function(one_chart).run()
    assert not app.exception
    return app


def test_sentence_and_table(app):
    assert "It rises." in [part.value for part in app.markdown]
    assert app.dataframe[0].value["y"].tolist() == [3, 4]


def test_the_sentence_is_also_the_charts_description_for_screen_readers(app):
    assert "It rises." in str(app.get("plotly_chart")[0].proto)


def test_every_chart_of_the_dashboard_is_shown_this_way():
    root = Path(__file__).parents[3]
    sources = [*root.glob("pages/*.py"), *root.glob("ui/**/*.py")]
    assert [path.name for path in sources if "plotly_chart(" in path.read_text(encoding="utf-8")] == ["charts.py"]


@pytest.mark.parametrize(("points", "hints"), [([{"x": 1}], 1), ([], 0)])
def test_a_selection_says_how_it_is_cleared(monkeypatch, points, hints):
    def clickable() -> None:
        import pandas as pd
        import plotly.graph_objects as go

        from ui.kit import charts

        figure = go.Figure(go.Scatter(x=[1, 2], y=[3, 4]))
        charts.show(figure, key="line", summary="It rises.", table=pd.DataFrame({"x": [1]}), selection=True)

    chosen = SimpleNamespace(selection=SimpleNamespace(points=points))
    monkeypatch.setattr("streamlit.plotly_chart", lambda *figure, **how: chosen)
    app = AppTest.from_function(clickable).run()
    assert not app.exception
    assert [part.value for part in app.caption].count("Double-click the chart to clear the selection.") == hints


def test_two_downloads(app):
    assert [button.proto.label for button in app.get("download_button")] == ["Data (CSV)", "Figure (HTML)"]


def selectable() -> None:
    import pandas as pd
    import plotly.graph_objects as go
    import streamlit as st

    from ui.kit import charts

    figure = go.Figure([go.Scatter(x=[1], y=[3]), go.Bar(x=[1], y=[2], unselected={"marker": {"opacity": 1.0}})])
    charts.show(figure, key="two", summary="", table=pd.DataFrame({"x": [1]}), selection=True)
    st.session_state["opacities"] = [trace.unselected.marker.opacity for trace in figure.data]


def test_points_beside_a_selected_one_stay_visible():
    app = AppTest.from_function(selectable).run()
    assert not app.exception
    assert app.session_state["opacities"] == [0.6, 1.0]


def test_of_a_long_table_the_first_rows_are_shown():
    def long() -> None:
        import pandas as pd
        import plotly.graph_objects as go

        from ui.kit import charts

        charts.show(go.Figure(), key="long", summary="Long.", table=pd.DataFrame({"x": range(2500)}))

    app = AppTest.from_function(long).run()
    assert app.dataframe[0].value["x"].tolist() == list(range(1000))
    assert "The first 1,000 of 2,500 rows; the CSV file has all of them." in [one.value for one in app.caption]
