"""Flips established by betting: coverage at no lead, power at a small one, and the fewest members that can tell."""

import numpy as np
import pytest
from scipy.stats import binom

from certssb_core.falsification.betting import broken, established, in_words, judge, members_needed


@pytest.mark.parametrize("spread", [0.05, 0.4, 1.0])
def test_no_lead_is_established_with_at_most_alpha(spread):
    """Leads of mean 0, between -spread and spread; a miss of 1 in 10,000 by chance."""
    trials, alpha = 20_000, 0.05
    leads = np.random.default_rng(1).uniform(-spread, spread, size=(200, trials))
    assert established(leads, alpha).sum() <= binom.isf(1e-4, trials, alpha)
    skewed = np.where(np.random.default_rng(2).random((200, trials)) < 0.1, 0.9, -0.1) * spread  # mean 0
    assert established(skewed, alpha).sum() <= binom.isf(1e-4, trials, alpha)


def test_precise_members_tell_a_lead_that_single_votes_would_hide():
    """A class of probability 0.55 against 0.45: members of 16 draws each tell it, members of one draw do not."""
    rng = np.random.default_rng(3)
    precise, single = (2 * rng.binomial(draws, 0.55, size=(160, 400)) / draws - 1 for draws in (16, 1))
    assert established(precise, 0.001).mean() > 0.9
    assert established(single, 0.001).mean() < 0.1


def test_a_claim_breaks_where_another_class_leads_and_only_there():
    shares = np.zeros((60, 3, 3), np.float32)
    shares[:, 0] = [0.7, 0.2, 0.1]
    shares[:, 1] = [0.2, 0.7, 0.1]
    shares[:, 2] = [0.45, 0.45, 0.1]
    assert broken(shares, np.array([0, 0, 0]), 0.001).tolist() == [False, True, False]
    assert broken(shares, np.array([1, 1, 1]), 0.001).tolist() == [True, False, False]


def test_following_the_class_that_led_before_keeps_alpha():
    """Three classes of equal mean share, for which members differ wildly; a miss of 1 in 10,000 by chance."""
    trials, alpha = 5_000, 0.05
    shares = np.random.default_rng(5).dirichlet([0.3, 0.3, 0.3], size=(100, trials))
    assert broken(shares, np.zeros(trials, int), alpha).sum() <= binom.isf(1e-4, trials, alpha)


def test_few_members_establish_nothing_and_many_need_a_majority():
    """Stakes are at most 0.9 of the wealth, so nine unanimous members stay below 1.9⁹ = 323 < 1,000."""
    assert members_needed(9, 3, 0.001) is None
    assert members_needed(0, 3, 0.001) is None
    needed = members_needed(160, 3, 0.001)
    assert 80 < needed < 120


def test_a_verdict_names_the_class_that_leads_and_what_is_proved():
    shares = np.broadcast_to([[0.1, 0.7, 0.2], [0.8, 0.1, 0.1]], (60, 2, 3))
    verdict = judge(shares, np.array([0, 0]), 0.001)
    assert verdict.leading.tolist() == [1, 0]
    assert verdict.flipped.tolist() == verdict.broken.tolist() == [True, False]
    assert verdict.shares[0] == pytest.approx([0.1, 0.7, 0.2])


def test_the_power_in_words_is_the_lead_that_half_the_trials_establish():
    """Leads of the stated size and spread, simulated; the formula is first-order, so a quarter is allowed around ½."""
    rng, spread, judges = np.random.default_rng(7), 0.3, 200
    leads = rng.choice([-spread, spread], size=(judges, 4000))
    shares = np.stack([0.5 - leads / 2, 0.5 + leads / 2], axis=2)
    words = in_words(shares, np.zeros(4000, int), 0.001, 16)
    least = float(words.partition("flips by ")[2].split()[0])
    assert least == pytest.approx(spread * np.sqrt(2 * np.log(1000) / judges), abs=0.006)
    found = broken(shares + least / 2 * np.array([-1, 1]), np.zeros(4000, int), 0.001).mean()
    assert 0.25 < found < 0.75
