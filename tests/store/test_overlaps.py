import numpy as np
import pytest
from scipy.spatial.distance import pdist, squareform

from certssb_core.store.overlaps import distances, nearest, survey


@pytest.fixture
def cloud():
    generator = np.random.default_rng(3)
    centres = generator.random((70, 12), dtype=np.float32)
    return centres, generator.integers(0, 3, 70), generator.uniform(0.1, 0.9, 70)


def by_loop(centres, labels, radii):
    """The definition, one pair at a time, with SciPy's distances."""
    matrix = squareform(pdist(centres.astype(np.float64)))
    touching, conflicts = 0, []
    for i in range(len(centres)):
        for j in range(i + 1, len(centres)):
            if matrix[i, j] < radii[i] + radii[j]:
                if labels[i] == labels[j]:
                    touching += 1
                else:
                    conflicts.append((i, j, matrix[i, j]))
    return touching, conflicts


def test_counts_and_conflicts_follow_the_definition(cloud):
    result = survey(*cloud)
    touching, conflicts = by_loop(*cloud)
    assert 0 < len(conflicts) < result.pairs  # the fixture holds both kinds
    assert (result.touching, result.conflicts) == (touching, len(conflicts))
    found = {
        (i, j): d
        for i, j, d, reach in zip(result.first, result.second, result.distance, result.radius_sum, strict=True)
        if d < reach
    }
    assert found == pytest.approx({(i, j): d for i, j, d in conflicts}, abs=1e-12)
    assert np.all(np.diff(result.distance - result.radius_sum) >= 0), "deepest first"


def test_every_pair_falls_in_the_bin_of_its_distance(cloud):
    centres, labels, _ = cloud
    result = survey(*cloud, bins=20)
    assert result.same.sum() + result.different.sum() == result.pairs == 70 * 69 // 2
    upper = np.triu_indices(70, 1)
    expected = np.histogram(pdist(centres.astype(np.float64)), bins=result.distance_edges)[0]
    np.testing.assert_array_equal((result.same + result.different).sum(axis=0), expected)
    different = labels[upper[0]] != labels[upper[1]]
    assert result.different.sum() == different.sum()


def test_blocks_change_nothing(cloud, monkeypatch):
    whole = survey(*cloud)
    monkeypatch.setattr("certssb_core.store.overlaps._BLOCK", 7)
    parts = survey(*cloud)
    np.testing.assert_array_equal(parts.different, whole.different)
    np.testing.assert_array_equal(parts.first, whole.first)


def test_touching_is_not_intersecting_and_no_rounding_decides_it():
    centres = np.array([[1e4, 0.0], [1e4 + 1.0, 0.0]])
    assert survey(centres, np.array([0, 1]), np.array([0.5, 0.5])).conflicts == 0
    assert survey(centres, np.array([0, 1]), np.array([0.5, 0.5 + 1e-9])).conflicts == 1


def test_only_the_closest_are_listed_but_all_are_counted(cloud, monkeypatch):
    whole = survey(*cloud, listed=10_000)
    monkeypatch.setattr("certssb_core.store.overlaps._BLOCK", 16)
    few = survey(*cloud, listed=5)
    np.testing.assert_array_equal(few.first, whole.first[:5])
    assert few.conflicts == whole.conflicts > 5
    assert len(whole.first) == whole.different.sum()


@pytest.mark.parametrize("count", [0, 1])
def test_fewer_than_two_balls_make_no_pair(count):
    result = survey(np.zeros((count, 4)), np.zeros(count, int), np.ones(count))
    assert (result.pairs, result.conflicts, result.touching, result.same.sum()) == (0, 0, 0, 0)


def test_distances_and_nearest(cloud):
    centres = cloud[0]
    matrix = squareform(pdist(centres.astype(np.float64)))
    np.testing.assert_allclose(distances(centres, np.array([0, 3]), np.array([5, 9])), matrix[[0, 3], [5, 9]])
    matrix[np.diag_indices(70)] = np.inf
    others = np.delete(np.arange(70), 4)
    assert nearest(centres, np.zeros(70), 4, others) == np.argmin(matrix[4])
    assert nearest(centres, cloud[2], 4, others) == np.argmin(matrix[4] - cloud[2])
    assert nearest(centres, cloud[2], 4, others[:0]) is None
