"""The members asked again: their votes are those that the run stored."""

from __future__ import annotations

import shutil
from fractions import Fraction

import numpy as np
import pytest

from certssb_core.errors import RunError
from certssb_core.query import ensemble
from certssb_core.query.ensemble import LoadedEnsemble
from certssb_core.runs import integrity
from certssb_core.runs.inputs import SETS, load_inputs
from certssb_core.runs.run import Run
from certssb_core.store.store import Store


@pytest.fixture(scope="module")
def inputs(small_run):
    return load_inputs(small_run.config)


@pytest.fixture(scope="module")
def loaded(small_run):
    return LoadedEnsemble(small_run)


def stored_votes(run, which, index):
    table = run.certificates()
    row = table[(table["set"] == which) & (table["index"] == index)].iloc[0]
    return tuple(row[[name for name in table.columns if name.startswith("votes_")]].astype(int)), row


@pytest.mark.parametrize("which", SETS)
def test_a_test_image_of_the_run_gets_the_stored_votes(small_run, inputs, loaded, which):
    for index in range(0, 108, 4):
        reply = loaded.ask(inputs.test_images(which)[index])
        votes, row = stored_votes(small_run, which, index)
        assert reply.votes == votes
        assert reply.sigma == pytest.approx(row["sigma"], rel=1e-12)
        assert reply.members_radius == pytest.approx(row["radius"], abs=1e-12)


def test_and_so_it_does_where_its_noise_level_has_to_be_found_again(small_run, inputs):
    loaded = LoadedEnsemble(small_run)
    loaded._levels = {}
    for index in range(0, 108, 12):
        reply = loaded.ask(inputs.test_images("clean")[index])
        votes, row = stored_votes(small_run, "clean", index)
        assert reply.votes == votes
        assert reply.sigma == pytest.approx(row["sigma"], rel=1e-5)


def test_the_noise_follows_the_image_and_not_its_place(loaded, inputs):
    """The same pixels get the same votes whatever was asked in between: nothing is counted on."""
    image = inputs.test_images("clean")[5].copy()
    image[0, 3, 3] = 0.9
    first = loaded.ask(image)
    loaded.ask(inputs.test_images("triggered")[1])
    assert loaded.ask(image) == first


def test_members_too_large_to_keep_vote_the_same(small_run, inputs, loaded, monkeypatch):
    monkeypatch.setattr(ensemble, "HELD_BYTES", 0)
    monkeypatch.setattr(ensemble, "VOTING_PIXELS", 2 * 64)  # two members at a time
    reading = LoadedEnsemble(small_run)
    assert reading._held is None
    for index in (0, 50):
        image = inputs.test_images("clean")[index]
        assert reading.ask(image) == loaded.ask(image)


def test_another_kind_of_image_is_refused(loaded):
    with pytest.raises(RunError, match="shape"):
        loaded.ask(np.zeros((3, 8, 8), np.float32))


@pytest.fixture
def copy(small_run, tmp_path):
    return Run(shutil.copytree(small_run.path, tmp_path / "copy"))


@pytest.fixture(scope="module")
def outside(small_run, inputs, loaded):
    """An image that no stored ball holds and the members certify, and their reply."""
    generator = np.random.default_rng(0)
    for image in inputs.test_images("clean"):
        moved = np.clip(image + generator.normal(0, 0.25, image.shape), 0, 1).astype(np.float32)
        if (reply := loaded.ask(moved)).answered_by == "members" and reply.radius > 0:
            return moved, reply
    raise AssertionError("every image lies in a ball")


def test_a_radius_ends_where_a_ball_of_another_label_begins(copy, outside):
    image, reply = outside
    wall = image.copy().ravel()
    wall[:4] = np.where(wall[:4] > 0.5, wall[:4] - 0.25, wall[:4] + 0.25)  # 0.5 away
    radius = 0.5 - reply.members_radius / 2
    with Store.open(copy.answered_path) as store:
        store.insert([wall], [(reply.label + 1) % 3], [radius], [0.5], ["x"], [0])
    found = LoadedEnsemble(copy).ask(image)
    assert (found.answered_by, found.label, found.members_radius) == ("members", reply.label, reply.members_radius)
    square = sum((Fraction(float(a)) - Fraction(float(b))) ** 2 for a, b in zip(wall, image.ravel(), strict=True))
    assert (Fraction(found.radius) + Fraction(radius)) ** 2 <= square, "exactly"
    assert found.radius == pytest.approx(float(square) ** 0.5 - radius, rel=1e-12)
    assert found.radius < reply.members_radius


def test_asking_stores_nothing_and_promises_nothing_about_other_images(copy, outside):
    image, _ = outside
    before = {path.name: path.stat().st_mtime_ns for path in copy.path.iterdir()}
    reply = LoadedEnsemble(copy).ask(image)
    assert {path.name: path.stat().st_mtime_ns for path in copy.path.iterdir()} == before
    assert (reply.ball, reply.inserted) == (None, False)
    assert "Nothing is stored" in reply.promise
    assert "store" not in reply.condition


def test_an_inserted_answer_lasts_and_the_run_s_own_store_stays_as_it_is(copy, outside):
    image, _ = outside
    with Store.read(copy.store_path) as store:
        arrivals = len(store.ledger())
    own = copy.store_path.read_bytes()
    reply = LoadedEnsemble(copy).ask(image, insert=True)
    assert (reply.inserted, reply.ball, reply.answered_by) == (True, arrivals, "members")
    assert "gets the same answer" in reply.promise
    near = image.copy()
    near.flat[0] += np.float32(reply.radius / 2) * (1 if near.flat[0] < 0.5 else -1)
    later = LoadedEnsemble(copy).ask(near)
    assert (later.answered_by, later.label, later.ball, later.inserted) == ("store", reply.label, arrivals, False)
    again = LoadedEnsemble(copy).ask(image, insert=True)
    assert (again.ball, again.inserted, again.radius) == (arrivals, False, reply.radius), "one image, one ball"
    assert copy.store_path.read_bytes() == own
    integrity.check(copy)


def test_nothing_is_inserted_where_nothing_may_be_written(copy, outside, monkeypatch):
    monkeypatch.setenv("CERTSSB_READ_ONLY", "1")
    with pytest.raises(RunError, match="read-only"):
        LoadedEnsemble(copy).ask(outside[0], insert=True)
    assert not copy.answered_path.exists()


def test_the_undefended_model_answers_as_the_run_recorded(small_run, inputs, loaded):
    recorded = small_run.arrays("undefended")
    for which in SETS:
        for index in range(0, 108, 9):
            assert loaded.ask(inputs.test_images(which)[index]).undefended == recorded[which][index]


def test_a_ball_that_another_process_stored_answers_at_the_next_question(copy, outside):
    """Each asks through a store of its own, opened at its first question."""
    (image, _), first, second = outside, LoadedEnsemble(copy), LoadedEnsemble(copy)
    assert first.ask(image).ball is None
    inserted = second.ask(image, insert=True)
    assert inserted.inserted
    seen = first.ask(image)
    assert (seen.answered_by, seen.ball) == ("store", inserted.ball)
