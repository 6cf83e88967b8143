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


def fewest_changes(worth: np.ndarray, gap: np.ndarray, spread: int) -> np.ndarray:
    """The fewest insertions and removals after which votes may have shifted by ``gap``, each input on its own.

    A change of bucket j rules the members that see it. It shifts the votes by at most the sum of what each of them is
    worth, so r changes shift them by at most the r largest of these sums.

    Args:
        worth: ``(M, n)`` small integers >= 0: by how much each member can shift the votes, in the order of the members.
        gap: ``(n,)`` the shift that is needed; 0 or less needs no change.
        spread: members that each bucket reaches, at the distances of :func:`offsets`.

    Returns:
        ``(n,)`` int64 in [0, M + 1]; M + 1 where all changes together fall short.
    """
    members = len(worth)
    whole = worth.astype(np.int32)
    of_bucket = np.sum([np.roll(whole, -distance, axis=0) for distance in offsets(members, spread)], axis=0)
    needed, left = np.zeros(len(gap), np.int64), np.maximum(gap, 0).astype(np.int64)
    for value in range(int(np.max(of_bucket, initial=0)), 0, -1):
        taken = np.minimum((of_bucket == value).sum(0), -(-left // value))
        needed, left = needed + taken, np.maximum(left - taken * value, 0)
    return np.where(left > 0, members + 1, needed)


def spread_changes_certified(votes: ArrayLike, classes: int, spread: int) -> np.ndarray:
    """The most insertions and removals that cannot change the leading class where each reaches ``spread`` members.

    A member shifts the lead of A over class c by at most ``1 + [votes A] - [votes c]``. The lead, less one where c < A,
    must cover what so many changes can shift (finite aggregation). With ``spread`` 1 this is :func:`changes_certified`.

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
    certified = np.full(n, members)
    for label in range(classes):
        lead = counts[np.arange(n), top] - counts[:, label] - (label < top)
        fewest = fewest_changes((1 + (votes == top) - (votes == label).astype(np.int8)), lead + 1, spread)
        certified = np.where(label == top, certified, np.minimum(certified, fewest - 1))
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
