"""Attack the store: hostile orders of arrival, hostile balls, and queries at the surfaces of balls.

What is promised (docs/method.md §6): no two balls of different label intersect, and a point inside a stored
ball gets that ball's label, for ever. The checks here share no code with the store: distances are SciPy's.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial.distance import cdist

from certssb_core.store.store import Balls, Store

ORDERS: dict[str, str] = {
    "shuffled": "certified inputs in random order",
    "largest-first": "certified inputs, largest radius first",
    "attacker-first": "an attacker's balls beside the certified inputs, before them",
    "attacker-among": "an attacker's balls beside the certified inputs, shuffled among them",
}

LARGEST = 1500
"""Most certified inputs per replay, chosen at random: the checks look at every pair."""
QUERIED = 100
"""Number of balls per replay that are asked about just inside their surface."""
ROUNDING = 1e-12
"""Relative difference allowed between two float64 sums of the same distance."""


@dataclass(frozen=True)
class Replay:
    """The checks of one replay, and how many failed.

    Attributes:
        order: a key of `ORDERS`.
        balls: how many were stored; conflicts: inputs that the store trimmed or aligned.
        pairs: pairs of balls of different label looked at; crossed: those that intersect.
        queries: answers asked for inside balls; lost: answers other than the ball's label.
    """

    order: str
    balls: int
    conflicts: int
    pairs: int
    crossed: int
    queries: int
    lost: int


def replay(
    centres: np.ndarray, labels: np.ndarray, radii: np.ndarray, *, order: str, generator: np.random.Generator
) -> Replay:
    """Send inputs to an empty store in a hostile order, and check its promises half-way and at the end.

    Args:
        centres: ``(n, d)`` flat certified inputs.
        labels: ``(n,)`` certified classes; radii: ``(n,)`` test radii in L2 pixel units, > 0.
        order: a key of `ORDERS`.
        generator: which order, which attacker's balls, which queries.
    """
    chosen = generator.permutation(len(centres))[:LARGEST]
    centres, labels, radii = centres[chosen].astype(np.float32), labels[chosen], radii[chosen]
    if order == "largest-first":
        arrival = np.argsort(-radii, kind="stable")
        centres, labels, radii = centres[arrival], labels[arrival], radii[arrival]
    if order.startswith("attacker"):
        hostile = _hostile(centres, labels, radii, generator)
        centres, labels, radii = (np.concatenate(pair) for pair in zip(hostile, (centres, labels, radii), strict=True))
    if order == "attacker-among":
        arrival = generator.permutation(len(centres))
        centres, labels, radii = centres[arrival], labels[arrival], radii[arrival]
    half = len(centres) // 2
    with Store.in_memory(centres.shape[1]) as store:
        entries = _insert(store, centres, labels, radii, slice(half))
        early = store.balls()
        points, wanted = _surface_points(early, generator)
        answers = [store.query(point) for point in points]
        entries += _insert(store, centres, labels, radii, slice(half, None))
        answers += [store.query(point) for point in points]
        pairs, crossed = crossings(store.balls())
    return Replay(
        order=order,
        balls=sum(entry.stored for entry in entries),
        conflicts=sum(entry.case in ("trimmed", "aligned") for entry in entries),
        pairs=pairs,
        crossed=crossed,
        queries=len(answers),
        lost=sum(
            answer is None or answer.label != label for answer, label in zip(answers, [*wanted, *wanted], strict=True)
        ),
    )


def crossings(balls: Balls) -> tuple[int, int]:
    """Count the pairs of balls of different label, and those of them that intersect: ``d < r_i + r_j``."""
    centres = balls.centres.astype(np.float64)
    rivals = np.triu(balls.labels[:, None] != balls.labels, 1)
    reach = balls.radii[:, None] + balls.radii
    return int(rivals.sum()), int((rivals & (cdist(centres, centres) < reach * (1 - ROUNDING))).sum())


def _insert(store: Store, centres: np.ndarray, labels: np.ndarray, radii: np.ndarray, rows: slice) -> list:
    count = len(labels[rows])
    sets, indices = ["replay"] * count, np.arange(count)
    return store.insert(centres[rows], labels[rows], radii[rows], np.ones(count), sets, indices)


def _hostile(
    centres: np.ndarray, labels: np.ndarray, radii: np.ndarray, generator: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Make large balls of a wrong label, centred inside honest balls, one per ten certified inputs."""
    victims = generator.permutation(len(centres))[: max(1, len(centres) // 10)]
    directions = generator.standard_normal((len(victims), centres.shape[1]))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    away = generator.uniform(0, 1, (len(victims), 1)) * radii[victims, None]
    wrong = (labels[victims] + 1) % max(2, int(labels.max()) + 1)
    reach = np.full(len(victims), 2 * radii.max())
    return (centres[victims] + away * directions).astype(np.float32), wrong, reach


def _surface_points(balls: Balls, generator: np.random.Generator) -> tuple[np.ndarray, list[int]]:
    """Choose points just inside some balls, towards the nearest rival and anywhere, with their labels."""
    chosen = generator.permutation(len(balls.radii))[:QUERIED]
    centres = balls.centres.astype(np.float64)
    gaps = cdist(centres[chosen], centres) - balls.radii
    gaps[balls.labels[chosen, None] == balls.labels] = np.inf
    towards = centres[gaps.argmin(axis=1)] - centres[chosen]
    directions = np.concatenate([towards, generator.standard_normal(towards.shape)])
    directions /= np.maximum(np.linalg.norm(directions, axis=1, keepdims=True), np.finfo(np.float64).tiny)
    balls_of = np.tile(chosen, 2)
    points = (centres[balls_of] + 0.999 * balls.radii[balls_of, None] * directions).astype(np.float32)
    inside = np.linalg.norm(points.astype(np.float64) - centres[balls_of], axis=1) < balls.radii[balls_of]
    return points[inside], balls.labels[balls_of[inside]].tolist()
