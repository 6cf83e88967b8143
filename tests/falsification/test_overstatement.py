"""The factor from which on overstated radii are found: arithmetic by closed forms, and the search on a small run."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import norm

from certssb_core.falsification import overstatement
from certssb_core.falsification.falsify import _workers
from certssb_core.falsification.overstatement import Trial, fresh_shares, overstated, slack
from certssb_core.falsification.violations import Claims
from certssb_core.pipeline.engines.local import InProcessEngine


def made_up(count: int, margin: float = 0.5) -> Claims:
    rows, none = np.arange(count), np.zeros(count)
    full = np.full(count, margin)
    return Claims(rows.astype(str), rows, none, rows * 0, full, full, none + 1, 2, "joint", 0.001)


def test_slack_of_a_half_space_is_its_distance_over_the_claimed_radius():
    """Class 0 left of a plane at distances 0.6 and 0.8 under σ 1: p = Φ(distance), whose radius is the distance."""
    own = norm.cdf([0.6, 0.8])
    shares = np.repeat(np.stack([own, 1 - own], axis=1)[None], 30, axis=0)
    trial = Trial(0.0, np.array([0, 1]), np.zeros((2, 1, 1, 1), np.float32), shares)
    assert slack(trial, made_up(2)) == pytest.approx(0.6 / 0.5, rel=1e-6)
    unanimous = replace(trial, shares=np.broadcast_to([1.0, 0.0], (30, 2, 2)))
    assert np.isfinite(slack(unanimous, made_up(2)))


@pytest.mark.parametrize(("inputs", "found"), [(645, True), (5000, False)])
def test_found_means_more_inputs_than_chance_explains(inputs, found):
    """Three that break: of 645 chance at 0.001 gives so many in 3 % of cases, of 5,000 in 88 %."""
    shares = np.broadcast_to([0.2, 0.8], (40, 3, 2))
    told = Trial(1.3, np.arange(3), np.zeros((3, 1, 1, 1), np.float32), shares).told(made_up(inputs))
    assert (told["broken"], told["flips"], told["inputs"], told["found"]) == (3, 3, inputs, found)


def test_words_name_the_factor_the_judges_and_what_nobody_can_find():
    row = {"factor": 1.5, "inputs": 645, "broken": 4, "judges": 720, "found": True}
    words = overstated({"factors": [row], "slack": 1.16})
    assert "Radii 1.5 times too large are found: 4 of 645 inputs break, judged by 720 members" in words
    assert "1.16" in words
    assert "not found" in overstated({"factors": [row | {"found": False}], "slack": None})
    assert "not measured" in overstated({"factors": [], "slack": None})


@pytest.mark.slow
def test_claims_five_times_too_large_are_found_at_once_and_sound_ones_are_not(run, claimed, monkeypatch):
    monkeypatch.setattr(overstatement, "FACTORS", (1.0,))
    monkeypatch.setattr(overstatement, "FRESH", 0)
    inflated = replace(claimed, radius=5 * claimed.radius, margin=5 * claimed.margin)
    with _workers(run, "local", None) as workers:
        wrong = overstatement.overstatement(run, workers, inflated, deadline=np.inf, seed=0)
        right = overstatement.overstatement(run, workers, claimed, deadline=np.inf, seed=0)
    (row,) = wrong["factors"]
    assert (row["found"], row["inputs"], row["judges"]) == (True, len(claimed), 30)
    assert wrong["slack"] < 1 < right["slack"]
    assert not right["factors"][0]["found"]


@pytest.mark.slow
def test_members_trained_to_judge_are_new_and_repeatable(run, claimed, monkeypatch):
    """They join the stored judges at every factor below the one that was found."""
    points, sigma = claimed.images[:5], claimed.sigma[:5]
    first, again, other = (fresh_shares(run.path, (0,), points, sigma, seed, 4) for seed in (0, 0, 1))
    assert np.array_equal(first, again)
    assert first.sum(axis=2) == pytest.approx(np.ones((1, 5)))
    assert not np.array_equal(first, other)
    monkeypatch.setattr(overstatement, "FRESH", 2)
    monkeypatch.setattr(overstatement, "TASK", 1)
    trials = [
        Trial(f, np.arange(k), claimed.images[:k], np.zeros((7, k, claimed.classes))) for f, k in ((1.1, 2), (1.2, 5))
    ]
    more = overstatement._more_judges(run, InProcessEngine(), claimed, trials, 2, deadline=np.inf, seed=0)
    assert [trial.shares.shape[:2] for trial in more] == [(9, 2), (9, 5)]
