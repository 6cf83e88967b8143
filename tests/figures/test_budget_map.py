import numpy as np
import pandas as pd

from certssb_core.figures.budget_map import budget_map


def grid(series, images, norms, count):
    rows = [
        {"series": series, "images": n, "norm": norm, "count": count(n, norm), "n": 50}
        for n in images
        for norm in norms
    ]
    return pd.DataFrame(rows).assign(share=lambda table: table["count"] / table["n"])


TABLE = pd.concat(
    [
        grid("A", [0, 5, 14], [0.0, 0.5], lambda n, norm: 50 - n - int(20 * norm)),
        grid("B", [0, 5, 14], [0.0], lambda n, norm: 40 - 2 * n),
    ]
)


def test_every_cell_holds_the_share_of_its_pair_and_its_own_counts():
    figure = budget_map(TABLE)
    first, second = figure.data
    for row, norm in enumerate([0.0, 0.5]):
        for column, n in enumerate([0, 5, 14]):
            count = 50 - n - int(20 * norm)
            assert first.z[row][column] == 2 * count
            assert list(first.customdata[row][column]) == [n, norm, count, 50]
    assert np.isnan(second.z[1]).all(), "a system that does not speak of a norm leaves its cells empty"
    assert [note.text for note in figure.layout.annotations] == ["A", "B"]
    assert {trace.coloraxis for trace in figure.data} == {"coloraxis"}


def test_the_planted_attack_stands_between_the_cells_around_it():
    figure = budget_map(TABLE[TABLE["series"] == "A"], planted=(14, 0.25))
    frame = figure.data[1]
    assert (np.mean(frame.x[:4]), np.mean(frame.y[:4])) == (2, 0.5)
    assert "14 images, norm 0.25" in frame.name


def test_names_of_others_are_no_markup():
    figure = budget_map(TABLE.assign(series=TABLE["series"].replace({"A": "<b>A</b>"})))
    assert "<b>" not in figure.layout.annotations[0].text
