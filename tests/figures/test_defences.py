import pandas as pd

from certssb_core.figures.defences import budgets, features


def test_every_budget_has_a_panel_and_an_axis_of_its_own():
    table = pd.DataFrame(
        {
            "series": ["A", "A", "B", "B", "C", "C"],
            "budget": ["L2, test", "L2, test", "L2, test", "L2, test", "images", "images"],
            "set": ["clean"] * 6,
            "radius": [0.0, 0.5, 0.0, 0.7, 0.0, 9.0],
            "count": [9, 1, 8, 0, 7, 2],
            "n": [10] * 6,
        }
    ).assign(share=lambda rows: rows["count"] / rows["n"])
    figure = budgets(table, colours={"A": "#111111", "B": "#222222", "C": "#333333"})
    assert [trace.xaxis for trace in figure.data] == ["x", "x", "x2"]
    assert [note.text for note in figure.layout.annotations] == ["L2,<br>test", "images"]
    assert list(figure.data[2].y) == [70.0, 20.0]
    assert figure.data[2].mode == "lines+markers", "a count stands at whole numbers"
    assert figure.data[0].mode == "lines"
    assert not any(axis.matches for axis in (figure.layout.xaxis, figure.layout.xaxis2))


def test_features_stand_where_they_are_certified():
    figure = features(pd.DataFrame({"p_a_lower": [0.5, 0.9], "features": [0, 3]}), keep=0.7)
    assert list(figure.data[0].y) == [0, 3]
    assert figure.data[0].name == "β = 0.70"
