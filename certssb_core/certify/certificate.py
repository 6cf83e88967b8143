"""Turn bounds into radii, and say what each radius promises.

The weighted-norm theorem (Neyman–Pearson for Gaussians; arXiv 1902.02918, 2003.08904): with
probability at least 1 - alpha the smoothed prediction does not become another class by any change ``delta`` of
the test input and ``delta_i`` of the training images, labels and number of images unchanged, while

    |delta|² / sigma_x² + sum_i |delta_i|² / sigma_i²  <  margin²,
    margin = (Φ⁻¹(p_a_lower) - Φ⁻¹(p_b_upper)) / 2.

Notes:
    The theorem needs noise drawn independently of data and input, and a fixed noise map. Cert-SSBD (arXiv
    2504.21730) lets sigma follow the sample; that alone is not a certificate (arXiv 2110.05365), so every result
    carries its condition in words.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtri

from certssb_core.certify.bounds.registry import ClassBounds

NOISE_MAPS = ("uniform", "sample-specific")
TEST_MAPS = (*NOISE_MAPS, "voted", "set-aside")
"""Test noise may also be chosen per input among candidates: by all votes, or by members set aside."""

FIXED = "fixed-ensemble"
"""The mode of draws over the members as they are: another classifier than the one whose joint budget is certified."""

INDEPENDENT = (
    "The noise is drawn independently of the data and of the input: nothing is promised against somebody who knows the "
    "seed before choosing either."
)
"""The condition of every certificate that rests on noise: bounds on a probability need votes drawn independently."""

LABELS_KEPT = "A poison that changes labels, or adds or removes images, is not covered."

PROMISE = (
    "The smoothed answer does not become another class by any change of the test input of L2 norm below the radius, "
    "the training set as given. The deployed vote may abstain there."
)
FIXED_PROMISE = (
    "The answer of these very members does not become another class by any change of the test input of L2 norm below "
    "the radius. It is the most probable answer of a jury of members drawn at random, under fresh noise. K draws "
    "sample it, and may abstain."
)
FIXED_JOINT = (
    "None in this mode. Its members are fixed, while the joint budget is about members trained afresh: these are two "
    "classifiers, and each number belongs to its own."
)
JOINT_BUDGET = (
    "The smoothed answer does not become another class although n training images, whichever they are, and the test "
    f"input each change by at most the stated norm. {LABELS_KEPT}"
)
DENOISED = (
    "The denoiser is part of how members are trained: it is fixed, and was made from images that the attacker cannot "
    "touch."
)

_LEVEL_FIXED = (
    "Holds for the test input's noise level as fixed: another input, even inside the radius, has a level of its own."
)
_TRAINING_FIXED = (
    "Assumes that the attacker cannot influence the noise levels σ* of the training images: one who can is outside the "
    "theorem."
)
_BY_TRAINING = {"uniform": "", "sample-specific": _TRAINING_FIXED}
_BY_TEST = {
    "uniform": "",
    FIXED: _LEVEL_FIXED,
    "sample-specific": _LEVEL_FIXED,
    "voted": "The votes chose the test input's noise level, and the failure probability pays for the choice. "
    f"{_LEVEL_FIXED}",
    "set-aside": "Members that certify nothing kept a few noise levels for the test input, the votes of the others "
    f"chose among those, and the failure probability pays for that choice. {_LEVEL_FIXED}",
}
_ONE_LEVEL = "One noise level for every image, whatever the data: no other condition."

# Relative allowance for rounding in sums of up to millions of terms, always against the claim.
_ROUNDING = 1e-9


@dataclass(frozen=True)
class Certificates:
    """One certificate per input; ABSTAIN is prediction -1 with margin and radius 0.

    Attributes:
        prediction: ``(n,)`` int64.
        p_a_lower: ``(n,)`` lower bound on the predicted class's probability.
        p_b_upper: ``(n,)`` upper bound on every other class's probability.
        margin: ``(n,)`` the theorem's right-hand side: here in units of sigma; where changes are counted, how far
            the leading class's probability or share is ahead.
        radius: ``(n,)`` changes below it are certified: here test radius ``sigma * margin``, in L2 pixel units; its
            unit is that of the kind of certificate.
        sigma: ``(n,)`` level of the noise law at each test input, here in pixel units.
        promise: what ``radius`` promises, in words.
        condition: what the promise rests on, in words.
    """

    prediction: np.ndarray
    p_a_lower: np.ndarray
    p_b_upper: np.ndarray
    margin: np.ndarray
    radius: np.ndarray
    sigma: np.ndarray
    promise: str
    condition: str


def certify(bounds: ClassBounds, sigma: ArrayLike, *, training_map: str, test_map: str) -> Certificates:
    """Margin and test radius of every input.

    Args:
        bounds: bounds on ``n`` inputs, from votes drawn at exactly these noise levels.
        sigma: noise level of the test inputs, a number or ``(n,)``, > 0, pixel units.
        training_map: how the training noise was chosen, one of ``NOISE_MAPS``.
        test_map: how ``sigma`` was chosen, one of ``TEST_MAPS``; or ``FIXED``.

    Returns:
        Certificates, each right with probability >= 1 - alpha of the bounds.

    Raises:
        ValueError: an unknown noise map, or a noise level that is not positive and finite.
    """
    if training_map not in NOISE_MAPS or test_map not in (*TEST_MAPS, FIXED):
        raise ValueError(
            f"noise maps must be among {NOISE_MAPS} and {TEST_MAPS}, got {training_map!r} and {test_map!r}"
        )
    sigma = np.broadcast_to(_positive("sigma", sigma), bounds.prediction.shape).copy()
    if not np.isfinite(sigma).all():
        raise ValueError("sigma must be finite, got inf")
    gap = (ndtri(bounds.p_a_lower) - ndtri(bounds.p_b_upper)) / 2
    margin = np.where(bounds.prediction >= 0, gap, 0.0)
    return Certificates(
        prediction=bounds.prediction,
        p_a_lower=bounds.p_a_lower,
        p_b_upper=bounds.p_b_upper,
        margin=margin,
        radius=sigma * margin,
        sigma=sigma,
        promise=FIXED_PROMISE if test_map == FIXED else PROMISE,
        condition=condition(training_map, test_map),
    )


def images_certified(margin: ArrayLike, sigma_test: ArrayLike, sigma_train: ArrayLike, *, norm: float) -> np.ndarray:
    """Joint budget: how many poisoned training images, each moved by at most ``norm``, are certified.

    The test input is moved by at most ``norm`` too. The attacker chooses which images, so the ``n`` smallest
    ``sigma_i`` count: ``norm² (1/sigma_x² + sum of the n largest 1/sigma_i²) < margin²``.

    Args:
        margin: ``(n,)``, >= 0.
        sigma_test: a number or ``(n,)``; ``inf`` where the test input is not part of the budget.
        sigma_train: ``(N,)`` noise levels of the training images.
        norm: L2 pixel units, >= 0.

    Returns:
        ``(n,)`` int64 in [-1, N]; -1 where moving the test input alone is not certified.
    """
    if not 0 <= norm < np.inf:
        raise ValueError(f"norm must be finite and not negative, got {norm}")
    margin, weight_test = _checked(margin, sigma_test)
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):  # norm 0 costs nothing
        budget = np.where(margin > 0, (margin / norm) ** 2 * (1 - _ROUNDING), 0.0) - weight_test
    return np.searchsorted(_worst_weights(sigma_train), budget, side="left").astype(np.int64) - 1


def norm_certified(margin: ArrayLike, sigma_test: ArrayLike, sigma_train: ArrayLike, *, images: int) -> np.ndarray:
    """Joint budget the other way round: every norm below the result is certified for ``images`` images.

    Arguments as in :func:`images_certified`; ``images`` in [0, N].

    Returns:
        ``(n,)`` suprema in L2 pixel units (0 where nothing is certified, ``inf`` where nothing is at stake).
    """
    worst = _worst_weights(sigma_train)
    if not 0 <= images < len(worst):
        raise ValueError(f"images must lie in [0, {len(worst) - 1}], got {images}")
    margin, weight_test = _checked(margin, sigma_test)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(margin > 0, margin / np.sqrt(weight_test + worst[images]), 0.0)


def condition(training_map: str, test_map: str) -> str:
    """The condition, in words, of certificates whose noise levels were chosen so."""
    of_training = "" if test_map == FIXED else _BY_TRAINING[training_map]
    of_levels = f"{of_training} {_BY_TEST[test_map]}".strip()
    return f"{INDEPENDENT} {of_levels or _ONE_LEVEL}"


def _worst_weights(sigma_train: ArrayLike) -> np.ndarray:
    """``(N + 1,)`` the sum of the n largest ``1/sigma_i²``, for n = 0 ... N."""
    weights = _positive("sigma_train", sigma_train).ravel() ** -2.0
    return np.concatenate([[0.0], np.cumsum(np.sort(weights)[::-1])])


def _checked(margin: ArrayLike, sigma_test: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    margin = np.asarray(margin, dtype=np.float64)
    if not (margin >= 0).all():
        raise ValueError(f"margin must not be negative, got {margin[~(margin >= 0)].flat[0]}")
    return margin, _positive("sigma_test", sigma_test) ** -2.0


def _positive(name: str, values: ArrayLike) -> np.ndarray:
    values = np.asarray(values, dtype=np.float64)
    if not (values > 0).all():
        raise ValueError(f"{name} must be positive, got {values[~(values > 0)].flat[0]}")
    return values
