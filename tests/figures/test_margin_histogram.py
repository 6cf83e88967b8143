import numpy as np

from certssb_core.figures.margin_histogram import BIN, KINDS, margin_histogram

MARGINS = np.array([-0.5, -0.2, 0.1, 0.49, 0.5, 0.6, 2.0])


def test_every_vote_is_in_one_bar_of_its_kind():
    figure = margin_histogram(MARGINS, 0.5, name="7")
    backing, winnable, against = figure.data
    assert [trace.name for trace in figure.data] == list(KINDS)
    assert [sum(trace.y) for trace in (backing, winnable, against)] == [3, 2, 2]
    assert max(x for x, y in zip(against.x, against.y, strict=True) if y) < 0
    assert min(x for x, y in zip(backing.x, backing.y, strict=True) if y) >= 0.5
    for trace in figure.data:
        for margin in MARGINS:
            assert np.sum(np.abs(np.array(trace.x) - margin) <= BIN / 2) >= 1


def test_the_largest_change_is_marked_and_the_class_is_named():
    figure = margin_histogram(MARGINS, 0.5, name="7")
    assert figure.layout.shapes[0].x0 == 0.5
    assert "not for 7" in figure.layout.xaxis.title.text
