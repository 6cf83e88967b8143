"""Oracles: toy worlds in which every subset and every attack is enumerated, and exact sums over all vote counts."""

from itertools import combinations, product
from math import comb

import numpy as np
import pytest
from scipy.stats import beta, multinomial

from certssb_core.certify.input_votes import bound_at
from certssb_core.certify.margin_votes import (
    AT_ANY_MARGIN,
    MOST,
    STEP,
    leads,
    margin_certified,
    replaced_at,
    votes_needed,
)
from certssb_core.certify.subset import Drawing


def _answer(points, labels, x):
    """Nearest class mean on a line: the answer at ``x``, and the distance to where it changes."""
    means = {c: points[labels == c].mean() for c in set(labels.tolist())}
    answer = min(means, key=lambda c: abs(x - means[c]))
    others = [abs(x - (means[answer] + means[c]) / 2) for c in means if c != answer]
    return answer, min(others, default=np.inf)


def _members(points, labels, x, seen):
    """Answers and margins of the members, one for every subset."""
    found = [_answer(points[[*rows]], labels[[*rows]], x) for rows in combinations(range(len(points)), seen)]
    return tuple(map(np.array, zip(*found, strict=True)))


def _ahead(answers, firm, label, weights=None):
    """How far ``label`` leads where members that are not ``firm`` answer anything; exact."""
    shares = np.full(len(answers), 1 / len(answers)) if weights is None else np.asarray(weights)
    rivals = [shares[(answers == c) | ~firm].sum() for c in {0, 1, 2} - {label}]
    return shares[(answers == label) & firm].sum() - max(rivals)


def _leads(points, labels, x, seen, label):
    answers, margins = _members(points, labels, x, seen)
    return np.array([[_ahead(answers, margins >= step * STEP, label) for step in range(MOST + 1)]])


@pytest.mark.parametrize("classes", [2, 3])
def test_no_certificate_is_exceeded_by_any_attack_on_toy_worlds(classes):
    draws, certified, seen = np.random.default_rng(3), 0, 2
    for _ in range(6):
        labels = np.array([0, classes - 1, 1, 1, 1, 1, 1, 1])
        points = draws.normal(np.array([-1.5, 1.5, 4.5])[labels], 0.3)
        x = draws.normal(1.5, 0.3)
        top = int(np.bincount(_members(points, labels, x, seen)[0]).argmax())
        norm = margin_certified(_leads(points, labels, x, seen, top), Drawing(8, seen, 1))[0]
        certified += norm > 0
        for row, value, lie in product(range(8), (-30.0, -3.0, x, 3.0, 30.0), range(classes)):
            bad, lies = points.copy(), labels.copy()
            bad[row], lies[row] = value, lie
            for moved in (x - norm, x, x + norm) if norm >= 0 else ():
                counts = np.bincount(_members(bad, lies, moved, seen)[0], minlength=classes)
                assert counts[top] > np.delete(counts, top).max()
    assert certified


def test_an_attacker_attains_the_bound():
    """A lie at ``x`` rules every member that sees it. In its place was the image whose members' margins are largest."""
    points = np.array([-3.2, -1.0, -0.6, -0.5, 2.3, 2.4, 2.5, 2.6, 2.7, 2.8, 2.9, 3.0])
    labels, x, seen = np.repeat([0, 1], [3, 9]), 2.0, 2
    norm = margin_certified(_leads(points, labels, x, seen, 1), Drawing(12, seen, 1))[0]
    assert norm > 0.5
    attacked = []
    for row in range(3, 12):
        bad, lies = points.copy(), labels.copy()
        bad[row], lies[row] = x, 0
        attacked.append([np.mean(_members(bad, lies, x - move, seen)[0]) for move in (norm, norm + STEP)])
    kept_at, next_step = np.min(attacked, axis=0)
    assert kept_at > 0.5 >= next_step


def test_both_ways_to_solve_agree_with_counting():
    draws, images, seen = np.random.default_rng(1), 60, 4
    lead = np.sort(draws.uniform(-1, 1, (50, MOST + 1)), axis=1)[:, ::-1]
    lost = [1 - comb(images - n, seen) / comb(images, seen) for n in range(images + 1)]
    for norm in (0.0, 0.3, 1.0, MOST * STEP):
        column = lead[:, int(np.ceil(norm / STEP))]
        expected = [max([n for n in range(images + 1) if by > 2 * lost[n]], default=-1) for by in column]
        assert replaced_at(lead, Drawing(images, seen, 0), norm).tolist() == expected
    for n in (0, 1, 5):
        steps = [max([s for s in range(MOST + 1) if row[s] > 2 * lost[n]], default=-1) for row in lead]
        expected = [step * STEP if step >= 0 else -1.0 for step in steps]
        assert margin_certified(lead, Drawing(images, seen, n)).tolist() == expected
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


def _radii(outcomes, kinds, classes, drawing, alpha):
    """Prediction and radius where votes of ``kinds`` (class, steps) came out in these numbers."""
    members = int(outcomes[0].sum())
    votes, margins = (
        np.stack([np.repeat(one, row) for row in outcomes], axis=1) for one in np.array(kinds, np.uint8).T
    )
    read = bound_at(
        votes,
        np.zeros(len(outcomes)),
        bound=AT_ANY_MARGIN,
        classes=classes,
        alpha=alpha,
        test_map="uniform",
        margins=margins,
    )
    assert read.members == members
    radius = np.where(read.bounds.prediction >= 0, margin_certified(read.lead, drawing), -1.0)
    return read.bounds.prediction, radius


@pytest.mark.parametrize("replaced", [0, 3])
@pytest.mark.parametrize("classes", [2, 3])
def test_a_radius_fails_with_probability_alpha_at_most_whatever_the_margins(classes, replaced):
    """Exact sums over all outcomes of 16 votes of five kinds: class and steps of the margin."""
    kinds = [(0, 10), (0, 90), (1, 10), (1, 90), (classes - 1, 40)]
    answers, steps = map(np.array, zip(*kinds, strict=True))
    members, alpha, drawing = 16, 0.05, Drawing(40, 2, replaced)
    lost = 1 - comb(40 - replaced, 2) / comb(40, 2)
    outcomes = _outcomes(members, len(kinds))
    prediction, radius = _radii(outcomes, kinds, classes, drawing, alpha)
    worlds = [
        *np.random.default_rng(2).dirichlet(np.ones(5), 40),
        [0, 0.5 + lost, 0, 0.5 - lost, 0],
        [0.4 - lost / 2, 0.5 + lost, 0, 0.1 - lost / 2, 0],
        [0.5 - lost, 0.5 + lost, 0, 0, 0],
        [0, 0.5, 0, 0.5, 0],
    ]
    failures = []
    for world in worlds:
        true = {}
        for label in range(classes):
            leading = [_ahead(answers, steps >= least, label, world) > 2 * lost + 1e-12 for least in range(MOST + 1)]
            true[label] = sum(leading) * STEP - STEP if any(leading) else -1.0
        wrong = np.array([p >= 0 and r > true[int(p)] for p, r in zip(prediction, radius, strict=True)])
        failures.append(multinomial(members, np.array(world) / sum(world)).pmf(outcomes)[wrong].sum())
    assert max(failures) <= alpha
    assert max(failures) > alpha / 100


def test_leads_are_those_of_the_votes_that_no_change_wins():
    """Many votes: bounds are close to the shares, which are counted here by hand."""
    votes, margins = np.array([0, 0, 0, 1, 2, 2], np.uint8), np.array([3, 0, 5, 200, 2, 9], np.uint8)
    many = (np.repeat(values[:, None], 2_000, axis=0) for values in (votes, margins))
    found = leads(*many, np.array([0]), 3, 0.001)[0]
    # steps: backing 0, most that one rival can win; of 6
    for step, (kept, won) in {0: (3, 2), 1: (2, 3), 3: (2, 3), 4: (1, 4), 6: (0, 5), 10: (0, 6), 201: (0, 6)}.items():
        assert found[step] == pytest.approx((kept - won) / 6, abs=0.04)
        assert found[step] < (kept - won) / 6 + 1e-9
    assert (np.diff(found) <= 1e-12).all()


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
