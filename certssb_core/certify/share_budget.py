"""The joint L2 budget where a member sees a share of the training images: the draw of the share is counted.

A member sees k of the N training images, drawn uniformly and never by content. Of n images that each move by at most
``norm``, labels kept, it sees J, which is hypergeometric. Given J = j the clean and the attacked world are Gaussians
``d_j`` apart, at most ``d_j² = norm²/σ_x² + (sum of the j largest norm²/σ_i²)``. By Neyman and Pearson, on the pair of
J and noise, the attacked probability of a class with clean probability p is least where the log likelihood ratio is at
most t, with t from the first line:

    Σ w_j Φ((t + d_j²/2) / d_j) = p_A_lower,     p_A' >= Σ w_j Φ((t - d_j²/2) / d_j),

and p_B' likewise from above (docs/method.md §9.3). Further images may be replaced by anything, labels included: a
member that sees one of those is the attacker's (:mod:`.subset`). If every member sees every image, this is the budget
of :func:`.certificate.images_certified`.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtr

from certssb_core.certify.subset import unseen_probability

_ROUNDING = 1e-11
_NEGLIGIBLE = 1e-13
"""Mass of J that is left out, at either end: it is the attacker's."""
_HALVINGS = 80


@dataclass(frozen=True, eq=False)
class Share:
    """Images that a member sees, and the noise on it.

    Attributes:
        seen: k, the number of training images that a member sees.
        sigma_train: ``(N,)`` noise levels of the training images, > 0, pixel units.
    """

    seen: int
    sigma_train: np.ndarray

    @property
    def images(self) -> int:
        """N, the number of training images."""
        return len(self.sigma_train)


def moved_certified(
    p_a_lower: ArrayLike, p_b_upper: ArrayLike, sigma_test: ArrayLike, share: Share, *, norm: float, replaced: int = 0
) -> np.ndarray:
    """The most training images that may each move by at most ``norm``, the test input too.

    Args:
        p_a_lower: ``(m,)`` lower bounds on the answer's probability.
        p_b_upper: ``(m,)`` upper bounds on every other class's probability.
        sigma_test: a number or ``(m,)``, > 0; ``inf`` where the test input is not part of the budget.
        share: what a member sees.
        norm: L2 pixel units, >= 0.
        replaced: so many other images are replaced by anything, labels included, in [0, N].

    Returns:
        ``(m,)`` int64 in [-1, N - replaced]; -1 where none may move.
    """
    if not 0 <= norm < np.inf:
        raise ValueError(f"norm must be finite and not negative, got {norm}")
    rows = np.broadcast_arrays(*(np.asarray(value, np.float64) for value in (p_a_lower, p_b_upper, sigma_test)))
    unlike, place = np.unique(np.stack([row.ravel() for row in rows]), axis=1, return_inverse=True)
    weights = np.sort(share.sigma_train.astype(np.float64).ravel() ** -2.0)[::-1]
    sums = np.concatenate([[0.0], np.cumsum(weights)]) * (1 + 1e-12)
    p_a, p_b, sigma = unlike
    low, high = np.full(p_a.shape, -1), np.full(p_a.shape, share.images - replaced)
    while (open_ := low < high).any():
        middle = (low + high + 1) // 2
        stands = np.zeros(p_a.shape, dtype=bool)
        for n in np.unique(middle[open_]):
            own = (middle == n) & open_
            mass, first = _seen_masses(share, int(n), replaced)
            squared = norm**2 * (sums[first : first + len(mass)] + sigma[own, None] ** -2.0)
            stands[own] = attacked_lead(p_a[own], p_b[own], mass, np.sqrt(squared)) > 0
        low, high = np.where(stands, middle, low), np.where(open_ & ~stands, middle - 1, high)
    return low[place.ravel()].reshape(rows[0].shape)


def attacked_lead(p_a: np.ndarray, p_b: np.ndarray, mass: np.ndarray, distance: np.ndarray) -> np.ndarray:
    """Lead of the answer over every other class at worst.

    Args:
        p_a, p_b: ``(m,)`` bounds on the clean probabilities.
        mass: ``(J,)`` probabilities of so many worlds; what they lack of 1 is the attacker's.
        distance: ``(m, J)`` between the clean and the attacked mean of each world, in units of σ, >= 0.

    Returns:
        ``(m,)`` a lower bound on p_A' - p_B'.
    """
    lost = max(0.0, 1 - mass.sum()) * (1 + _ROUNDING)
    least = _least_mass(p_a - lost, mass, distance)
    # The most of B is what is left over by the least of its complement.
    most = mass.sum() - _least_mass(mass.sum() - p_b, mass, distance) + lost
    return least - most - _ROUNDING


def _least_mass(p: np.ndarray, mass: np.ndarray, distance: np.ndarray) -> np.ndarray:
    """The least attacked mass of a set of clean mass ``p`` ``(m,)`` in the worlds, by Neyman and Pearson.

    A threshold below the true one gives a smaller set and an attacked mass below the least: the lower end is taken.
    """
    still = distance == 0
    apart = np.where(still, 1.0, distance)

    def masses(t: np.ndarray, shift: float) -> np.ndarray:
        return np.where(still, 0.0, mass * ndtr((t[:, None] + shift * apart**2 / 2) / apart)).sum(1)

    stays = np.where(still, mass, 0.0).sum(1)  # worlds that did not change: ratio 1, t = 0
    below = p <= masses(np.zeros(p.shape), 1.0)
    above = p > masses(np.zeros(p.shape), 1.0) + stays
    wanted = np.where(above, p - stays, p)
    reach = (apart**2).max(1) / 2 + 40 * apart.max(1)
    low, high = np.where(above, 0.0, -reach), np.where(below | above, np.where(below, 0.0, reach), 0.0)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        short = masses(middle, 1.0) <= wanted
        low, high = np.where(short, middle, low), np.where(short, high, middle)
    outside = masses(low, -1.0) + np.where(above, stays, 0.0)
    partly = masses(np.zeros(p.shape), -1.0) + np.clip(p - masses(np.zeros(p.shape), 1.0), 0, stays)
    return np.where(p <= 0, 0.0, np.where(below | above, outside, partly))


def _seen_masses(share: Share, moved: int, replaced: int) -> tuple[np.ndarray, int]:
    """Probabilities of seeing no replaced and j moved images, for j = first, first + 1, …; and first."""
    none = float(unseen_probability(share.images, share.seen, replaced))
    if none == 0:
        return np.zeros(1), 0
    from scipy.stats import hypergeom  # a third of a second, which most commands do without

    law = hypergeom(share.images - replaced, moved, share.seen)
    first, last = (int(law.ppf(q)) for q in (_NEGLIGIBLE, 1 - _NEGLIGIBLE))
    first = max(first, 0)
    return none * law.pmf(np.arange(first, last + 1)) * (1 - 1e-12), first
