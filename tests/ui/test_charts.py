"""A chart comes with its sentence, its table and its downloads."""

from __future__ import annotations

import pytest
from streamlit.testing.v1 import AppTest


def one_chart() -> None:
    import pandas as pd
    import plotly.graph_objects as go

    from ui import charts

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


def test_two_downloads(app):
    assert [button.proto.label for button in app.get("download_button")] == ["Data (CSV)", "Figure (HTML)"]
