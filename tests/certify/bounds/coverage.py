"""Simulated coverage: how often a decided answer claims more than the true class probabilities allow."""

import numpy as np

from certssb_core.certify.bounds.registry import BOUNDS, ClassBounds
from certssb_core.certify.bounds.time_uniform import time_uniform_bounds

GRIDS = {
    2: [[p, 1 - p] for p in (0.5, 0.52, 0.6, 0.75, 0.9, 0.97, 0.995)],
    3: [
        *([0.34, 0.33, 0.33], [0.5, 0.25, 0.25], [0.5, 0.49, 0.01], [0.45, 0.45, 0.1]),
        *([0.6, 0.35, 0.05], [0.8, 0.15, 0.05], [0.9, 0.05, 0.05], [0.97, 0.02, 0.01]),
    ],
    10: [
        *([0.1] * 10, [0.19] + [0.09] * 9, [0.5] + [0.5 / 9] * 9, [0.45, 0.45] + [0.0125] * 8),
        *([0.7, 0.2] + [0.0125] * 8, [0.91] + [0.01] * 9, [0.9, 0.09] + [0.00125] * 8),
    ],
}


def wrong(bounds: ClassBounds, p: list[float]) -> np.ndarray:
    """Whether an answer is decided and claims more than the truth ``p`` ``(C,)`` allows."""
    p, rows = np.asarray(p), np.arange(len(bounds.top))
    others = np.tile(p, (len(rows), 1))
    others[rows, bounds.top] = -1
    lies = (p[bounds.top] < bounds.p_a_lower) | (others.max(axis=1) > bounds.p_b_upper)
    return lies & (bounds.prediction >= 0)


def risk(name: str, p: list[float], *, members: int, alpha: float, experiments: int, seed: int) -> float:
    """Share of ``experiments`` of ``members`` votes at ``p`` in which the bound is wrong; for ``time-uniform``, wrong
    at any moment of the voting."""
    rng, classes = np.random.default_rng(seed), len(p)
    if name == "time-uniform":
        counts, ever = np.zeros((experiments, classes), np.int64), np.zeros(experiments, bool)
        for seen in range(1, members + 1):
            counts += rng.multinomial(1, p, size=experiments)
            distinct, back = np.unique(counts, axis=0, return_inverse=True)
            ever |= wrong(time_uniform_bounds(distinct, seen, alpha), p)[back]
        return ever.mean()
    if BOUNDS[name].vote == "sequence":
        votes = rng.choice(classes, p=p, size=(members, experiments)).astype(np.uint8)
        return wrong(BOUNDS[name].class_bounds(votes, classes, alpha), p).mean()
    counts = rng.multinomial(members, p, size=experiments)
    values = counts if BOUNDS[name].vote == "hard" else counts / members
    return wrong(BOUNDS[name].class_bounds(values, members, alpha), p).mean()
