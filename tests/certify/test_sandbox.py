import numpy as np
import pytest

from certssb_core.certify.sandbox import ORDERS, over_orders, scene


@pytest.mark.parametrize("order", ORDERS)
def test_no_two_stored_discs_of_different_label_meet(order):
    result = scene(seed=3, count=20, order=order)
    kept = [row for row, entry in enumerate(result.entries) if entry.stored]
    for i in kept:
        for j in kept:
            if result.entries[i].label != result.entries[j].label:
                apart = np.hypot(*(result.points[i] - result.points[j]))
                assert apart >= result.entries[i].radius_after + result.entries[j].radius_after - 1e-6


def test_orders_bring_the_same_discs_in_another_order():
    given, first, shuffled = (scene(seed=3, order=order) for order in ("given", "attacker-first", "shuffled"))
    assert given.attacker[-1]
    assert first.attacker[0]
    for other in (first, shuffled):
        np.testing.assert_array_equal(np.sort(other.points, axis=0), np.sort(given.points, axis=0))
    assert not np.array_equal(shuffled.points, given.points)
    assert not np.array_equal(shuffled.points, scene(seed=3, order="shuffled", shuffle=1).points)


def test_the_attacker_gains_by_coming_first():
    rows = {row["order"]: row for row in over_orders(seed=1)}
    assert rows["attacker first"]["aligned"] > rows["as they came"]["aligned"]
    assert all(sum(count for key, count in row.items() if key != "order") == pytest.approx(17) for row in rows.values())
    assert scene(seed=1).changed == rows["as they came"]["aligned"] + rows["as they came"]["trimmed"]
