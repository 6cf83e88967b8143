"""Run-off election: members vote twice, and an attacker must win both rounds (arXiv 2302.02300).

Round one is a vote among all classes. Its two classes with most votes are the finalists. In round two every member
votes for the finalist that it ranks higher; the majority is the answer. A tie goes to the lower class in both rounds.

An image put in or taken out changes one bucket, and the members that see it may then rank classes in any way. The
answer A falls in one of two ways only, and each has a least number of changes that it takes:

* **A is no finalist.** Then two classes b and c are ahead of A. A change takes at most so much of A's lead over b, of
  its lead over c, and of both leads together (3 from a vote for A, 1 from a vote for a third class).
* **A loses round two** to a class c. Then c is a finalist beside A, so ahead of every third class in round one, and as
  many members rank c above A as A above c.

Where several conditions must hold, the changes that the hardest of them takes are a sound count for all of them. With
two classes this is the certificate of DPA, or of finite aggregation.
"""

from dataclasses import dataclass
from itertools import combinations

import numpy as np

from certssb_core.certify.bounds.intervals import ClassBounds
from certssb_core.certify.partition import fewest_changes

_NOBODY = 255
"""Vote of a member that is left out."""


@dataclass(frozen=True, eq=False)
class Election:
    """Outcome of both rounds for ``n`` inputs.

    Attributes:
        bounds: the answer, and the shares of members that prefer it, and the other finalist, in round two.
        changes: ``(n,)`` int64, the insertions and removals of training images that cannot change the answer.
    """

    bounds: ClassBounds
    changes: np.ndarray


def in_ranks(order: np.ndarray) -> np.ndarray:
    """Classes from the most to the least likely ``(…, C)`` as ranks ``(…, C)`` uint8: 0 for the class voted for."""
    return np.argsort(order, axis=-1).astype(np.uint8)


def elect(ranks: np.ndarray, *, members: int, spread: int) -> Election:
    """Hold both rounds, and count the changes that cannot alter the answer.

    Args:
        ranks: ``(m, n, C)`` uint8, C >= 2, the rank that each member gives each class, in the order of the members.
        members: M; m is less where some are left out. An attacked image may bring such a member back.
        spread: members that each bucket reaches, at the distances of :func:`partition.offsets`.

    Returns:
        The outcome; nothing is certified where each bucket reaches several members and some are left out.
    """
    held, n, classes = ranks.shape
    votes = ranks.argmin(-1).astype(np.uint8)
    counts = np.stack([(votes == label).sum(0) for label in range(classes)], axis=1)
    finalists = np.sort(np.argsort(-counts, axis=1, kind="stable")[:, :2], axis=1)
    low, high = (_rank_of(ranks, finalists[:, side]) for side in (0, 1))
    backing = np.stack([(low < high).sum(0), (high < low).sum(0)], axis=1)
    side = (backing[:, 1] > backing[:, 0]).astype(np.int64)
    top = finalists[np.arange(n), side]
    bounds = ClassBounds(top, top, backing.max(1) / held, backing.min(1) / held)
    if held < members and spread > 1:
        return Election(bounds, np.zeros(n, np.int64))
    absent = ((0, members - held), (0, 0))
    votes = np.pad(votes, absent, constant_values=_NOBODY)
    ranks = np.pad(ranks, (*absent, (0, 0)))  # whoever is left out prefers nobody
    changes = np.empty(n, np.int64)
    for label in np.unique(top):
        rows = top == label
        changes[rows] = _fewest_to_fall(int(label), votes[:, rows], ranks[:, rows], counts[rows], spread) - 1
    return Election(bounds, changes)


def _fewest_to_fall(label: int, votes: np.ndarray, ranks: np.ndarray, counts: np.ndarray, spread: int) -> np.ndarray:
    """The fewest changes ``(n,)`` after which class ``label`` may lose, in one round or the other."""
    others = [one for one in range(counts.shape[1]) if one != label]

    def ahead(leader: int, rival: int) -> np.ndarray:
        """Changes until ``rival`` is ahead of ``leader`` in round one."""
        gap = _lead(counts, leader, rival)
        return fewest_changes(1 + (votes == leader) - (votes == rival).astype(np.int8), gap, spread)

    def both_ahead(b: int, c: int) -> np.ndarray:
        """Changes until ``label`` has lost its leads over ``b`` and ``c`` taken together."""
        worth = np.where(votes == label, 3, 1) * ~((votes == b) | (votes == c))
        return fewest_changes(worth.astype(np.int8), _lead(counts, label, b) + _lead(counts, label, c), spread)

    def duel(rival: int) -> np.ndarray:
        """Changes until ``rival`` wins round two."""
        own, other = ranks[..., label] < ranks[..., rival], ranks[..., rival] < ranks[..., label]
        gap = own.sum(0) - other.sum(0) + (label < rival)
        return fewest_changes(1 + own - other.astype(np.int8), gap, spread)

    passed = {rival: ahead(label, rival) for rival in others}
    ways = [np.maximum.reduce([passed[b], passed[c], both_ahead(b, c)]) for b, c in combinations(others, 2)]
    for rival in others:
        ways.append(np.maximum.reduce([duel(rival), *(ahead(third, rival) for third in others if third != rival)]))
    return np.minimum.reduce(ways)


def _lead(counts: np.ndarray, leader: int, rival: int) -> np.ndarray:
    """Votes that ``rival`` has to gain on ``leader`` to be ahead of it; 0 or less where it is."""
    return counts[:, leader] - counts[:, rival] + (leader < rival)


def _rank_of(ranks: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The ranks ``(m, n)`` of one class per input."""
    return np.take_along_axis(ranks, labels[None, :, None], axis=-1)[..., 0]
