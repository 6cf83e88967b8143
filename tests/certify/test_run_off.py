"""Run-off election against every attack on small worlds: every set of buckets, every ranking of each ruled member."""

import itertools

import numpy as np
import pytest

from certssb_core.certify.partition import changes_certified, offsets, spread_changes_certified
from certssb_core.certify.run_off import elect, in_ranks

ORDERS = {classes: list(itertools.permutations(range(classes))) for classes in (2, 3, 4)}


def answer(orders: list[tuple[int, ...]]) -> int:
    """Hold both rounds by counting; classes from the best to the worst, one order per member."""
    classes = range(len(orders[0]))
    votes = [sum(order[0] == label for order in orders) for label in classes]
    finalists = sorted(classes, key=lambda label: (-votes[label], label))[:2]
    low, high = sorted(finalists)
    for_high = sum(order.index(high) < order.index(low) for order in orders)
    return high if 2 * for_high > len(orders) else low


def elected(orders: list[tuple[int, ...]], *, spread: int = 1, members: int | None = None):
    return elect(in_ranks(np.array(orders)[:, None]), members=members or len(orders), spread=spread)


@pytest.mark.parametrize(
    ("members", "classes", "spread", "worlds"), [(6, 3, 1, 60), (5, 4, 1, 30), (5, 3, 2, 40), (7, 2, 1, 20)]
)
def test_no_attack_on_a_small_world_exceeds_it(members, classes, spread, worlds):
    """All worlds in which as many buckets are attacked as certified; of those with one more, some fall."""
    chance, attained, beyond = np.random.default_rng(members * classes + spread), 0, 0
    reach = [[(bucket + distance) % members for distance in offsets(members, spread)] for bucket in range(members)]

    def falls(orders, changes):
        top = answer(orders)
        for buckets in itertools.combinations(range(members), changes):
            ruled = sorted({member for bucket in buckets for member in reach[bucket]})
            for forged in itertools.product(ORDERS[classes], repeat=len(ruled)):
                attacked = list(orders)
                for member, order in zip(ruled, forged, strict=True):
                    attacked[member] = order
                if answer(attacked) != top:
                    return True
        return False

    for _ in range(worlds):
        weights = chance.dirichlet(np.full(len(ORDERS[classes]), 0.25))
        orders = [ORDERS[classes][place] for place in chance.choice(len(weights), members, p=weights)]
        found = elected(orders, spread=spread)
        certified = int(found.changes[0])
        assert found.bounds.prediction.tolist() == [answer(orders)]
        if certified * spread <= 3:
            assert not falls(orders, certified), orders
        if (certified + 1) * spread <= 3:
            beyond, attained = beyond + 1, attained + falls(orders, certified + 1)
    assert attained > 0.8 * beyond > 5


@pytest.mark.parametrize("spread", [1, 3])
def test_of_two_classes_it_is_the_certificate_of_one_round(spread):
    chance = np.random.default_rng(7)
    ranks = in_ranks(chance.permuted(np.tile(np.arange(2), (40, 300, 1)), axis=-1))
    votes = ranks.argmin(-1)
    found = elect(ranks, members=40, spread=spread)
    counts = np.stack([(votes == label).sum(0) for label in range(2)], axis=1)
    assert (found.bounds.prediction == counts.argmax(1)).all()
    assert (found.changes == spread_changes_certified(votes, 2, spread)).all()
    assert spread > 1 or (found.changes == changes_certified(counts)).all()
    np.testing.assert_allclose(found.bounds.p_a_lower, counts.max(1) / 40)


def test_second_choices_decide_and_certify_more_than_votes_alone():
    """8 of 20 vote 0, 7 vote 1 and 5 vote 2, and whoever does not vote 0 ranks it second."""
    orders = [(0, 1, 2)] * 8 + [(1, 0, 2)] * 7 + [(2, 0, 1)] * 5
    found = elected(orders)
    assert (found.bounds.p_a_lower[0], found.bounds.p_b_upper[0]) == (13 / 20, 7 / 20)
    assert changes_certified([[8, 7, 5]]).tolist() == [0]
    # One change cannot keep 0 from the final; two votes that go from 0 to 2 leave 6, 7 and 7, and do.
    assert found.changes.tolist() == [1]
    # The first round's leader is not always the answer: those who vote 2 prefer 1 to 0.
    assert answer([(0, 1, 2)] * 8 + [(1, 0, 2)] * 7 + [(2, 1, 0)] * 5) == 1


def test_a_member_that_is_left_out_may_come_back():
    """Of 3 members 2 voted; the third can only vote against the answer where an image brings it back."""
    two = elected([(0, 1, 2), (0, 2, 1)], members=3)
    assert two.bounds.p_a_lower.tolist() == [1.0]
    worlds = (elected([(0, 1, 2), (0, 2, 1), order]) for order in ORDERS[3])
    assert two.changes[0] <= min(int(world.changes[0]) for world in worlds) + 1
    assert elected([(0, 1, 2)] * 4, members=5, spread=2).changes.tolist() == [0]


def test_ties_go_to_the_lower_class_in_both_rounds():
    assert elected([(1, 0, 2), (2, 0, 1), (0, 1, 2), (2, 1, 0)]).bounds.prediction.tolist() == [0]
    assert elected([(2, 1, 0), (1, 2, 0)]).bounds.prediction.tolist() == [1]
