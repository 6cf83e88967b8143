import numpy as np
import pytest

from certssb_core.sandbox import plane_data
from certssb_core.sandbox.scene import ORDERS, ask, certified, over_orders, scene
from certssb_core.store.store import Store

NOISE = {"sigma": 0.25, "spread": 3.0}


@pytest.fixture(scope="module")
def inputs():
    return certified(plane_data.moons(1, 24), **NOISE, seed=1)


@pytest.mark.parametrize("order", ORDERS)
def test_no_two_stored_discs_of_different_label_meet(inputs, order):
    result = scene(inputs, order=order)
    kept = [row for row, entry in enumerate(result.entries) if entry.stored]
    for i in kept:
        for j in kept:
            if result.entries[i].label != result.entries[j].label:
                apart = np.hypot(*(result.points[i] - result.points[j]))
                assert apart >= result.entries[i].radius_after + result.entries[j].radius_after - 1e-6


@pytest.mark.parametrize("name", plane_data.DATASETS)
@pytest.mark.parametrize("seed", range(5))
def test_one_sigma_for_all_brings_no_conflict_and_its_own_sigma_for_each_does(name, seed):
    data = plane_data.DATASETS[name](seed, 24)
    assert scene(certified(data, sigma=0.2, spread=1.0, seed=seed)).areas.contested == pytest.approx(0, abs=1e-9)
    apart = scene(certified(data, sigma=0.3, spread=4.0, seed=seed), order="attacker-first")
    assert apart.areas.contested > 0
    assert apart.changed > 0


def test_all_four_cases_occur(inputs):
    assert {entry.case for entry in scene(inputs).entries} >= {"disjoint", "same_label", "trimmed", "aligned"}


def test_orders_bring_the_same_discs_in_another_order(inputs):
    given, first, shuffled = (scene(inputs, order=order) for order in ("given", "attacker-first", "shuffled"))
    assert given.attacker[-1]
    assert first.attacker[0]
    for other in (first, shuffled):
        np.testing.assert_array_equal(np.sort(other.points, axis=0), np.sort(given.points, axis=0))
    assert not np.array_equal(shuffled.points, given.points)
    assert not np.array_equal(shuffled.points, scene(inputs, order="shuffled", shuffle=1).points)


def test_areas_against_a_count_of_random_points(inputs):
    found = scene(inputs, order="attacker-first")
    generator = np.random.default_rng(0)
    points = generator.uniform([-3, -3], [4, 4], (100_000, 2))
    distance = np.linalg.norm(points[:, None] - found.points, axis=2)
    claims = [
        (distance < np.where([entry.prediction == label for entry in found.entries], _before(found), 0)).any(axis=1)
        for label in (0, 1)
    ]
    answered = (distance < [entry.radius_after for entry in found.entries]).any(axis=1)
    counted = {
        "claimed": claims[0] | claims[1],
        "contested": claims[0] & claims[1],
        "answered": answered,
        "trimmed": (claims[0] | claims[1]) & ~answered,
    }
    for name, inside in counted.items():
        share = inside.mean()
        error = 5 * 49 * np.sqrt(share * (1 - share) / len(points))
        assert getattr(found.areas, name) == pytest.approx(49 * share, abs=error), name
    assert found.areas.trimmed > 0.3


def _before(found):
    return [entry.radius_before for entry in found.entries]


def test_the_attacker_who_comes_first_costs_area(inputs):
    rows = {row["order"]: row for row in over_orders(inputs, shuffles=3)}
    assert rows["attacker first"]["answered"] < rows["as they came"]["answered"]
    cases = ("disjoint", "same_label", "trimmed", "aligned", "none")
    assert all(sum(row[case] for case in cases) == 25 for row in rows.values())
    assert len(over_orders(inputs, shuffles=3)) == 5
    first = scene(inputs, order="attacker-first")
    assert (rows["attacker first"]["answered"], rows["attacker first"]["wrong"]) == (first.answered, first.wrong)


def test_the_answer_at_a_point_is_the_store_s(inputs):
    found = scene(inputs)
    generator = np.random.default_rng(0)
    with Store.in_memory(2) as store:
        columns = inputs.predictions, inputs.radii, inputs.sigma
        store.insert(inputs.data.inputs, *columns, ["x"] * 25, np.arange(25))
        asked = {"balls": 0, "members": 0}
        for point in generator.uniform([-2, -2], [3, 3], (60, 2)):
            reply, wanted = ask(inputs, found, tuple(point), **NOISE), store.query(point)
            asked["members" if wanted is None else "balls"] += 1
            if wanted is None:
                assert (reply.ball, reply.distance) == (None, None)
                assert reply.gap >= 0
            else:
                assert (reply.ball, reply.label) == (wanted.ball, wanted.label)
                assert reply.radius == pytest.approx(wanted.radius, abs=1e-6)
    assert min(asked.values()) > 5


def test_overstated_radii_collide_two_half_planes():
    two = plane_data.own(plane_data.parse("0 0 round; 0.6 0 square"), 0)
    honest, bold = (certified(two, sigma=0.2, spread=1.0, stretch=stretch, seed=0) for stretch in (1.0, 2.0))
    assert honest.radii.sum() < 0.6, "half planes: no certificate reaches beyond the boundary"
    np.testing.assert_allclose(bold.radii, 2 * honest.radii)
    assert [entry.case for entry in scene(honest).entries] == ["disjoint", "disjoint"]
    assert [entry.case for entry in scene(bold).entries] == ["disjoint", "trimmed"]
