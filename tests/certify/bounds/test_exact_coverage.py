"""Every possible vote count of a small ensemble, with its exact probability: no bound fails with more than α."""

from __future__ import annotations

from itertools import product
from math import ceil, sqrt

import numpy as np
import pytest
from scipy.stats import multinomial

from certssb_core.certify.bounds.registry import BOUNDS
from tests.certify.bounds.coverage import wrong

MEMBERS = {2: 60, 3: 40, 4: 24}
GRID = {2: 24, 3: 9, 4: 6}
"""Steps of the grid of class probabilities along each axis."""


def compositions(total: int, parts: int) -> np.ndarray:
    """``(n, parts)`` all ways to write ``total`` as ordered parts."""
    heads = [head for head in product(range(total + 1), repeat=parts - 1) if sum(head) <= total]
    return np.array([(*head, total - sum(head)) for head in heads])


def probabilities(classes: int) -> np.ndarray:
    """A grid of the simplex, and its neighbourhood of ties and of certainty."""
    grid = compositions(GRID[classes], classes) / GRID[classes]
    near = np.full((2, classes), 1e-4)
    near[0, 0] = 1 - 1e-4 * (classes - 1)
    near[1, :2] = (1 - 1e-4 * (classes - 2)) / 2
    return np.concatenate([grid[(np.diff(grid, axis=1) <= 0).all(axis=1)], near])  # the order of classes says nothing


@pytest.mark.slow
@pytest.mark.parametrize("alpha", [0.001, 0.05, 0.2])
@pytest.mark.parametrize("classes", MEMBERS)
@pytest.mark.parametrize("name", [name for name, bound in BOUNDS.items() if bound.vote == "hard"])
def test_counted_bounds_fail_with_at_most_alpha(name, classes, alpha):
    members = MEMBERS[classes]
    counts = compositions(members, classes)
    bounds = BOUNDS[name].class_bounds(counts, members, alpha)
    for p in probabilities(classes):
        risk = multinomial.pmf(counts, members, p)[wrong(bounds, p)].sum()
        assert risk <= alpha * (1 + 1e-9), (p, risk)


@pytest.mark.slow
@pytest.mark.parametrize("alpha", [0.001, 0.05, 0.2])
@pytest.mark.parametrize(("classes", "cells"), [(2, 400), (3, 60)])
def test_the_randomised_bound_fails_with_at_most_alpha_and_uses_more_of_it(classes, cells, alpha):
    """The draw is cut into cells, each counted at its largest draw, which claims least: the risk from below, to within
    one cell. That it is above the risk of the bound without draws shows that the draw was used."""
    members = MEMBERS[classes]
    counts, edges = compositions(members, classes), np.linspace(0, 1, cells + 1)[1:]
    at = [BOUNDS["randomised"].class_bounds(counts, members, alpha, np.full(len(counts), u)) for u in edges]
    plain, worst = BOUNDS["joint"].class_bounds(counts, members, alpha), {"joint": 0.0, "randomised": 0.0}
    for p in probabilities(classes):
        chance = multinomial.pmf(counts, members, p)
        risk = np.mean([chance[wrong(bounds, p)].sum() for bounds in at])
        assert risk <= alpha * (1 + 1e-9), (p, risk)
        worst["randomised"] = max(worst["randomised"], risk)
        worst["joint"] = max(worst["joint"], chance[wrong(plain, p)].sum())
    assert worst["randomised"] >= worst["joint"] * (1 - 1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("alpha", [0.001, 0.05, 0.2])
@pytest.mark.parametrize("classes", [2, 3])
def test_a_selection_split_fails_with_at_most_alpha(classes, alpha):
    """The first votes and the others are independent: both are enumerated."""
    members = {2: 40, 3: 25}[classes]
    first = ceil(sqrt(members))
    early, late = compositions(first, classes), compositions(members - first, classes)
    rows = [(*a, *b) for a in early.tolist() for b in late.tolist()]
    votes = np.array([np.repeat(np.tile(np.arange(classes), 2), row) for row in rows], np.uint8).T
    bounds = BOUNDS["selection-split"].class_bounds(votes, classes, alpha)
    for p in probabilities(classes):
        chance = np.outer(multinomial.pmf(early, first, p), multinomial.pmf(late, members - first, p)).ravel()
        risk = chance[wrong(bounds, p)].sum()
        assert risk <= alpha * (1 + 1e-9), (p, risk)
