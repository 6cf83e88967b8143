"""Oracles: binomial coefficients in integers, and toy worlds in which every subset and every attack is enumerated."""

from itertools import combinations, product
from math import comb
from statistics import NormalDist

import numpy as np
import pytest

from certssb_core.certify.certificate import images_certified
from certssb_core.certify.share_budget import Share, moved_certified
from certssb_core.certify.subset import norm_certified, replaced_certified, unseen_probability

NORMAL = NormalDist()


@pytest.mark.parametrize(("images", "seen"), [(1, 0), (1, 1), (9, 4), (12_665, 12), (12_665, 3_166)])
def test_a_member_sees_none_of_the_replaced_images_as_often_as_counting_says(images, seen):
    replaced = [n for n in (0, 1, 2, 7, 253, 1_000, images) if n <= images]
    exact = [comb(images - n, seen) / comb(images, seen) for n in replaced]
    found = unseen_probability(images, seen, replaced)
    assert np.allclose(found, exact, rtol=1e-10, atol=0)
    assert (found <= exact).all()


def test_without_replaced_images_it_is_the_radius_of_randomised_smoothing():
    p_a, p_b = np.array([0.9, 0.6, 0.7]), np.array([0.05, 0.4, 0.1])
    radius = norm_certified(p_a, p_b, 0.5, images=100, seen=5, replaced=0)
    known = [0.25 * (NORMAL.inv_cdf(a) - NORMAL.inv_cdf(b)) for a, b in zip(p_a, p_b, strict=True)]
    assert np.allclose(radius, known, atol=1e-9)
    assert (radius <= known).all()


def test_without_test_movement_it_is_the_certificate_of_bagging():
    images, seen, p_a, p_b = 40, 3, 0.8, 0.15
    certified = replaced_certified([p_a], [p_b], 1.0, images=images, seen=seen, norm=0.0)[0]
    lost = [1 - comb(images - n, seen) / comb(images, seen) for n in range(images + 1)]
    assert certified == max(n for n in range(images + 1) if p_a - lost[n] > p_b + lost[n])


def test_the_two_ways_to_solve_agree():
    draws = np.random.default_rng(0)
    p_a = draws.uniform(0.5, 1, 200)
    p_b = draws.uniform(0, 1, 200) * (1 - p_a)
    images, seen = 300, 5
    for norm in (0.0, 0.3, 0.8):
        n = replaced_certified(p_a, p_b, 0.5, images=images, seen=seen, norm=norm)
        for row in range(200):
            last, one_more = (
                norm_certified(p_a[row], p_b[row], 0.5, images=images, seen=seen, replaced=max(count, 0))
                for count in (n[row], n[row] + 1)
            )
            assert (n[row] == -1) == (last < norm)
            assert one_more < norm + 1e-9
    assert (n >= 0).any()


def test_an_attacker_attains_the_bound():
    """Members that saw no replaced image answer by a half-space, the others are the attacker's: the bound is met."""
    images, seen, replaced, sigma, share = 50, 4, 3, 0.7, 0.9
    unseen = comb(images - replaced, seen) / comb(images, seen)
    p_a = unseen * share + 1 - unseen
    norm = float(norm_certified(p_a, 1 - p_a, sigma, images=images, seen=seen, replaced=replaced))

    def attacked(by):
        return unseen * NORMAL.cdf(NORMAL.inv_cdf(share) - by / sigma)

    assert attacked(norm) >= 0.5
    assert attacked(norm + 1e-6) < 0.5


def _nearest_mean(points, labels):
    """Nearest class mean on a line, with the noisy input at ``x``: the probability of class 1 is that of a half-line.

    Returns:
        (threshold, which class lies above it); a class without points never wins.
    """
    means = [points[labels == c].mean() if (labels == c).any() else None for c in (0, 1)]
    if means[0] is None or means[1] is None:
        return (-np.inf, int(means[0] is None))
    return (sum(means) / 2, int(means[1] >= means[0]))


def _class_one(points, labels, x, *, seen, sigma):
    """The exact probability of class 1 at ``x``, over every subset and all noise."""
    votes = []
    for rows in combinations(range(len(points)), seen):
        threshold, above = _nearest_mean(points[list(rows)], labels[list(rows)])
        up = 1.0 if threshold == -np.inf else 1 - NORMAL.cdf((threshold - x) / sigma)
        votes.append(up if above else 1 - up)
    return float(np.mean(votes))


def test_no_certificate_is_exceeded_by_any_attack_on_toy_worlds():
    draws, worlds, seen, sigma = np.random.default_rng(3), 0, 2, 0.5
    for _ in range(6):
        labels = np.array([0, 0, 1, 1, 1, 1, 1, 1])
        points = draws.normal(np.where(labels, 1.5, -1.5), 0.3)
        x = draws.normal(1.5, 0.3)
        p = _class_one(points, labels, x, seen=seen, sigma=sigma)
        top = int(p > 0.5)
        p_a = max(p, 1 - p)
        norm = float(norm_certified(p_a, 1 - p_a, sigma, images=8, seen=seen, replaced=1))
        worlds += norm > 0
        for row, value, lie in product(range(8), (-30.0, -3.0, x, 3.0, 30.0), (0, 1)):
            bad, lies = points.copy(), labels.copy()
            bad[row], lies[row] = value, lie
            for moved in (x - norm, x, x + norm) if norm >= 0 else ():
                attacked = _class_one(bad, lies, moved, seen=seen, sigma=sigma)
                assert (attacked if top else 1 - attacked) >= 0.5 - 1e-9
    assert worlds


@pytest.mark.parametrize("norm", [-1.0, np.inf, np.nan])
def test_a_norm_that_is_none_is_refused(norm):
    with pytest.raises(ValueError, match="norm must be finite"):
        replaced_certified([0.9], [0.1], 1.0, images=10, seen=1, norm=norm)


def test_the_share_budget_of_members_that_see_all_is_that_of_the_plain_theorem():
    draws = np.random.default_rng(1)
    p_a = draws.uniform(0.5, 1, 60)
    sigma_test, sigma_train = draws.uniform(0.3, 1, 60), draws.uniform(0.3, 1, 400)
    margin = np.array([NORMAL.inv_cdf(p) for p in p_a])
    plain = images_certified(margin, sigma_test, sigma_train, norm=0.1)
    assert (moved_certified(p_a, 1 - p_a, sigma_test, Share(400, sigma_train), norm=0.1) == plain).all()
    assert len(set(plain)) > 20


def test_with_replaced_images_alone_the_share_budget_is_the_subset_certificate():
    p_a, share = np.linspace(0.55, 0.999, 40), Share(12, np.ones(1_000))
    for norm in (0.0, 0.5, 1.0):
        replaced = replaced_certified(p_a, 1 - p_a, 0.8, images=1_000, seen=12, norm=norm)
        for row, n in enumerate(replaced):
            for count, stands in ((n, True), (n + 1, False)):
                if 0 <= count <= 1_000:
                    found = moved_certified(p_a[row], 1 - p_a[row], 0.8, share, norm=norm, replaced=int(count))
                    assert (found >= 0) == stands


def test_the_share_budget_is_exact_for_the_worst_member_of_a_toy_world():
    """Enumerate every subset: a member that votes by the likelihood ratio gives nothing away and exceeds nothing."""
    images, seen, norm, sigma = 7, 3, 0.6, 1.0
    checked = 0
    for n in (1, 2, 4):
        distances = [
            np.sqrt(norm**2 * (1 + sum(row < n for row in rows))) / sigma for rows in combinations(range(images), seen)
        ]
        for t in (0.1, 0.3, 0.6, 1.2):
            clean = np.mean([NORMAL.cdf((t + d * d / 2) / d) for d in distances])
            attacked = np.mean([NORMAL.cdf((t - d * d / 2) / d) for d in distances])
            found = int(moved_certified(clean, 1 - clean, sigma, Share(seen, np.ones(images)), norm=norm))
            assert (found >= n) == (attacked > 0.5), (n, t)
            checked += attacked > 0.5
    assert 0 < checked < 12


def test_the_share_budget_holds_against_every_choice_of_images_on_a_line():
    """Members vote by the sign of their noisy images' sum and the noisy input; exact by enumeration."""
    images, seen, norm = 6, 2, 0.5
    sigma_train, sigma_test = np.array([0.4, 0.5, 0.6, 0.8, 1.0, 1.2]), 0.7
    draws, certified = np.random.default_rng(5), 0
    for _ in range(40):
        at, x = draws.normal(0.5, 0.4, images), draws.normal(0.4, 0.3)

        def probability(at, x):
            return np.mean(
                [
                    NORMAL.cdf(
                        (at[list(rows)].sum() + x) / np.sqrt((sigma_train[list(rows)] ** 2).sum() + sigma_test**2)
                    )
                    for rows in combinations(range(images), seen)
                ]
            )

        p = probability(at, x)
        n = int(moved_certified(p, 1 - p, sigma_test, Share(seen, sigma_train), norm=norm)) if p > 0.5 else -1
        if n < 0:
            continue
        certified += n > 0
        for rows in combinations(range(images), n):
            bad = at.copy()
            bad[list(rows)] -= norm
            assert probability(bad, x - norm) >= 0.5
    assert certified
