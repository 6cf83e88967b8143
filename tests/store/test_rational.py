"""The store's decisions in rational arithmetic, on inputs that an attacker chooses after seeing every answer."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from certssb_core.store.store import Store

SLACK = Fraction(1, 10**12)
"""Distances are rounded once to float64: a decision may differ only where numbers agree this closely."""


def rational(values) -> list[Fraction]:
    return [Fraction(float(value)) for value in values]


def square(a: list[Fraction], b: list[Fraction]) -> Fraction:
    return sum((x - y) ** 2 for x, y in zip(a, b, strict=True))


def farther(square_of_distance: Fraction, reach: Fraction) -> bool:
    """Whether distance > reach, without a root."""
    return reach < 0 or square_of_distance > reach * reach


def adaptive(store: Store, generator: np.random.Generator, dim: int) -> tuple[np.ndarray, int, float]:
    """The next input: somewhere, or at the very edge of a stored ball, or reaching exactly to one, of any label."""
    label, radius = int(generator.integers(3)), float(generator.choice([0.25, 0.5, 1.0]))
    balls = store.balls()
    if not len(balls.ids) or generator.random() < 0.3:
        return generator.integers(-8, 9, dim) / 4, label, radius
    ball = int(generator.integers(len(balls.ids)))
    direction = np.eye(dim)[generator.integers(dim)] * generator.choice([-1, 1])
    away = balls.radii[ball] * generator.choice([0.5, 1.0]) + radius * generator.choice([0.0, 1.0])
    return (balls.centres[ball] + away * direction).astype(np.float32), label, radius


def check(dim: int, count: int, seed: int) -> dict[str, int]:
    """Insert inputs one by one, and judge each entry and the invariant exactly; how often each case occurred."""
    generator, cases = np.random.default_rng(seed), {}
    kept: list[tuple[list[Fraction], Fraction, int]] = []
    with Store.in_memory(dim) as store:
        for index in range(count):
            point, label, radius = adaptive(store, generator, dim)
            (entry,) = store.insert([point], [label], [radius], [1.0], ["x"], [index])
            cases[entry.case] = cases.get(entry.case, 0) + 1
            here, after = rational(np.asarray(point, np.float32)), Fraction(entry.radius_after)
            rivals = [(square(here, centre), reach) for centre, reach, other in kept if other != label]
            if entry.case == "aligned":
                assert any(not farther(apart, reach + SLACK) for apart, reach in rivals), "lies in a rival ball"
            elif entry.case == "trimmed":
                assert all(farther(apart, reach - SLACK) for apart, reach in rivals), "lies in none"
                assert any(not farther(apart, reach + Fraction(radius) + SLACK) for apart, reach in rivals)
            else:
                assert after == Fraction(radius)
                assert all(farther(apart, reach + after - SLACK) for apart, reach in rivals)
            for centre, reach, other in kept:
                if entry.stored and other != entry.label:
                    assert farther(square(here, centre), reach + after - SLACK), "no two balls of different label meet"
            if entry.stored:
                kept.append((here, after, entry.label))
    return cases


def test_a_few_adaptive_inputs_are_decided_right():
    assert set(check(2, 60, seed=0)) == {"disjoint", "same_label", "trimmed", "aligned"}


@pytest.mark.slow
@pytest.mark.parametrize("dim", [1, 2, 3, 16])
@pytest.mark.parametrize("seed", range(5))
def test_adaptive_inputs_are_decided_right(dim, seed):
    assert sum(check(dim, 200, seed=seed).values()) == 200
