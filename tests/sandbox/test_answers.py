"""No radius that the sandbox states holds a point with another answer: the exact classifier and the discs say so."""

from __future__ import annotations

import numpy as np
import pytest

from certssb_core.sandbox import plane_data
from certssb_core.sandbox.scene import ask, certified, scene

NOISE = {"sigma": 0.3, "spread": 3.0}


def flips(seed: int, points: int, tries: int) -> tuple[int, int]:
    """Stated radii, and those that hold a point where a rival ball or the classifier at the stated σ says otherwise."""
    inputs = certified(plane_data.moons(seed, 24), **NOISE, seed=seed)
    found = scene(inputs, order="attacker-first")
    generator = np.random.default_rng(seed)
    stated = flipped = 0
    for point in generator.uniform([-1.2, -1], [2.2, 1.5], (points, 2)).astype(np.float32).astype(np.float64):
        reply = ask(inputs, found, tuple(point), **NOISE)
        if reply.radius <= 0:
            continue
        stated += 1
        angle, reach = generator.uniform(0, 2 * np.pi, tries), generator.uniform(0.5, 1, tries) ** 0.5 * reply.radius
        there = point + 0.9999 * reach[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
        inside = np.linalg.norm(there[:, None] - found.balls.centres.astype(np.float64), axis=2) < found.balls.radii
        rivals = inside[:, found.balls.labels != reply.label].any(axis=1)
        ones = inputs.classifier.probability(there, np.full(tries, reply.sigma)) > 0.5
        voted = (ones != bool(reply.label)) & ~inside.any(axis=1) if reply.ball is None else np.zeros(tries, bool)
        flipped += bool((rivals | voted).any())
    return stated, flipped


@pytest.mark.parametrize("seed", [1, 2])
def test_a_few_stated_radii_hold(seed):
    stated, flipped = flips(seed, 60, 60)
    assert stated > 30
    assert flipped == 0


@pytest.mark.slow
def test_of_1500_stated_radii_none_holds_another_answer():
    """1,500 radii at α = 0.001 may fail 1.5 times by chance; the rule about rival balls admits no exception."""
    counted = np.sum([flips(seed, 520, 200) for seed in range(3, 7)], axis=0)
    assert counted[0] >= 1500
    assert counted[1] == 0
