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

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtr, ndtri

from certssb_core.certify import certificate
from certssb_core.certify.subset import unseen_probability

_ROUNDING = 1e-11
_LOG_NEGLIGIBLE = 30.0
"""Of J, what has a probability below exp(-30) at either end is left out: it is the attacker's."""
_DUAL_ROUNDING = 1e-14
_STEPS = 30
_CLOSE = 1e-12
_CELLS = 1 << 16
"""Inputs are taken in groups of so many pairs of input and J, which stay in the processor's cache."""


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

    @cached_property
    def worst(self) -> np.ndarray:
        """``(N + 1,)`` the sum of the n largest ``1/σ_i²``, for n = 0 … N, rounded up."""
        weights = np.sort(self.sigma_train.astype(np.float64).ravel() ** -2.0)[::-1]
        return np.concatenate([[0.0], np.cumsum(weights)]) * (1 + 1e-12)


def moved_certified(
    p_a_lower: ArrayLike,
    p_b_upper: ArrayLike,
    sigma_test: ArrayLike,
    share: Share,
    *,
    norm: float,
    test_norm: float | None = None,
    replaced: int = 0,
) -> np.ndarray:
    """The most training images that may each move by at most ``norm``, the test input too.

    Args:
        p_a_lower: ``(m,)`` lower bounds on the answer's probability.
        p_b_upper: ``(m,)`` upper bounds on every other class's probability.
        sigma_test: a number or ``(m,)``, > 0; ``inf`` where the test input is not part of the budget.
        share: what a member sees.
        norm: L2 pixel units, >= 0.
        test_norm: of the test input's move, where it is another.
        replaced: so many other images are replaced by anything, labels included, in [0, N].

    Returns:
        ``(m,)`` int64 in [-1, N - replaced]; -1 where none may move.
    """
    test_norm = norm if test_norm is None else test_norm
    for value in (norm, test_norm):
        if not 0 <= value < np.inf:
            raise ValueError(f"norm must be finite and not negative, got {value}")
    lost = 1 - float(unseen_probability(share.images, share.seen, replaced))

    def most(p_a: np.ndarray, p_b: np.ndarray, sigma: np.ndarray) -> np.ndarray:
        def lead(rows: np.ndarray, images: np.ndarray) -> np.ndarray:
            of, of_test = np.full(len(rows), norm), np.full(len(rows), test_norm)
            return _lead(p_a[rows], p_b[rows], sigma[rows], share, images, of, of_test, replaced)

        plain = certificate.images_certified(_margin(p_a - lost, p_b + lost), sigma, share.sigma_train, norm=norm)
        most = share.images - replaced
        first = np.clip(plain * share.images // share.seen, 0, most)
        return _last_with_a_lead(lead, first, np.full(len(p_a), -1.0), np.full(len(p_a), most + 1.0)).astype(np.int64)

    return _of_unlike(most, p_a_lower, p_b_upper, sigma_test)


def norm_certified(
    p_a_lower: ArrayLike, p_b_upper: ArrayLike, sigma_test: ArrayLike, share: Share, *, images: int, replaced: int = 0
) -> np.ndarray:
    """The other way round: every norm below the result is certified for ``images`` moved images.

    Arguments as in :func:`moved_certified`; ``images`` in [0, N - replaced].

    Returns:
        ``(m,)`` L2 pixel units: 0 where nothing is certified, ``inf`` where any norm is. Below the supremum by at most
        one part in 10⁹.
    """
    if not 0 <= images <= share.images - replaced:
        raise ValueError(f"images must lie in [0, {share.images - replaced}], got {images}")

    def farthest(p_a: np.ndarray, p_b: np.ndarray, sigma: np.ndarray) -> np.ndarray:
        def lead(rows: np.ndarray, norms: np.ndarray) -> np.ndarray:
            return _lead(p_a[rows], p_b[rows], sigma[rows], share, np.full(len(rows), images), norms, norms, replaced)

        everyone = np.arange(len(p_a))
        at_rest = np.where(lead(everyone, np.zeros(len(p_a))) > 0, 0.0, -1.0)
        # However far they move, a member that sees one of them is the attacker's at worst.
        seen = 1 - float(unseen_probability(share.images, share.seen, images + replaced))
        for_ever = np.isinf(sigma) & (p_a - p_b - 2 * seen > _ROUNDING)
        # Farther than so many σ, the test input alone or a seen image alone loses all.
        limit = np.where(at_rest < 0, -1.0, 80 * np.where(np.isinf(sigma), share.sigma_train.max(), sigma))
        plain = certificate.norm_certified(_margin(p_a, p_b), sigma, share.sigma_train, images=images)
        first = np.clip(plain * np.sqrt(share.images / share.seen), 0, np.maximum(limit, 0) / 2)
        found = _last_with_a_lead(lead, first, at_rest, limit, whole=False)
        return np.where(for_ever, np.inf, np.maximum(found, 0.0))

    return _of_unlike(farthest, p_a_lower, p_b_upper, sigma_test)


def attacked_lead(p_a: np.ndarray, p_b: np.ndarray, mass: np.ndarray, distance: np.ndarray) -> np.ndarray:
    """Lead of the answer over every other class at worst.

    Args:
        p_a, p_b: ``(m,)`` bounds on the clean probabilities.
        mass: ``(m, J)`` probabilities of so many worlds; what they lack of 1 is the attacker's.
        distance: ``(m, J)`` between the clean and the attacked mean of each world, in units of σ, >= 0.

    Returns:
        ``(m,)`` a lower bound on p_A' - p_B'.
    """
    total = mass.sum(1)
    lost = np.maximum(0.0, 1 - total) * (1 + _ROUNDING)
    kept, others = p_a - lost, total - p_b
    if np.abs(kept - others).max(initial=0.0) < _CLOSE:  # two classes: one is the complement of the other
        least = rest = _least_mass(np.minimum(kept, others), mass, distance)
    else:
        least, rest = (_least_mass(p, mass, distance) for p in (kept, others))
    # The most of B is what is left over by the least of its complement.
    return least - (total - rest + lost) - _ROUNDING


def _least_mass(p: np.ndarray, mass: np.ndarray, distance: np.ndarray) -> np.ndarray:
    """The least attacked mass of a set of clean mass ``p`` ``(m,)`` in the worlds, by Neyman and Pearson.

    With G and F the attacked and the clean mass where the log likelihood ratio is at most t, ``G + e^t (p - F)`` is
    never above the least, whatever t (weak duality), and equals it at the right one: a search that ends early is safe.
    """
    still = distance == 0  # ratio 1: in the set for t > 0
    apart = np.where(still, 1.0, distance)
    moving, stays = np.where(still, 0.0, mass), np.where(still, mass, 0.0).sum(1)
    total = np.maximum(mass.sum(1), 1e-300)
    wanted = ndtri(np.clip(p / total, 1e-300, 1 - 1e-16))

    def masses(t: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        place = t[:, None] / apart + apart / 2
        slope = (moving / apart * np.exp(-(place**2) / 2)).sum(1)
        beside = np.where(t > 0, stays, 0.0)
        return (moving * ndtr(place)).sum(1) + beside, (moving * ndtr(place - apart)).sum(1) + beside, slope

    inside, outside, _ = masses(np.zeros(p.shape))
    best = outside + p - inside
    spread = np.sqrt(np.maximum((moving * apart**2).sum(1) / total, 1e-300))
    low, high = (np.full(p.shape, end) for end in (-300.0, 300.0))
    t = np.clip(spread * wanted - spread**2 / 2, -250.0, 250.0)
    for _ in range(_STEPS):
        inside, outside, slope = masses(t)
        weight, short = np.exp(t), p - inside
        best = np.maximum(best, outside + weight * (short - _DUAL_ROUNDING))
        if (weight * np.abs(short) < _CLOSE).all():
            break
        low, high = np.where(short > 0, t, low), np.where(short > 0, high, t)
        found = ndtri(np.clip(inside / total, 1e-300, 1 - 1e-16))
        with np.errstate(divide="ignore", over="ignore", invalid="ignore"):  # Newton's step, in normal quantiles
            step = t + (wanted - found) * total * np.exp(-(found**2) / 2) / slope
        t = np.where((step > low) & (step < high), step, (low + high) / 2)
    return np.where(p <= 0, 0.0, best)


def _lead(
    p_a: np.ndarray,
    p_b: np.ndarray,
    sigma: np.ndarray,
    share: Share,
    images: np.ndarray,
    norm: np.ndarray,
    test_norm: np.ndarray,
    replaced: int,
) -> np.ndarray:
    """:func:`attacked_lead` of each input, with a number of images and norms of its own, all ``(m,)``."""
    found = np.empty(len(images))
    start = 0
    while start < len(images):
        width = _window(share, images[start:], replaced)[1]
        rows = slice(start, start + max(1, _CELLS // width))
        mass, first = _seen_masses(share, images[rows], replaced)
        sums = share.worst[np.minimum(first[:, None] + np.arange(mass.shape[1]), share.images)]
        distance = np.sqrt(norm[rows, None] ** 2 * sums + (test_norm[rows] / sigma[rows])[:, None] ** 2)
        found[rows] = attacked_lead(p_a[rows], p_b[rows], mass, distance)
        start = rows.stop
    return found


def _window(share: Share, moved: np.ndarray, replaced: int) -> tuple[np.ndarray, int]:
    """The least J that counts, for each number of moved images, and how many of them, at most.

    Bernstein: the hypergeometric J is in convex order below either binomial with its mean.
    """
    left = max(share.images - replaced, 1)
    mean = moved * (share.seen / left)
    variance = np.minimum(mean * (1 - share.seen / left), mean * (1 - moved / left))
    reach = _LOG_NEGLIGIBLE / 3 + np.sqrt(_LOG_NEGLIGIBLE**2 / 9 + 2 * _LOG_NEGLIGIBLE * np.maximum(variance, 0)) + 1
    least = np.maximum(0, share.seen - (left - moved))
    most = np.minimum(moved, share.seen)
    first = np.maximum(least, np.floor(mean - reach)).astype(np.int64)
    last = np.minimum(most, np.ceil(mean + reach)).astype(np.int64)
    return first, int(np.maximum(last - first, 0).max()) + 1


def _seen_masses(share: Share, moved: np.ndarray, replaced: int) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities ``(m, J)`` of seeing no replaced and j moved images, for j = first, first + 1, …; and first."""
    first, width = _window(share, moved, replaced)
    none = float(unseen_probability(share.images, share.seen, replaced))
    if none == 0:
        return np.zeros((len(moved), width)), first
    left, n, j = share.images - replaced, moved[:, None], first[:, None] + np.arange(width - 1)
    ratio = (n - j) * (share.seen - j) / ((j + 1.0) * (left - n - share.seen + j + 1))
    with np.errstate(divide="ignore"):
        log = np.cumsum(np.log(np.maximum(np.where(j < n, ratio, 0.0), 0.0)), axis=1)
    log = np.concatenate([np.zeros((len(moved), 1)), log], axis=1)
    mass = np.exp(log - log.max(1, keepdims=True))
    return none * (1 - 1e-12) * mass / mass.sum(1, keepdims=True), first


def _last_with_a_lead(
    lead: Callable[[np.ndarray, np.ndarray], np.ndarray],
    first: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    *,
    whole: bool = True,
) -> np.ndarray:
    """The last point of each row with a lead above 0, by chords and, every third time, by halves.

    Args:
        lead: of rows ``(r,)`` at points ``(r,)``, falling.
        first: ``(m,)`` guesses; low, high: ``(m,)`` the point is at least low and below high.
        whole: points are whole numbers; else the result is nearly exact, and not above.
    """
    above, below = np.full(len(first), np.nan), np.full(len(first), np.nan)
    at, rounds = first.astype(np.float64), 0
    while len(rows := np.flatnonzero(high - low > (1 if whole else 1e-9 * np.abs(high)))):
        found = lead(rows, at[rows])
        stands, falls = rows[found > 0], rows[found <= 0]
        low[stands], above[stands] = at[stands], found[found > 0]
        high[falls], below[falls] = at[falls], found[found <= 0]
        rounds += 1
        width, middle = high - low, (low + high) / 2
        chord = low + width * above / (above - below)
        near = np.where(np.isnan(below), low * 1.05 + 2 * whole, high * 0.95 - 2 * whole)  # one end is not known yet
        aim = middle if rounds % 3 == 0 else np.where(np.isnan(chord), near, chord)
        # Beyond the chord on either side in turn, so that both ends come close.
        if whole:
            at = np.clip(np.floor(aim) + rounds % 2, low + 1, high - 1)
        else:
            at = np.clip(aim + width * 1e-3 * (-1) ** rounds, low + width * 1e-4, high - width * 1e-4)
    return low


def _margin(p_a: np.ndarray, p_b: np.ndarray) -> np.ndarray:
    return np.where(p_a > p_b, (ndtri(np.clip(p_a, 0, 1)) - ndtri(np.clip(p_b, 0, 1))) / 2, 0.0)


def _of_unlike(solve: Callable[..., np.ndarray], *columns: ArrayLike) -> np.ndarray:
    """Solve for inputs that differ, once each."""
    rows = np.broadcast_arrays(*(np.asarray(value, np.float64) for value in columns))
    unlike, place = np.unique(np.stack([row.ravel() for row in rows]), axis=1, return_inverse=True)
    return solve(*unlike)[place.ravel()].reshape(rows[0].shape)
