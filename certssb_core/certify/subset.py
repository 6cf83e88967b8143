"""Certificates against training images replaced by anything, labels included, and a moved test input.

A member sees k of the N training images, drawn uniformly and never by content. Whichever n images are replaced, a
member sees none of them with probability ``w0 = C(N - n, k) / C(N, k)``, and then it is the member of the clean data.
So of a class's probability at most ``1 - w0`` rests on members that saw a replaced image, and an attacker rules those.
What the others answer moves with the test input as under Gaussian smoothing (docs/method.md §9).

With replaced images, and the test input moved by at most ``norm`` under test noise of level σ, and s = norm / σ:

    p_A' >= w0 Φ(Φ⁻¹((p_A - (1 - w0)) / w0) - s)
    p_B' <= w0 Φ(Φ⁻¹(min(p_B / w0, 1)) + s) + 1 - w0

The answer does not become another class while the first is above the second. Without test movement this is the
certificate of bagging (arXiv 2008.04495); without replaced images it is Cohen et al.'s radius (1902.02918).
Every rounding goes against the claim.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtr, ndtri

# Relative allowance for rounding, always against the claim.
_ROUNDING = 1e-12
_HALVINGS = 60
_FARTHEST = 80.0
"""Norms are certified up to so many σ: Φ(-40) is the least that 64 bits can hold."""


@dataclass(frozen=True)
class Drawing:
    """Drawing of the members' images, and the number of them that an attacker replaces.

    Attributes:
        images: N, training images in all, >= 1.
        seen: k, images that a member sees, in [1, N]; of parts, on average.
        replaced: n, images that the attacker replaces by anything, in [0, N].
    """

    images: int
    seen: int
    replaced: int

    @property
    def unseen(self) -> float:
        """The probability that a member sees none of the replaced images, rounded down."""
        return float(unseen_probability(self.images, self.seen, self.replaced))


def unseen_probability(images: int, seen: int, replaced: ArrayLike) -> np.ndarray:
    """The probability that a member sees none of the replaced images, rounded down.

    Args:
        images: N, the number of training images, >= 1.
        seen: k, the number that a member sees, in [0, N].
        replaced: n in [0, N], a number or an array.

    Returns:
        ``C(N - n, k) / C(N, k)``, shaped like ``replaced``; relative error below 1e-14 N + 1e-12.

    Raises:
        ValueError: a number out of its range.
    """
    replaced = np.asarray(replaced, dtype=np.int64)
    if not 0 <= seen <= images or images < 1:
        raise ValueError(f"seen must lie in [0, {images}], got {seen}")
    if ((replaced < 0) | (replaced > images)).any():
        raise ValueError(f"replaced must lie in [0, {images}]")
    left = np.ones(images + 1)
    n = np.arange(1, images + 1, dtype=np.float64)
    left[1:] = np.cumprod(np.maximum(images - seen - n + 1, 0) / (images - n + 1) * (1 - 1e-15))
    return np.where(replaced == 0, 1.0, left[replaced] * (1 - _ROUNDING))


def replaced_certified(
    p_a_lower: ArrayLike, p_b_upper: ArrayLike, sigma: ArrayLike, *, images: int, seen: int, norm: float
) -> np.ndarray:
    """The most training images that may be replaced by anything while the test input moves by at most ``norm``.

    Args:
        p_a_lower: ``(m,)`` lower bounds on the answer's probability.
        p_b_upper: ``(m,)`` upper bounds on every other class's probability.
        sigma: level of the test noise, a number or ``(m,)``, > 0, pixel units; not used at norm 0.
        images, seen: N and k, as :func:`unseen_probability`.
        norm: L2 pixel units, >= 0.

    Returns:
        ``(m,)`` int64 in [-1, N]; -1 where moving the test input alone is not certified.
    """
    if not 0 <= norm < np.inf:
        raise ValueError(f"norm must be finite and not negative, got {norm}")
    p_a, p_b, moved = _checked(p_a_lower, p_b_upper, norm / _positive(sigma))
    unseen = unseen_probability(images, seen, np.arange(images + 1))
    low, high = np.full(p_a.shape, -1), np.full(p_a.shape, images)
    while (low < high).any():
        middle = (low + high + 1) // 2
        stands = _lead(p_a, p_b, unseen[np.maximum(middle, 0)], moved) > 0
        low, high = np.where(stands, middle, low), np.where(stands, high, middle - 1)
    return low


def norm_certified(
    p_a_lower: ArrayLike, p_b_upper: ArrayLike, sigma: ArrayLike, *, images: int, seen: int, replaced: int
) -> np.ndarray:
    """The test movement certified while ``replaced`` training images are replaced by anything.

    Arguments as in :func:`replaced_certified`; ``replaced`` in [0, N].

    Returns:
        ``(m,)`` L2 pixel units: every norm below it is certified. -1 where not even the test input as given is.
    """
    sigma = _positive(sigma)
    p_a, p_b, sigma = _checked(p_a_lower, p_b_upper, sigma)
    unseen = unseen_probability(images, seen, replaced)
    low, high = np.zeros(p_a.shape), np.full(p_a.shape, _FARTHEST)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        stands = _lead(p_a, p_b, unseen, middle) > 0
        low, high = np.where(stands, middle, low), np.where(stands, high, middle)
    return np.where(_lead(p_a, p_b, unseen, np.zeros(p_a.shape)) > 0, low * sigma, -1.0)


def _lead(p_a: np.ndarray, p_b: np.ndarray, unseen: np.ndarray, moved: np.ndarray) -> np.ndarray:
    """Lead of the answer over every other class at worst, rounded down."""
    with np.errstate(divide="ignore", invalid="ignore"):
        own = np.where(unseen > 0, (p_a - (1 - unseen)) / unseen, 0.0)
        other = np.where(unseen > 0, p_b / unseen, 1.0)
    own, other = np.clip(own * (1 - _ROUNDING), 0, 1), np.clip(other * (1 + _ROUNDING), 0, 1)
    at_least = unseen * ndtr(ndtri(own) - moved)
    at_most = unseen * ndtr(ndtri(other) + moved) + 1 - unseen
    return at_least - at_most - _ROUNDING


def _checked(p_a: ArrayLike, p_b: ArrayLike, third: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    p_a, p_b, third = np.broadcast_arrays(np.asarray(p_a, np.float64), np.asarray(p_b, np.float64), third)
    if not (((p_a >= 0) & (p_a <= 1)).all() and ((p_b >= 0) & (p_b <= 1)).all()):
        raise ValueError("probabilities must lie in [0, 1]")
    return p_a, p_b, third


def _positive(sigma: ArrayLike) -> np.ndarray:
    sigma = np.asarray(sigma, dtype=np.float64)
    if not (sigma > 0).all():
        raise ValueError(f"sigma must be positive, got {sigma[~(sigma > 0)].flat[0]}")
    return sigma
