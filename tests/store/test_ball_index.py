"""What rules balls out never rules out one that matters: bounds against float64 differences, answers against a scan."""

import numpy as np
import pytest

from certssb_core.store import ball_index
from certssb_core.store.ball_index import BallIndex
from certssb_core.store.power_distance import ball_rows, full_power, point_rows, squares
from certssb_core.store.projection import Sketch, sample

CLOUDS = {
    "pixels": lambda rng, n, d: rng.random((n, d)),
    "clustered": lambda rng, n, d: rng.random((8, d))[rng.integers(0, 8, n)] + 0.05 * rng.normal(size=(n, d)),
    "far from the origin": lambda rng, n, d: 1e4 + 0.01 * rng.normal(size=(n, d)),
    "tiny": lambda rng, n, d: 1e-22 * rng.normal(size=(n, d)),
    "too large for float32 squares": lambda rng, n, d: 1e19 * rng.normal(size=(n, d)),
}


def cloud(name, count, dim, *, seed=0):
    return CLOUDS[name](np.random.default_rng(seed), count, dim).astype(np.float32)


def distances(points, centres):
    return np.linalg.norm(points[:, None].astype(np.float64) - centres[None].astype(np.float64), axis=2)


@pytest.mark.parametrize("dim", [1, 2, 64, 200])
@pytest.mark.parametrize("name", list(CLOUDS))
def test_a_sketch_enlarges_no_distance(name, dim):
    points = cloud(name, 150, dim)
    sketched = Sketch.of(points[sample(len(points), dim)])(points)
    true = distances(points, points)
    size = np.linalg.norm(points.astype(np.float64) - points.mean(axis=0, dtype=np.float64), axis=1).max()
    assert np.all(distances(sketched, sketched) <= true + 1e-9 * size)


def test_a_sketch_of_points_in_a_plane_keeps_their_distances():
    rng = np.random.default_rng(1)
    points = rng.normal(size=(150, 5)) @ rng.normal(size=(5, 400))
    sketched = Sketch.of(points[:50])(points)
    np.testing.assert_allclose(distances(sketched, sketched), distances(points, points), atol=1e-6)


@pytest.mark.parametrize("name", list(CLOUDS))
@pytest.mark.parametrize("reach", [0.0, 0.5, 3.0])
def test_powers_are_lower_bounds(name, reach):
    """Radii around the distances themselves, so that the exact power is often almost 0."""
    points, centres = cloud(name, 40, 96), cloud(name, 60, 96, seed=1)
    true = distances(points, centres)
    radii = reach * true.mean() * np.random.default_rng(2).random(40)
    ball_radii = np.abs(true[0] - radii[0])
    exact = true**2 - (radii[:, None] + ball_radii) ** 2
    with np.errstate(over="ignore"):
        rows = point_rows(points.astype(np.float64), radii) @ ball_rows(centres.astype(np.float64), ball_radii).T
    full = full_power(points, radii, centres, squares(centres), ball_radii)
    for power in (rows, full):
        assert np.all(np.isnan(power) | (power <= exact))
    if name == "pixels":  # and no idle ones: they are off by a millionth of the squares
        assert np.all(exact - rows < 1e-3 * (true**2 + radii[:, None] ** 2 + ball_radii**2 + 96))


def filled(name, count, dim, *, seed=0, spread=0.5):
    centres, rng = cloud(name, count, dim, seed=seed), np.random.default_rng(seed + 1)
    radii = spread * rng.random(count) * distances(centres[:20], centres[:20]).mean()
    labels = rng.integers(0, 3, count)
    index = BallIndex(dim)
    for ball in range(count):
        index.append(10 * ball, centres[ball], int(labels[ball]), float(radii[ball]))
    return index, centres, labels, radii


@pytest.mark.parametrize("name", list(CLOUDS))
@pytest.mark.parametrize(("block", "spread"), [(4096, 0.5), (37, 0.5), (64, 2.0)])
def test_the_nearest_is_the_nearest_of_all_that_come_within_the_radius(name, block, spread, monkeypatch):
    monkeypatch.setattr(ball_index, "_BALLS", block)
    monkeypatch.setattr(ball_index, "_POINTS", 32)
    index, centres, labels, radii = filled(name, 400, 50, spread=spread)
    points = np.concatenate([cloud(name, 40, 50, seed=7), centres[:20]])
    gaps = np.sqrt(((points[:, None].astype(np.float64) - centres.astype(np.float64)) ** 2).sum(axis=2)) - radii
    around = np.median(np.abs(gaps), axis=1)
    for near, point, radius, gap in zip(index.scan(points, around), points, around, gaps, strict=True):
        for label in range(3):
            found, wanted = near.nearest(near.labels == label), gap[labels == label]
            if wanted.min() < radius:
                assert (found.gap, found.label) == (wanted.min(), label)
                assert found.ball == 10 * np.flatnonzero((labels == label) & (gap == wanted.min()))[0]
            else:
                assert found is None or found.gap >= radius
        assert_same(near.nearest(), index.near(point, radius).nearest())


def assert_same(one, other):
    assert (one is None) == (other is None)
    if one is not None:
        assert (one.ball, one.gap, one.distance) == (other.ball, other.gap, other.distance)


def test_balls_forgotten_are_no_longer_found():
    index, centres, _, radii = filled("pixels", 200, 8)
    assert index.near(centres[150], 0.0).nearest() is not None
    index.truncate(100)
    assert len(index) == len(index.centres) == 100
    for point in centres:
        found = index.near(point, float("inf")).nearest()
        gaps = np.sqrt(((point.astype(np.float64) - centres[:100].astype(np.float64)) ** 2).sum(axis=1)) - radii[:100]
        assert found.gap == gaps.min()


def test_memory_is_the_centres_and_little_more():
    index, *_ = filled("pixels", 300, 784)
    index.near(index.centres[0], 0.0)
    held = sum(block.nbytes for block in index._lifted) / index._block * len(index) + index._facts.nbytes
    assert held < 0.2 * index.centres.nbytes
