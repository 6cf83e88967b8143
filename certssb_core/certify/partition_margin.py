"""Partitions whose members know their margins: images replaced by anything, and the test input moved, for certain.

Every training image belongs to one member, by a hash of its content, so an image put in or taken out rules one member.
A member with linear logits keeps its answer under every change of the input below its margin. While the input moves by
at most τ, votes of a smaller margin may go to any class. r more votes may go from the answer A to class c for r images
put in or taken out. So A stands, a tie going to the lower class, while for every other class c

    (votes for A that are firm at τ) - (those for c that are) - (those that are not firm) - [c < A] >= 2 r.

A replaced image is one taken out and one put in: n replaced images are r = 2 n. This is the idea of PECAN (arXiv
2301.11824), whose members are certified against changed words or pixels by a verifier; here their margin is exact and
in L2. Nothing is sampled, so the certificate is certain, at every n and τ at once.
"""

import numpy as np

from certssb_core.certify.margin_votes import MOST, firm_votes, norm_of, steps_of
from certssb_core.certify.subset import Drawing


def changes_while_moved(votes: np.ndarray, margins: np.ndarray, top: np.ndarray, classes: int) -> np.ndarray:
    """The most insertions and removals of training images while the input moves by each number of steps.

    Args:
        votes, margins: ``(M, n)`` uint8, the members' answers and their margins in steps.
        top: ``(n,)`` the leading class, the lowest on a tie.
        classes: number of classes C.

    Returns:
        ``(n, MOST + 1)`` int64, never rising; -1 where moving the input alone is not certified.
    """
    found = np.empty((votes.shape[1], MOST + 1), np.int64)
    for row, (label, firm) in enumerate(zip(top, firm_votes(votes, margins, classes), strict=True)):
        rivals = firm + (np.arange(classes) < label)[:, None]
        lead = firm[label] - np.delete(rivals, label, axis=0).max(axis=0) - (len(votes) - firm.sum(axis=0))
        found[row] = np.maximum(lead // 2, -1)
    return found


def margin_certified(changes: np.ndarray, drawing: Drawing) -> np.ndarray:
    """The test movement certified while ``drawing.replaced`` training images are replaced by anything.

    Args:
        changes: ``(n, MOST + 1)`` as :func:`changes_while_moved` gives them.

    Returns:
        ``(n,)`` L2 pixel units, whole steps; -1 where not even the test input as given is certified.
    """
    return norm_of(changes >= 2 * drawing.replaced)


def replaced_at(changes: np.ndarray, drawing: Drawing, norm: float) -> np.ndarray:
    """The most training images that may be replaced by anything while the test input moves by at most ``norm``.

    Args:
        changes: ``(n, MOST + 1)`` as :func:`changes_while_moved` gives them.
        norm: L2 pixel units, >= 0; beyond the largest margin that is kept nothing is certified.

    Returns:
        ``(n,)`` int64 in [-1, N]; -1 where moving the test input alone is not certified.
    """
    if (steps := steps_of(norm)) > MOST:
        return np.full(len(changes), -1)
    return np.minimum(changes[:, steps] // 2, drawing.images)
