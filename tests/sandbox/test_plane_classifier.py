import numpy as np
import pytest
from scipy.special import ndtr, ndtri
from sklearn.neighbors import KNeighborsClassifier

from certssb_core.sandbox.plane_classifier import CELLS, PlaneClassifier, best_sigma, certificates, fit

# Two points, one of each label: the plane is cut in half at x = 0, which is an edge of the grid.
HALVES = fit(np.array([[-0.4, 0.0], [0.4, 0.0]]), np.array([0, 1]), neighbours=1)


def test_half_planes_have_the_probability_of_the_normal_distribution():
    points = np.array([[-0.3, 0.2], [0.1, -5.0], [2.0, 9.0]])
    sigma = np.array([0.25, 0.5, 4.0])
    np.testing.assert_allclose(HALVES.probability(points, sigma), ndtr(points[:, 0] / sigma), atol=1e-12)


def test_any_cells_against_many_draws():
    generator = np.random.default_rng(0)
    cells = generator.integers(0, 2, (CELLS, CELLS)).astype(np.int8)
    cells[:60, :90] = 1
    edges = np.linspace(-1, 1, CELLS + 1)
    classifier = PlaneClassifier(edges, 0.5 * edges, cells)
    point, sigma = np.array([-0.6, -0.2]), 0.35
    draws = point + sigma * generator.standard_normal((200_000, 2))
    share = classifier(draws).mean()
    assert classifier.probability(point[None], np.array([sigma]))[0] == pytest.approx(share, abs=4 * 0.5 / 200_000**0.5)


def test_cells_answer_as_the_nearest_neighbours_do():
    generator = np.random.default_rng(1)
    points, labels = generator.normal(size=(80, 2)), generator.integers(0, 2, 80)
    classifier = fit(points, labels, neighbours=5)
    centres = np.stack(
        [(classifier.x[1:] + classifier.x[:-1])[::7] / 2, (classifier.y[1:] + classifier.y[:-1])[::7] / 2]
    )
    wanted = KNeighborsClassifier(5).fit(points, labels).predict(centres.T)
    np.testing.assert_array_equal(classifier(centres.T), wanted)


def test_best_sigma_is_that_of_the_closed_form():
    # In a half plane σ Φ⁻¹(Φ(d / σ)) = d whatever σ, until the cap bites: then it falls with σ below d / cap.
    cap = 2.4
    star = best_sigma(HALVES, np.array([[0.6, 0.0]]), low=0.01, high=0.3, largest_margin=cap)
    assert star[0] >= 0.6 / cap / (30 ** (1 / 24))
    # An island of label 1 keeps its answer only under little noise.
    island = fit(
        np.array([[0.0, 0.0], [0.3, 0.0], [-0.3, 0.0], [0.0, 0.3], [0.0, -0.3]]),
        np.array([1, 0, 0, 0, 0]),
        neighbours=1,
    )
    kept = best_sigma(island, np.zeros((1, 2)), low=0.02, high=1.0, largest_margin=cap, wanted=np.array([1]))
    free = best_sigma(island, np.zeros((1, 2)), low=0.02, high=1.0, largest_margin=cap)
    assert kept[0] < 0.2 < free[0]


def test_certified_radii_stay_below_the_distance_to_the_boundary():
    points = np.array([[x, 0.3] for x in np.linspace(-0.8, 0.8, 30)])
    found = certificates(HALVES, points, np.full(30, 0.3), members=1000, alpha=0.001, seed=0)
    distance = np.abs(points[:, 0])
    assert (found.radius <= distance).all(), "one in a thousand may fail; not with this seed"
    certain = distance > 0.1
    assert (found.prediction[certain] == (points[certain, 0] > 0)).all()
    largest = 0.3 * ndtri((0.001 / 2) ** (1 / 1000))
    assert found.radius[distance < 0.6].max() > 0.7 * 0.55
    assert found.radius.max() <= largest + 1e-12
