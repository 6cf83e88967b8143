import base64
import io

import numpy as np
import pytest
from PIL import Image

from certssb_core.figures import sandbox
from certssb_core.sandbox.plane_classifier import fit
from certssb_core.sandbox.scene import Scene
from certssb_core.store.store import Store

POINTS = np.array([[0.0, 0.0], [1.5, 0.0], [0.3, 0.0], [0.0, 5.0]])


@pytest.fixture
def scene():
    with Store.in_memory(2) as store:
        entries = store.insert(
            POINTS,
            [0, 1, 1, -1],
            [1.0, 1.0, 0.5, 0.0],
            [1.0] * 4,
            ["honest", "honest", "attacker", "honest"],
            range(4),
        )
        balls = store.balls()
    attacker = np.array([False, False, True, False])
    return Scene(POINTS, np.array([0, 1, 0, 0]), attacker, np.ones(4), entries, balls)


@pytest.fixture
def classifier():
    return fit(POINTS[:2], np.array([0, 1]), neighbours=1)


@pytest.fixture
def figure(scene, classifier):
    return sandbox.played(scene, classifier)


def outline(trace):
    points = np.stack([trace.x, trace.y], axis=1).astype(float)
    return points[~np.isnan(points).any(axis=1)]


def at_step(figure, shown):
    """Traces of a frame by the names they have in the figure."""
    frame = figure.frames[shown]
    return {figure.data[place].name: trace for place, trace in zip(frame.traces, frame.data, strict=True)}


def test_one_frame_per_insertion_with_the_same_traces(figure):
    assert [frame.name for frame in figure.frames] == ["0", "1", "2", "3", "4"]
    assert {len(frame.data) for frame in figure.frames} == {len(figure.data)}
    assert len(figure.layout.sliders[0].steps) == 5


def test_a_trimmed_disc_is_drawn_as_stored_and_as_it_came(figure):
    frame = at_step(figure, 2)
    np.testing.assert_allclose(np.hypot(*(outline(frame["ball: square"]) - [1.5, 0]).T), 0.5, atol=1e-6)
    np.testing.assert_allclose(np.hypot(*(outline(frame["the newest, as it came"]) - [1.5, 0]).T), 1.0, atol=1e-6)
    assert frame[None].text[0] == "2 · honest, predicted square · 3a · trim by ball 1 · r 1.00 → 0.50"


def test_an_aligned_disc_takes_the_colour_of_the_ball_it_lies_in(figure):
    frame = at_step(figure, 3)
    around, aligned = np.split(outline(frame["ball: round"]), 2)
    np.testing.assert_allclose(np.hypot(*around.T), 1.0, atol=1e-6)
    np.testing.assert_allclose(np.hypot(*(aligned - [0.3, 0]).T), 0.7, atol=1e-6)
    assert outline(frame["the attacker's"]).tolist() == [[0.3, 0.0]]
    assert "answered round · 3b · align by ball 1" in frame[None].text[0]


def test_an_abstaining_input_is_seen_and_told(figure):
    frame = at_step(figure, 4)
    assert outline(frame["abstains"]).tolist() == [[0.0, 5.0]]
    assert "abstains · not stored" in frame[None].text[0]


def test_it_starts_with_an_empty_store(figure):
    empty = at_step(figure, 0)
    assert len(outline(empty["ball: round"])) == 0
    assert empty[None].text[0] == "the store is empty"


def test_every_place_can_be_clicked_and_the_line_leads_to_the_ball_that_answers(scene, classifier):
    figure = sandbox.asked(scene, classifier, (0.9, 0.1))
    click = next(trace for trace in figure.data if trace.customdata is not None)
    assert tuple(click.customdata[0]) == ("at", click.x[0], click.y[0])
    assert min(click.x) < -1
    assert max(click.y) > 4
    line = next(trace for trace in figure.data if trace.name and trace.name.startswith("to the centre"))
    assert (line.x[1], line.y[1]) == (0.0, 0.0)
    assert not [trace for trace in sandbox.asked(scene, classifier, (5.0, 5.0)).data if trace.name == line.name]


def test_the_background_outlasts_every_step_and_play_goes_on_where_it_was_paused(figure):
    """Frames that redraw traces only drop a heatmap; a picture of the layout stays."""
    assert not [trace for trace in figure.data if trace.type == "heatmap"]
    [background] = figure.layout.images
    assert background.layer == "below"
    play = figure.layout.updatemenus[0].buttons[0]
    assert play.args[1]["fromcurrent"]


def test_the_background_shows_each_cell_where_it_is(scene, classifier):
    """Read the picture back: its pixel over a point has the colour of the class that is answered there."""
    [background] = sandbox.asked(scene, classifier).layout.images
    data = base64.b64decode(background.source.partition(",")[2])
    pixels = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    for point in np.random.default_rng(0).uniform(
        [classifier.x[0], classifier.y[0]], [classifier.x[-1], classifier.y[-1]], (50, 2)
    ):
        column = int((point[0] - background.x) / background.sizex * pixels.shape[1])
        row = int((background.y - point[1]) / background.sizey * pixels.shape[0])
        wanted = sandbox.COLOURS[int(classifier(point[None])[0])]
        assert tuple(pixels[row, column]) == tuple(int(wanted[start : start + 2], 16) for start in (1, 3, 5))
