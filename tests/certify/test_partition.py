"""DPA's certificate against every way to change votes, one insertion or removal each."""

import itertools

import numpy as np
import pytest

from certssb_core.certify.partition import COUNTED, changes_certified


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
