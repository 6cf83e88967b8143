"""Partitions with margins against every attack on small worlds, on the votes and on the input together."""

import itertools

import numpy as np
import pytest

from certssb_core.certify.margin_votes import MOST, STEP
from certssb_core.certify.partition import changes_certified
from certssb_core.certify.partition_margin import changes_while_moved, margin_certified, replaced_at
from certssb_core.certify.subset import Drawing


def leaders(votes: np.ndarray, margins: np.ndarray, step: int, changes: int, classes: int) -> set[int]:
    """All answers after every choice of ruled members, each voting anything, and of the votes that the moved input can
    change."""
    members, found = range(len(votes)), set()
    for ruled in itertools.combinations(members, changes):
        free = [member for member in members if member in ruled or margins[member] < step]
        for forged in itertools.product(range(classes), repeat=len(free)):
            attacked = votes.copy()
            attacked[free] = forged
            found.add(int(np.bincount(attacked, minlength=classes).argmax()))
    return found


@pytest.mark.parametrize("classes", [2, 3])
def test_every_attack_on_small_worlds_and_one_more_change(classes):
    chance, attained = np.random.default_rng(classes), 0
    for _ in range(60):
        votes = chance.choice(classes, 6, p=[0.2, 0.8] if classes == 2 else [0.2, 0.65, 0.15]).astype(np.uint8)
        margins = chance.choice([0, 3, 9, 200], 6).astype(np.uint8)
        top = int(np.bincount(votes, minlength=classes).argmax())
        changes = changes_while_moved(votes[:, None], margins[:, None], np.array([top]), classes)[0]
        assert (np.diff(changes) <= 0).all()
        for step in (0, 3, 9, 10):
            certified = int(changes[step])
            if certified >= 0:
                assert leaders(votes, margins, step, certified, classes) == {top}
            attained += leaders(votes, margins, step, min(certified + 1, 6), classes) != {top}
    assert attained == 240, "one change more always finds another answer"


def test_the_input_as_given_is_dpa():
    chance = np.random.default_rng(3)
    votes, margins = chance.integers(0, 4, (31, 200), np.uint8), chance.integers(0, 256, (31, 200), np.uint8)
    counts = np.stack([(votes == label).sum(0) for label in range(4)], axis=1)
    changes = changes_while_moved(votes, margins, counts.argmax(1), 4)
    assert (changes[:, 0] == changes_certified(counts)).all()
    assert changes.shape == (200, MOST + 1)


def test_a_replaced_image_is_two_changes_and_norms_are_whole_steps():
    changes = np.full((2, MOST + 1), -1)
    changes[0, :11], changes[0, 11:33], changes[1, 0] = 7, 4, 3
    assert replaced_at(changes, Drawing(100, 1, 0), 10 * STEP).tolist() == [3, -1]
    assert replaced_at(changes, Drawing(100, 1, 0), 10.01 * STEP).tolist() == [2, -1]
    assert replaced_at(changes, Drawing(2, 1, 0), 0.0).tolist() == [2, 1]
    assert replaced_at(changes, Drawing(100, 1, 0), 5.0).tolist() == [-1, -1]
    assert margin_certified(changes, Drawing(100, 1, 2)).tolist() == [32 * STEP, -1.0]
    assert margin_certified(changes, Drawing(100, 1, 3)).tolist() == [10 * STEP, -1.0]
    assert margin_certified(changes, Drawing(100, 1, 1)).tolist() == [32 * STEP, 0.0]
    with pytest.raises(ValueError, match="must not be negative"):
        replaced_at(changes, Drawing(100, 1, 0), float("nan"))
