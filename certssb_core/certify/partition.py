"""Certified insertions and removals of training images that reach few members, whoever they are.

A hash of its content sends an image to one bucket. In DPA (arXiv 2006.14768) a bucket is the data of one member; in
finite aggregation (2202.02628) each bucket goes to ``spread`` of the members, so a member sees as many buckets.
"""

import numpy as np
from numpy.typing import ArrayLike

from certssb_core.certify.bounds.intervals import ClassBounds, class_rows, two_leaders
from certssb_core.certify.bounds.registry import Bound


def changes_certified(counts: ArrayLike) -> np.ndarray:
    """The most insertions and removals of training images that cannot change the leading class.

    Each of them changes one vote at most; a tie goes to the lower class: the least over the other classes c of
    ``(n_A - n_c - [c < A]) // 2``.

    Args:
        counts: ``(n, C)`` votes per class, C >= 2.

    Returns:
        ``(n,)`` int64, at least 0.
    """
    counts = np.asarray(counts, dtype=np.int64)
    rows, top = np.arange(len(counts)), counts.argmax(axis=1)
    lead = counts[rows, top, None] - counts - (np.arange(counts.shape[1]) < top[:, None])
    lead[rows, top] = np.iinfo(np.int64).max
    return lead.min(axis=1) // 2


def offsets(members: int, spread: int) -> list[int]:
    """Distances from a bucket to the members that see it, around the circle of members; 0 is the first.

    Multiples of the golden section around the circle, so spread evenly, and fixed: no data or seed enters.

    Args:
        members: M, also the number of buckets; spread: in [1, M].
    """
    found: list[int] = []
    step = 0
    while len(found) < spread:
        place = int(step * members * 0.6180339887498949) % members
        while place in found:
            place = (place + 1) % members
        found.append(place)
        step += 1
    return found


def spread_changes_certified(votes: ArrayLike, classes: int, spread: int) -> np.ndarray:
    """The most insertions and removals that cannot change the leading class where each reaches ``spread`` members.

    A change of bucket j lets its members vote anything: of the lead over class c it takes at most the sum over them of
    ``1 + [votes A] - [votes c]``. So r changes take at most the r largest of these sums, and the lead, less one where
    c < A, must cover them (finite aggregation). With ``spread`` 1 this is :func:`changes_certified`.

    Args:
        votes: ``(M, n)`` hard votes, in the order of the members.
        classes: number of classes C, >= 2.
        spread: members that each bucket reaches, at the distances of :func:`offsets`.

    Returns:
        ``(n,)`` int64, at least 0 and at most M.
    """
    votes = np.asarray(votes)
    members, n = votes.shape
    counts = np.stack([(votes == label).sum(0) for label in range(classes)], axis=1)
    top = counts.argmax(1)
    reached = (np.arange(members)[:, None] + offsets(members, spread)) % members  # (buckets, spread)
    for_top = (votes == top).astype(np.int64)
    certified = np.full(n, members)
    for label in range(classes):
        taken = (1 + for_top - (votes == label))[reached].sum(1)  # (buckets, n)
        worst = np.cumsum(-np.sort(-taken, axis=0), axis=0)
        lead = counts[np.arange(n), top] - counts[:, label] - (label < top)
        certified = np.where(label == top, certified, np.minimum(certified, (worst <= lead).sum(0)))
    return certified


def _shares(values: ArrayLike, count: int, alpha: float) -> ClassBounds:
    """Shares of the votes of fixed members. They estimate nothing, so ``alpha`` is not used."""
    values = class_rows(values, total=count)
    top, leader, runner_up = two_leaders(values)
    return ClassBounds(top, top, leader / count, runner_up / count)


COUNTED = Bound(
    "Counted: the members are fixed, so there is nothing to estimate",
    "hard",
    _shares,
    "Members are fixed and deterministic: the leading class is no estimate.",
)
