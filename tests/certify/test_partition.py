"""DPA's certificate against every way to change votes, one insertion or removal each."""

import itertools

import numpy as np
import pytest

from certssb_core.certify.partition import COUNTED, changes_certified, offsets, spread_changes_certified


def reachable(counts: tuple[int, ...], changes: int) -> set[tuple[int, ...]]:
    """All vote counts after at most so many members have changed their vote to anything."""
    found = {counts}
    for _ in range(changes):
        for one in list(found):
            for giver, taker in itertools.permutations(range(len(counts)), 2):
                if one[giver]:
                    found.add(tuple(n - (c == giver) + (c == taker) for c, n in enumerate(one)))
    return found


@pytest.mark.parametrize("members", [1, 4, 7])
def test_every_redistribution_of_votes(members):
    for counts in itertools.product(range(members + 1), repeat=3):
        if sum(counts) != members:
            continue
        top = int(np.argmax(counts))
        certified = int(changes_certified([counts])[0])
        assert all(np.argmax(other) == top for other in reachable(counts, certified)), counts
        assert any(np.argmax(other) != top for other in reachable(counts, certified + 1)), counts


def test_a_tie_goes_to_the_lower_class():
    assert changes_certified([[5, 5], [5, 4], [4, 5], [3, 5], [4, 6]]).tolist() == [0, 0, 0, 0, 0]
    assert changes_certified([[6, 4], [3, 6], [10, 0], [0, 10]]).tolist() == [1, 1, 5, 4]


def test_counted_votes_are_shares_and_leave_nothing_to_chance():
    bounds = COUNTED.class_bounds([[3, 3, 4], [5, 5, 0]], 10, 0.5)
    assert bounds.prediction.tolist() == [2, 0]
    assert (bounds.p_a_lower.tolist(), bounds.p_b_upper.tolist()) == ([0.4, 0.5], [0.3, 0.5])


def test_an_image_of_one_member_is_that_of_dpa():
    votes = np.random.default_rng(2).integers(0, 3, (30, 200))
    counts = np.stack([(votes == label).sum(0) for label in range(3)], axis=1)
    assert (spread_changes_certified(votes, 3, 1) == changes_certified(counts)).all()


@pytest.mark.parametrize(("members", "spread"), [(5, 2), (6, 2), (6, 3), (7, 3)])
def test_no_attack_on_the_buckets_of_a_small_world_exceeds_it(members, spread):
    """Every choice of buckets, and of every vote that the attacker then owns; some certificates are attained."""
    generator, attained = np.random.default_rng(members * spread), 0
    reach = [[(bucket + distance) % members for distance in offsets(members, spread)] for bucket in range(members)]
    assert all(len(set(own)) == spread for own in reach)
    for _ in range(25):
        votes = generator.choice(3, members, p=[0.6, 0.3, 0.1])
        top = int(np.argmax(np.bincount(votes, minlength=3)))
        certified = int(spread_changes_certified(votes[:, None], 3, spread)[0])
        for changes in (certified, certified + 1):
            if changes > members:
                continue
            lost = False
            for buckets in itertools.combinations(range(members), changes):
                owned = sorted({member for bucket in buckets for member in reach[bucket]})
                for label in range(3):  # all that the attacker owns for one class is the most it can do for that class
                    attacked = votes.copy()
                    attacked[owned] = label
                    lost |= int(np.argmax(np.bincount(attacked, minlength=3))) != top
            assert not (lost and changes == certified)
            attained += lost and changes > certified
    assert attained > 3


def test_distances_are_fixed_and_differ():
    assert offsets(1000, 1) == [0]
    for members, spread in ((10, 10), (50, 4), (1000, 16)):
        assert len(set(offsets(members, spread))) == spread
        assert set(offsets(members, spread)) <= set(range(members))
