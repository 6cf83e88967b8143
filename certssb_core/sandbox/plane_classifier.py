"""A nearest-neighbour classifier of the plane, smoothed with Gaussian noise: its probabilities are known exactly.

The classifier is constant on the cells of a grid (each cell has the answer of its centre), and the outermost cells go
on for ever. So the probability that x + σ z falls into a given answer is a sum of products of differences of Φ, and
nothing has to be estimated. Certificates nevertheless come from votes, as everywhere else, so that they mean the same.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree
from scipy.special import ndtr, ndtri

from certssb_core.certify.bounds.registry import BOUNDS
from certssb_core.certify.certificate import Certificates, certify

CELLS = 160
_MARGIN = 0.25  # of the data's extent, drawn on every side


@dataclass(frozen=True, eq=False)
class PlaneClassifier:
    """Two labels, 0 and 1, over the whole plane.

    Attributes:
        x, y: ``(CELLS + 1,)`` edges of the cells.
        cells: ``(CELLS, CELLS)`` int8, the label of the cell at (x, y).
    """

    x: np.ndarray
    y: np.ndarray
    cells: np.ndarray

    def __call__(self, points: np.ndarray) -> np.ndarray:
        """Labels ``(…)`` of points ``(…, 2)``."""
        column = np.clip(np.searchsorted(self.x, points[..., 0], side="right") - 1, 0, CELLS - 1)
        row = np.clip(np.searchsorted(self.y, points[..., 1], side="right") - 1, 0, CELLS - 1)
        return self.cells[column, row]

    def probability(self, points: np.ndarray, sigma: np.ndarray) -> np.ndarray:
        """``(n,)`` probability that ``x + σ z``, z ~ N(0, I), is labelled 1; points ``(n, 2)``, sigma ``(n,)``."""
        across = _masses(self.x, points[:, 0], sigma)
        along = _masses(self.y, points[:, 1], sigma)
        return np.einsum("ni,ni->n", across @ self.cells.astype(np.float64), along).clip(0.0, 1.0)

    def votes(self, points: np.ndarray, sigma: np.ndarray, *, members: int, seed: int) -> np.ndarray:
        """``(members, n)`` uint8 labels of noisy copies of the points."""
        noise = np.random.default_rng((seed, 2)).standard_normal((members, *points.shape))
        return self(points + sigma[:, None] * noise).astype(np.uint8)


def fit(points: np.ndarray, labels: np.ndarray, *, neighbours: int) -> PlaneClassifier:
    """Label every cell by the majority of its nearest training points; ``neighbours`` is odd, labels are 0 and 1."""
    low, high = points.min(axis=0), points.max(axis=0)
    margin = _MARGIN * max(float((high - low).max()), 0.5)
    x, y = (np.linspace(low[axis] - margin, high[axis] + margin, CELLS + 1) for axis in (0, 1))
    centres = np.stack(np.meshgrid((x[1:] + x[:-1]) / 2, (y[1:] + y[:-1]) / 2, indexing="ij"), axis=-1)
    _, nearest = cKDTree(points).query(centres.reshape(-1, 2), k=range(1, neighbours + 1))  # (cells, k)
    cells = labels[nearest].mean(axis=1) > 0.5
    return PlaneClassifier(x, y, cells.reshape(CELLS, CELLS).astype(np.int8))


def best_sigma(
    classifier: PlaneClassifier,
    points: np.ndarray,
    *,
    low: float,
    high: float,
    largest_margin: float,
    wanted: np.ndarray | None = None,
    steps: int = 25,
) -> np.ndarray:
    """σ* ``(n,)``: where r(x, σ) = σ Φ⁻¹(p_A(σ)) is largest on a log grid from ``low`` to ``high``.

    Args:
        classifier: its exact probabilities are used, so the choice costs the certificate no confidence.
        points: ``(n, 2)``.
        low, high: the range of σ, > 0.
        largest_margin: that the voters can certify: caps Φ⁻¹(p_A).
        wanted: ``(n,)`` label whose radius is to be largest; -1, and by default everywhere: the leading one's.
        steps: of the grid.
    """
    grid = np.geomspace(low, high, steps)
    many = np.repeat(points, steps, axis=0)
    probability = classifier.probability(many, np.tile(grid, len(points))).reshape(-1, steps)  # of label 1
    wanted = np.full(len(points), -1) if wanted is None else wanted
    leading = np.maximum(probability, 1 - probability)
    p_a = np.select([wanted[:, None] == 0, wanted[:, None] == 1], [1 - probability, probability], leading)
    with np.errstate(divide="ignore"):
        radius = grid * np.clip(ndtri(p_a), -largest_margin, largest_margin)
    return grid[radius.argmax(axis=1)]


def certificates(
    classifier: PlaneClassifier, points: np.ndarray, sigma: np.ndarray, *, members: int, alpha: float, seed: int
) -> Certificates:
    """Certify by ``members`` votes at noise ``sigma`` ``(n,)``, with Clopper–Pearson bounds."""
    votes = classifier.votes(points, sigma, members=members, seed=seed)
    bounds = BOUNDS["clopper-pearson"].from_votes(votes, classes=2, alpha=alpha)
    return certify(bounds, sigma, training_map="uniform", test_map="sample-specific")


def _masses(edges: np.ndarray, places: np.ndarray, sigma: np.ndarray) -> np.ndarray:
    """``(n, CELLS)`` mass of N(place, σ²) in each cell; the outermost cells reach to infinity."""
    inner = ndtr((edges[None, 1:-1] - places[:, None]) / sigma[:, None])
    ends = np.zeros((len(places), 1)), np.ones((len(places), 1))
    return np.diff(np.concatenate([ends[0], inner, ends[1]], axis=1), axis=1)
