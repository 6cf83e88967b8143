"""Hostile replays: a sound store keeps its promises, a broken one is caught."""

from dataclasses import replace

import numpy as np
import pytest

from certssb_core.falsification import store_orders as replays
from certssb_core.falsification.store_orders import ORDERS, crossings, replay
from certssb_core.store import storage_update
from certssb_core.store.store import Balls


@pytest.fixture
def inputs():
    """120 inputs of three classes in six dimensions, crowded enough to conflict."""
    generator = np.random.default_rng(2)
    labels = np.arange(120) % 3
    centres = generator.normal(size=(120, 6)) + 0.5 * labels[:, None]
    return centres, labels, generator.uniform(0.2, 1.5, 120)


def balls(centres, labels, radii) -> Balls:
    n = len(labels)
    return Balls(
        np.arange(n), np.float32(centres), np.array(radii), np.array(labels), np.ones(n), ("a",) * n, np.arange(n)
    )


@pytest.mark.parametrize("order", ORDERS)
def test_the_store_keeps_its_promises_in_every_order(inputs, order):
    found = replay(*inputs, order=order, generator=np.random.default_rng(0))
    assert found.conflicts > 10
    assert found.pairs > 100
    assert found.queries > 100
    assert (found.crossed, found.lost) == (0, 0)


@pytest.mark.parametrize("order", ORDERS)
def test_a_store_that_trusts_every_claim_is_caught(inputs, order, monkeypatch):
    sound = storage_update.decide

    def trusting(position, key, prediction, radius, near):
        entry = sound(position, key, prediction, radius, near)
        return replace(entry, case="disjoint", label=prediction, radius_after=radius)

    monkeypatch.setattr(storage_update, "decide", trusting)
    found = replay(*inputs, order=order, generator=np.random.default_rng(0))
    assert found.crossed > 0
    assert found.lost > 0


def test_crossings_counts_pairs_of_different_label_only():
    centres = [[0.0, 0.0], [1.0, 0.0], [3.0, 0.0]]
    assert crossings(balls(centres, [0, 1, 1], [0.5, 0.5, 0.5])) == (2, 0)  # open balls may touch
    assert crossings(balls(centres, [0, 1, 1], [0.5, 0.6, 2.0])) == (2, 1)
    assert crossings(balls(centres, [1, 1, 1], [2.0, 2.0, 2.0])) == (0, 0)


def test_large_sets_are_sampled(inputs, monkeypatch):
    monkeypatch.setattr(replays, "LARGEST", 30)
    assert replay(*inputs, order="shuffled", generator=np.random.default_rng(0)).balls <= 30
