"""Oracles: toy worlds in which every subset and every attack is enumerated, and exact sums over all vote counts."""

from itertools import combinations, product
from math import comb, floor

import numpy as np
import pytest
from scipy.stats import beta, multinomial

from certssb_core.certify.input_votes import bound_at
from certssb_core.certify.margin_votes import (
    MOST,
    ONE_AGAINST_ALL,
    STEP,
    kept_bounds,
    margin_certified,
    replaced_at,
    votes_needed,
)
from certssb_core.certify.subset import Drawing


def _answer(points, labels, x):
    """Nearest class mean on a line: the answer at ``x``, and the distance to where it changes."""
    means = [points[labels == c].mean() if (labels == c).any() else None for c in (0, 1)]
    if means[0] is None or means[1] is None:
        return int(means[0] is None), np.inf
    return int(abs(x - means[1]) < abs(x - means[0])), abs(x - sum(means) / 2)


def _share_of_one(points, labels, x, seen):
    """The exact probability of class 1 at ``x``, over every subset."""
    return np.mean([_answer(points[[*rows]], labels[[*rows]], x)[0] for rows in combinations(range(len(points)), seen)])


def _kept(points, labels, x, seen, label):
    """The exact probability of ``label`` with a margin of each number of steps: ``(1, MOST + 1)``."""
    found = [_answer(points[[*rows]], labels[[*rows]], x) for rows in combinations(range(len(points)), seen)]
    steps = np.array([min(floor(margin / STEP), MOST) if margin < 4 else MOST for own, margin in found if own == label])
    return np.array([[np.sum(steps >= least) / len(found) for least in range(MOST + 1)]])


def test_no_certificate_is_exceeded_by_any_attack_on_toy_worlds():
    draws, certified, seen = np.random.default_rng(3), 0, 2
    for _ in range(6):
        labels = np.array([0, 0, 1, 1, 1, 1, 1, 1])
        points = draws.normal(np.where(labels, 1.5, -1.5), 0.3)
        x = draws.normal(1.5, 0.3)
        top = int(_share_of_one(points, labels, x, seen) > 0.5)
        norm = margin_certified(_kept(points, labels, x, seen, top), Drawing(8, seen, 1))[0]
        certified += norm > 0
        for row, value, lie in product(range(8), (-30.0, -3.0, x, 3.0, 30.0), (0, 1)):
            bad, lies = points.copy(), labels.copy()
            bad[row], lies[row] = value, lie
            for moved in (x - norm, x, x + norm) if norm >= 0 else ():
                share = _share_of_one(bad, lies, moved, seen)
                assert (share if top else 1 - share) > 0.5
    assert certified


def test_an_attacker_attains_the_bound():
    """A lie at ``x`` rules every member that sees it. In its place was the image whose members' margins are largest."""
    points = np.array([-3.2, -1.0, -0.6, -0.5, 2.3, 2.4, 2.5, 2.6, 2.7, 2.8, 2.9, 3.0])
    labels, x, seen = np.repeat([0, 1], [3, 9]), 2.0, 2
    kept = _kept(points, labels, x, seen, 1)
    norm = margin_certified(kept, Drawing(12, seen, 1))[0]
    assert norm > 0.5
    attacked = []
    for row in range(3, 12):
        bad, lies = points.copy(), labels.copy()
        bad[row], lies[row] = x, 0
        attacked.append([_share_of_one(bad, lies, x - move, seen) for move in (norm, norm + STEP)])
    kept_at, next_step = np.min(attacked, axis=0)
    assert kept_at > 0.5 >= next_step


def test_both_ways_to_solve_agree_with_counting():
    draws, images, seen = np.random.default_rng(1), 60, 4
    kept = np.sort(draws.uniform(0, 1, (50, MOST + 1)), axis=1)[:, ::-1]
    lost = [1 - comb(images - n, seen) / comb(images, seen) for n in range(images + 1)]
    for norm in (0.0, 0.3, 1.0, MOST * STEP):
        column = int(np.ceil(norm / STEP))
        expected = [max([n for n in range(images + 1) if p > 0.5 + lost[n]], default=-1) for p in kept[:, column]]
        assert replaced_at(kept, Drawing(images, seen, 0), norm).tolist() == expected
    for n in (0, 1, 5):
        steps = [max([s for s in range(MOST + 1) if row[s] > 0.5 + lost[n]], default=-1) for row in kept]
        expected = [step * STEP if step >= 0 else -1.0 for step in steps]
        assert margin_certified(kept, Drawing(images, seen, n)).tolist() == expected
    assert len(set(expected)) > 5


def test_beyond_the_largest_margin_nothing_is_certified():
    sure = np.ones((1, MOST + 1))
    assert replaced_at(sure, Drawing(10, 2, 0), MOST * STEP)[0] > 0
    assert replaced_at(sure, Drawing(10, 2, 0), MOST * STEP + 0.01)[0] == -1
    with pytest.raises(ValueError, match="norm must not be negative"):
        replaced_at(sure, Drawing(10, 2, 0), float("nan"))


def _outcomes(members, kinds):
    """Every way to spread ``members`` votes over ``kinds`` kinds of vote: ``(outcomes, kinds)``."""
    bars = np.array([*combinations(range(members + kinds - 1), kinds - 1)])
    edges = np.hstack([np.full((len(bars), 1), -1), bars, np.full((len(bars), 1), members + kinds - 1)])
    return np.diff(edges, axis=1) - 1


def _radii(outcomes, kinds, drawing, alpha):
    """Prediction and radius where votes of ``kinds`` (class, steps) came out in these numbers."""
    members = int(outcomes[0].sum())
    votes, margins = (
        np.stack([np.repeat(one, row) for row in outcomes], axis=1) for one in np.array(kinds, np.uint8).T
    )
    read = bound_at(
        votes,
        np.zeros(len(outcomes)),
        bound=ONE_AGAINST_ALL,
        classes=3,
        alpha=alpha,
        test_map="uniform",
        margins=margins,
    )
    assert read.members == members
    radius = np.where(read.bounds.prediction >= 0, margin_certified(read.kept, drawing), -1.0)
    return read.bounds.prediction, radius


@pytest.mark.parametrize("replaced", [0, 3])
def test_a_radius_fails_with_probability_alpha_at_most_whatever_the_margins(replaced):
    """Exact sums over all outcomes of 16 votes of five kinds: three classes, two with small or large margins."""
    kinds, members, alpha = [(0, 10), (0, 90), (1, 10), (1, 90), (2, 40)], 16, 0.05
    drawing = Drawing(40, 2, replaced)
    lost = 1 - comb(40 - replaced, 2) / comb(40, 2)
    outcomes = _outcomes(members, len(kinds))
    prediction, radius = _radii(outcomes, kinds, drawing, alpha)
    worlds = [
        *np.random.default_rng(2).dirichlet(np.ones(5), 60),
        [0, 0.5 + lost, 0, 0.5 - lost, 0],
        [0.4 - lost / 2, 0.5 + lost, 0, 0.1 - lost / 2, 0],
        [0.5 - lost, 0.5 + lost, 0, 0, 0],
        [0, 0.5, 0, 0.5, 0],
    ]
    failures = []
    for world in worlds:
        shares = np.array(world)
        true = {}
        for label in range(3):
            at = [
                sum(p for p, (own, steps) in zip(shares, kinds, strict=True) if own == label and steps >= least)
                for least in range(MOST + 1)
            ]
            held = [step for step, p in enumerate(at) if p > 0.5 + lost + 1e-12]
            true[label] = max(held) * STEP if held else -1.0
        wrong = np.array([p >= 0 and r > true[int(p)] for p, r in zip(prediction, radius, strict=True)])
        failures.append(multinomial(members, shares / shares.sum()).pmf(outcomes)[wrong].sum())
    assert max(failures) <= alpha
    assert max(failures) > alpha / 10


def test_margins_of_votes_for_other_classes_do_not_count():
    votes = np.array([[0], [0], [0], [1]], np.uint8)
    margins = np.array([[3], [0], [5], [200]], np.uint8)
    kept = kept_bounds(np.repeat(votes, 100, axis=0), np.repeat(margins, 100, axis=0), np.array([0]), 0.001)[0]
    assert len({*kept[:1]}) == 1
    assert kept[0] > kept[1] == kept[3]
    assert (kept[4:] == 0).all(), "100 of 400 votes lead nothing"


@pytest.mark.parametrize(("replaced", "alpha"), [(0, 0.001), (2, 0.001), (2, 0.05), (40, 0.001)])
def test_so_many_votes_certify_and_one_less_does_not(replaced, alpha):
    drawing, members = Drawing(60, 4, replaced), 300
    needed = votes_needed(members, alpha, drawing)
    lost = 1 - comb(60 - replaced, 4) / comb(60, 4)
    if replaced == 40:
        assert needed == members + 1
        return
    # The bound lies between Clopper-Pearson's at α/2 and at α.
    assert beta.ppf(alpha, needed, members - needed + 1) > 0.5 + lost
    assert beta.ppf(alpha / 2, needed - 1, members - needed + 2) <= 0.5 + lost
    assert 150 < needed < 300
