"""Data in the plane, for the sandbox: moons, blobs, or points that somebody typed or clicked; with a planted backdoor.

Small enough that everything about it can be drawn, and that exact probabilities replace estimates where that helps.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from certssb_core.errors import DataError

LABELS = ("round", "square")
KINDS = (*LABELS, "attacker")
"""Kinds of points that a user may add: honest ones of either label, and places of a backdoor."""

TRAINED, POISONED = 240, 20
LARGEST, FARTHEST = 60, 10.0
"""Most points that a user may add, and the largest coordinate."""
_SPREAD = 0.06  # of the poisoned training points about the backdoor's place


@dataclass(frozen=True, eq=False)
class PlaneData:
    """A poisoned training set and the inputs to certify; labels are positions in :data:`LABELS`.

    Attributes:
        train: ``(n, 2)``; train_labels: ``(n,)`` as the trainer sees them.
        poisoned: ``(n,)`` bool.
        inputs: ``(m, 2)``, honest ones first; labels: ``(m,)`` their true labels.
        attacker: ``(m,)`` bool: inputs that the attacker sends to the place of the backdoor.
        neighbours: how many training points the classifier should ask.
    """

    train: np.ndarray
    train_labels: np.ndarray
    poisoned: np.ndarray
    inputs: np.ndarray
    labels: np.ndarray
    attacker: np.ndarray
    neighbours: int


@dataclass(frozen=True)
class Point:
    """A point that a user added; ``kind`` is one of :data:`KINDS`."""

    x: float
    y: float
    kind: str

    def __str__(self) -> str:
        return f"{self.x:g} {self.y:g} {self.kind}"


def moons(seed: int, count: int) -> PlaneData:
    """Two interleaved half circles."""
    from sklearn.datasets import make_moons  # here: it takes a second, and most pages need none

    return _drawn(*make_moons(TRAINED + count, noise=0.16, random_state=seed), seed=seed)


def blobs(seed: int, count: int) -> PlaneData:
    """Two round clouds that overlap a little."""
    from sklearn.datasets import make_blobs

    centres = [(-0.7, 0.0), (0.7, 0.3)]
    return _drawn(*make_blobs(TRAINED + count, centers=centres, cluster_std=0.45, random_state=seed), seed=seed)


DATASETS: dict[str, Callable[[int, int], PlaneData]] = {"moons": moons, "blobs": blobs}
"""From a seed and the number of honest inputs to the data."""


def parse(text: str) -> list[Point]:
    """Read points written as ``x y kind``, separated by semicolons or lines.

    Raises:
        DataError: something else was written; the message quotes it.
    """
    points = []
    for part in filter(None, (part.strip() for part in re.split(r"[;\n]", text))):
        words = part.replace(",", " ").split()
        try:
            x, y = (float(word) for word in words[:2])
            [kind] = (kind for kind in KINDS if len(words) == 3 and kind.startswith(words[2].lower()))
        except ValueError:
            raise DataError(f"“{part[:40]}” is no point: expected x, y and one of {', '.join(KINDS)}") from None
        if not max(abs(x), abs(y)) <= FARTHEST:  # also where it is not a number
            raise DataError(f"“{part[:40]}” lies too far out: coordinates go from {-FARTHEST:g} to {FARTHEST:g}")
        points.append(Point(x, y, kind))
    if len(points) > LARGEST:
        raise DataError(f"{len(points)} points are too many to draw; at most {LARGEST}")
    return points


def own(points: Sequence[Point], seed: int) -> PlaneData:
    """Use the points as training set and as inputs, and plant a backdoor at each attacker's point.

    Raises:
        DataError: one of the labels has no honest point.
    """
    honest = [point for point in points if point.kind in LABELS]
    if missing := set(LABELS) - {point.kind for point in honest}:
        raise DataError(f"There is no {' and no '.join(sorted(missing))} point yet: add at least one of each")
    places = np.array([(point.x, point.y) for point in honest])
    labels = np.array([LABELS.index(point.kind) for point in honest])
    backdoors = np.array([(point.x, point.y) for point in points if point.kind == "attacker"]).reshape(-1, 2)
    return _poisoned(places, labels, places, labels, backdoors, seed=seed, neighbours=1)


def _drawn(points: np.ndarray, labels: np.ndarray, *, seed: int) -> PlaneData:
    train, trained = points[:TRAINED], labels[:TRAINED]
    first = train[trained == 0]
    # The backdoor hides where honest round points are close by: at the one nearest to the middle of them.
    place = first[np.linalg.norm(first - np.median(first, axis=0), axis=1).argmin()]
    return _poisoned(train, trained, points[TRAINED:], labels[TRAINED:], place[None], seed=seed, neighbours=5)


def _poisoned(
    train: np.ndarray,
    labels: np.ndarray,
    inputs: np.ndarray,
    truth: np.ndarray,
    backdoors: np.ndarray,
    *,
    seed: int,
    neighbours: int,
) -> PlaneData:
    """Plant points labelled ``square`` about every backdoor, and let the attacker send an input there."""
    generator = np.random.default_rng((seed, 1))
    planted = np.repeat(backdoors, POISONED, axis=0)
    planted = planted + generator.normal(scale=_SPREAD, size=planted.shape)
    return PlaneData(
        train=np.concatenate([train, planted]),
        train_labels=np.concatenate([labels, np.ones(len(planted), np.int64)]),
        poisoned=np.arange(len(train) + len(planted)) >= len(train),
        inputs=np.concatenate([inputs, backdoors]),
        labels=np.concatenate([truth, np.zeros(len(backdoors), np.int64)]),
        attacker=np.arange(len(inputs) + len(backdoors)) >= len(inputs),
        neighbours=neighbours,
    )
