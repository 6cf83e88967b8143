import numpy as np
import pytest

from certssb_core.certify.store import Store
from certssb_core.figures.discs import discs


@pytest.fixture
def figure():
    points = np.array([[0.0, 0.0], [1.5, 0.0], [0.3, 0.0]])
    with Store.in_memory(2) as store:
        entries = store.insert(
            points, [0, 1, 1], [1.0, 1.0, 0.5], [1.0] * 3, ["honest", "honest", "attacker"], [0, 1, 2]
        )
    return discs(points, entries, attacker=np.array([False, False, True]), labels=("round", "square"))


def outline(trace):
    points = np.stack([trace.x, trace.y], axis=1).astype(float)
    return points[~np.isnan(points).any(axis=1)]


def at_step(figure, shown):
    """Traces of a frame by the names they have in the figure."""
    return {look.name: trace for look, trace in zip(figure.data, figure.frames[shown].data, strict=True)}


def test_one_frame_per_insertion_with_the_same_traces(figure):
    assert [frame.name for frame in figure.frames] == ["0", "1", "2", "3"]
    assert {len(frame.data) for frame in figure.frames} == {len(figure.data)}
    assert len(figure.layout.sliders[0].steps) == 4


def test_a_trimmed_disc_is_drawn_as_stored_and_as_it_came(figure):
    frame = at_step(figure, 2)
    np.testing.assert_allclose(np.hypot(*(outline(frame["stored: square"]) - [1.5, 0]).T), 0.5)
    np.testing.assert_allclose(np.hypot(*(outline(frame["the newest, as it came"]) - [1.5, 0]).T), 1.0)
    assert frame[None].text[0] == "2 · honest, predicted square · 3a · trim · r 1.00 → 0.50"


def test_an_aligned_disc_takes_the_colour_of_the_ball_it_lies_in(figure):
    traces = {trace.name: trace for trace in figure.data}
    around, aligned = np.split(outline(traces["stored: round"]), 2)
    np.testing.assert_allclose(np.hypot(*around.T), 1.0)
    np.testing.assert_allclose(np.hypot(*(aligned - [0.3, 0]).T), 0.7, atol=1e-6)
    assert outline(traces["the attacker's"]).tolist() == [[0.3, 0.0]]
    assert "answered round · 3b · align" in traces[None].text[0]


def test_it_starts_with_an_empty_store(figure):
    empty = at_step(figure, 0)
    assert len(outline(empty["stored: round"])) == 0
    assert empty[None].text[0] == "the store is empty"
