"""Streams of queries: ways through the space of images, and the stream that ships with the digits."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from certssb_core.query import stream
from certssb_core.query.ensemble import LoadedEnsemble
from certssb_core.runs.inputs import run_inputs
from certssb_core.runs.run import Run
from certssb_core.store.store import Store

RUN = Run(Path(__file__).parents[2] / "checkpoints" / "digits")


def answering(changes_at):
    """The members answer 0 up to a place and 1 after it, and abstain in between."""
    low, high = changes_at

    def ask(image):
        place = float(image[0])
        return SimpleNamespace(prediction=0 if place <= low else 1 if place >= high else -1)

    return ask


def test_the_gap_about_a_change_is_halved_towards_it():
    way = stream.Way("a line", lambda place: np.array([place]))
    replies = stream.walk(answering((0.4, 0.4)), way)
    low, high = stream.change(replies)
    assert low <= 0.4 <= high
    assert high - low == pytest.approx((1 / (stream.STEPS - 1)) / 2**stream.HALVINGS)
    assert len(replies) == stream.STEPS + stream.HALVINGS


def test_a_way_without_a_change_is_not_halved():
    way = stream.Way("a line", lambda place: np.array([place]))
    assert stream.change(replies := stream.walk(answering((2.0, 2.0)), way)) is None
    assert len(replies) == stream.STEPS


def test_an_attacker_sends_what_lies_about_the_change_first():
    way = stream.Way("a line", lambda place: np.array([place]))
    replies = stream.walk(answering((0.4, 0.4)), way)
    asked = list(replies)
    assert stream.sent(replies, attacker=False) == asked
    first = stream.sent(replies, attacker=True)
    assert sorted(first) == sorted(asked)
    assert first[: stream.HALVINGS] == asked[stream.STEPS :]


def test_the_shipped_stream_meets_all_four_cases_and_holds_no_contradiction():
    with Store.read(RUN.stream_path) as store:
        balls, entries = store.balls(), store.ledger()
    assert {entry.case for entry in entries} == {"disjoint", "same_label", "trimmed", "aligned", "none"}
    assert sum(entry.case in ("trimmed", "aligned") for entry in entries) >= 10
    apart = np.linalg.norm(balls.centres[:, None].astype(float) - balls.centres[None], axis=2)
    rivals = balls.labels[:, None] != balls.labels[None]
    assert (apart >= balls.radii[:, None] + balls.radii[None])[rivals].all()
    assert RUN.stream_path.stat().st_size < 100_000


def test_the_shipped_stream_is_what_the_members_answer():
    """The largest claim, a trimmed and an abstaining one, asked anew; votes are exact, the rest to 1e-6."""
    loaded, ways = LoadedEnsemble(RUN), {way.name: way for way in stream.ways(RUN)}
    with Store.read(RUN.stream_path) as store:
        balls, entries = store.balls(), store.ledger()
    assert {entry.key.set for entry in entries} == set(ways)
    trimmed = [entry for entry in entries if entry.case == "trimmed" and entry.stored]
    for entry in (max(entries, key=lambda one: one.radius_before), trimmed[0]):
        centre = balls.centres[np.searchsorted(balls.ids, entry.position)].reshape(loaded.shape)
        reply = loaded.ask(centre)
        assert reply.prediction == entry.prediction
        assert reply.members_radius == pytest.approx(entry.radius_before, rel=1e-6)


def test_a_way_begins_at_the_image_that_it_names():
    images, ways = run_inputs(RUN).dataset.test_images, stream.ways(RUN)
    assert len(ways) == stream.MORPHS + stream.ATTACKED + stream.TRIGGERS
    for way in ways:
        first = int(way.name.split("clean ")[1].split(" ")[0].rstrip(","))
        np.testing.assert_allclose(way.image(0.0), images[first], atol=1e-7)
        assert np.linalg.norm(way.image(1.0) - images[first]) > 1
