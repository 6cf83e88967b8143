"""RAB's smoothed nearest-neighbour classifier, without sampling (arXiv 2003.08904).

The training images carry the noise, the test input none: the squared distance to image i, in units of σ², is noncentral
chi-squared and independent of all others. Which class holds the nearest image is then a sum over buckets of distances.
The sum with the other classes' distances taken at either end of the bucket brackets the probability, so the certificate
holds for sure; it is about changes of the training images (docs/method.md §5 with 1/σ_x = 0).

Notes:
    The paper buckets the similarities and certifies the classifier that sees buckets. Here buckets only bracket the
    one that sees distances.
"""

from __future__ import annotations

import numpy as np
from scipy.special import chndtr

from certssb_core.certify.bounds.intervals import ClassBounds

_ROUNDING = 1e-9


def nearest_class_bounds(
    images: np.ndarray, labels: np.ndarray, inputs: np.ndarray, *, sigma: float, classes: int, buckets: int = 100
) -> ClassBounds:
    """Bounds, at no failure probability, on the nearest image's class when every image is x_i + σ z_i.

    Args:
        images: ``(N, …)`` training images; labels: ``(N,)``; inputs: ``(n, …)`` test inputs.
        sigma: > 0; buckets: of distances; more bracket more tightly.
    """
    lower, upper = nearest_class_probabilities(images, labels, inputs, sigma=sigma, classes=classes, buckets=buckets)
    rows, top = np.arange(len(inputs)), lower.argmax(axis=1).astype(np.int64)
    p_a_lower = np.clip(lower[rows, top] - _ROUNDING, 0, 1)
    upper[rows, top] = 0
    p_b_upper = np.clip(np.minimum(upper.max(axis=1) + _ROUNDING, 1 - p_a_lower), 0, 1)
    return ClassBounds.decide(top, p_a_lower, p_b_upper)


def nearest_class_probabilities(
    images: np.ndarray, labels: np.ndarray, inputs: np.ndarray, *, sigma: float, classes: int, buckets: int
) -> tuple[np.ndarray, np.ndarray]:
    """``(n, C)`` lower and upper ends of the probability that the nearest noisy image is of each class."""
    if not sigma > 0:
        raise ValueError(f"sigma must be positive, got {sigma}")
    train, points = (np.asarray(x, dtype=np.float64).reshape(len(x), -1) for x in (images, inputs))
    dim = train.shape[1]
    rows = [
        _bracket(((train - point) ** 2).sum(axis=1) / sigma**2, np.asarray(labels), dim, classes, buckets)
        for point in points
    ]
    lower, upper = (np.stack(side) for side in zip(*rows, strict=True))
    return lower, upper


def _bracket(
    shifts: np.ndarray, labels: np.ndarray, dim: int, classes: int, buckets: int
) -> tuple[np.ndarray, np.ndarray]:
    """Bracket one input's probabilities; ``shifts`` ``(N,)``: squared distances to the images, in units of σ²."""
    from scipy.stats import ncx2  # a third of a second, which most commands do without

    low, high = ncx2.ppf([1e-9 / len(shifts), 1 - 1e-6], dim, shifts.min())
    edges = np.linspace(low, high, buckets // 4)
    whole = _log_beyond(edges, dim, shifts).sum(axis=0)  # of the nearest image of any class
    first, last = np.searchsorted(-whole, [1e-9, -np.log(1e-9)])  # it falls between these, all but surely
    edges = np.linspace(edges[max(first - 1, 0)], edges[min(last, len(edges) - 1)], buckets)
    beyond = _log_beyond(edges, dim, shifts)
    alive = np.stack([np.exp(beyond[labels == label].sum(axis=0)) for label in range(classes)])  # P(min > edge)
    alive = np.concatenate([np.ones((classes, 1)), alive, np.zeros((classes, 1))], axis=1)
    falls = alive[:, :-1] - alive[:, 1:]  # (C, buckets + 1): the class's nearest image falls into the bucket
    others = np.stack([np.delete(alive, label, axis=0).prod(axis=0) for label in range(classes)])
    return (falls * others[:, 1:]).sum(axis=1), (falls * others[:, :-1]).sum(axis=1)


def _log_beyond(edges: np.ndarray, dim: int, shifts: np.ndarray) -> np.ndarray:
    """``(N, edges)`` log of the probability that each noisy image lies beyond each squared distance."""
    with np.errstate(divide="ignore"):
        return np.log1p(-np.clip(chndtr(edges, dim, shifts[:, None]), 0, 1))
