"""Flips established by betting: coverage at no lead, power at a small one, and the fewest members that can tell."""

import numpy as np
import pytest
from scipy.stats import binom

from certssb_core.falsification.betting import broken, established, members_needed


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


def test_few_members_establish_nothing_and_many_need_a_majority():
    """Stakes are at most 0.9 of the wealth, so nine unanimous members stay below 1.9⁹ = 323 < 1,000 · 2."""
    assert members_needed(9, 3, 0.001) is None
    assert members_needed(0, 3, 0.001) is None
    needed = members_needed(160, 3, 0.001)
    assert 80 < needed < 120
