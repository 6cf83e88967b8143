"""The members asked again: their votes are those that the run stored."""

from __future__ import annotations

import numpy as np
import pytest

from certssb_core.errors import RunError
from certssb_core.query import ensemble
from certssb_core.query.ensemble import LoadedEnsemble
from certssb_core.runs.inputs import SETS, load_inputs


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
