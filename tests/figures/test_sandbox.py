import base64
import io
from itertools import pairwise

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


def outline(trace):
    points = np.stack([trace.x, trace.y], axis=1).astype(float)
    return points[~np.isnan(points).any(axis=1)]


def at_step(scene, classifier, upto):
    """Traces after so many insertions, by their names."""
    return {trace.name: trace for trace in sandbox.drawn(scene, classifier, upto=upto).data}


def test_the_look_and_the_window_are_the_same_after_any_number_of_insertions(scene, classifier):
    figures = [sandbox.drawn(scene, classifier, upto=upto) for upto in range(5)]
    assert len({tuple(trace.name for trace in figure.data) for figure in figures}) == 1
    assert len({(figure.layout.xaxis.range, figure.layout.yaxis.range) for figure in figures}) == 1
    assert all(figure.layout.images[0].layer == "below" for figure in figures)


def test_what_is_claimed_for_both_labels_is_red_and_hatched(scene, classifier):
    """Random points, seed 0: the outlines' union is what two claims of different label hold, off their edges."""
    trace = at_step(scene, classifier, 4)["contested: claimed for both"]
    assert (trace.line.color, trace.fillpattern.shape) == (sandbox.theme.VERMILION, "/")
    parts = np.stack([trace.x, trace.y], axis=1).astype(float)
    cuts = np.flatnonzero(np.isnan(parts[:, 0]))
    lenses = [parts[start + 1 : stop] for start, stop in pairwise(cuts) if stop > start + 1]
    points = np.random.default_rng(0).uniform(-1.5, 3, (5000, 2))
    claims = [(POINTS[row], scene.entries[row].radius_before, scene.entries[row].prediction) for row in range(3)]
    depth = {label: np.full(len(points), -np.inf) for label in (0, 1)}
    for centre, radius, label in claims:
        depth[label] = np.maximum(depth[label], radius - np.hypot(*(points - centre).T))
    wanted = np.minimum(depth[0], depth[1])
    drawn = np.zeros(len(points), bool)
    for part in lenses:
        edges, offsets = np.diff(part, axis=0), points[:, None] - part[:-1]
        drawn |= (edges[:, 0] * offsets[..., 1] - edges[:, 1] * offsets[..., 0] >= -1e-6).all(axis=1)
    clear = np.abs(wanted) > 0.02
    np.testing.assert_array_equal(drawn[clear], (wanted > 0)[clear])
    assert drawn.any()
    assert len(outline(at_step(scene, classifier, 1)["contested: claimed for both"])) == 0


def test_a_trimmed_disc_is_drawn_as_stored_and_as_it_came(scene, classifier):
    frame = at_step(scene, classifier, 2)
    np.testing.assert_allclose(np.hypot(*(outline(frame["ball: square"]) - [1.5, 0]).T), 0.5, atol=1e-6)
    np.testing.assert_allclose(np.hypot(*(outline(frame["the newest, as it came"]) - [1.5, 0]).T), 1.0, atol=1e-6)
    assert frame[None].text[0] == "2 · honest, predicted square<br>3a · trim by ball 1 · r 1.00 → 0.50"


def test_an_aligned_disc_takes_the_colour_of_the_ball_it_lies_in(scene, classifier):
    frame = at_step(scene, classifier, 3)
    around, aligned = np.split(outline(frame["ball: round"]), 2)
    np.testing.assert_allclose(np.hypot(*around.T), 1.0, atol=1e-6)
    np.testing.assert_allclose(np.hypot(*(aligned - [0.3, 0]).T), 0.7, atol=1e-6)
    assert outline(frame["the attacker's"]).tolist() == [[0.3, 0.0]]
    assert "answered round<br>3b · align by ball 1" in frame[None].text[0]


def test_an_abstaining_input_is_seen_and_told(scene, classifier):
    frame = at_step(scene, classifier, 4)
    assert outline(frame["abstains"]).tolist() == [[0.0, 5.0]]
    assert "abstains<br>not stored" in frame[None].text[0]


def test_it_starts_with_an_empty_store(scene, classifier):
    empty = at_step(scene, classifier, 0)
    assert len(outline(empty["ball: round"])) == 0
    assert empty[None].text[0] == "the store is empty"


def test_every_place_can_be_clicked_and_the_line_leads_to_the_ball_that_answers(scene, classifier):
    figure = sandbox.drawn(scene, classifier, point=(0.9, 0.1), clickable=True)
    click = next(trace for trace in figure.data if trace.customdata is not None)
    assert tuple(click.customdata[0]) == ("at", click.x[0], click.y[0])
    assert min(click.x) < -1
    assert max(click.y) > 4
    line = next(trace for trace in figure.data if trace.name and trace.name.startswith("to the centre"))
    assert (line.x[1], line.y[1]) == (0.0, 0.0)
    far = sandbox.drawn(scene, classifier, point=(5.0, 5.0))
    assert not [trace for trace in far.data if trace.name == line.name]


def test_the_background_shows_each_cell_where_it_is(scene, classifier):
    """Read the picture back: its pixel over a point has the colour of the class that is answered there."""
    [background] = sandbox.drawn(scene, classifier).layout.images
    data = base64.b64decode(background.source.partition(",")[2])
    pixels = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    for point in np.random.default_rng(0).uniform(
        [classifier.x[0], classifier.y[0]], [classifier.x[-1], classifier.y[-1]], (50, 2)
    ):
        column = int((point[0] - background.x) / background.sizex * pixels.shape[1])
        row = int((background.y - point[1]) / background.sizey * pixels.shape[0])
        wanted = sandbox.COLOURS[int(classifier(point[None])[0])]
        assert tuple(pixels[row, column]) == tuple(int(wanted[start : start + 2], 16) for start in (1, 3, 5))
