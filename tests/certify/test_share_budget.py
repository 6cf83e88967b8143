"""The budget with the share counted, against re-verification's roots, worlds enumerated by hand, and itself."""

from itertools import combinations
from math import comb
from statistics import NormalDist

import numpy as np
import pandas as pd
import pytest

from certssb_core.certify.share_budget import Share, moved_certified, norm_certified
from certssb_core.verification import recompute

NORMAL = NormalDist()


@pytest.mark.parametrize("still", [False, True], ids=["input moves", "input as given"])
@pytest.mark.parametrize(("images", "seen"), [(40, 1), (40, 39), (900, 200)])
def test_it_is_what_the_roots_of_other_code_say(images, seen, still):
    draws = np.random.default_rng(images + seen)
    p_a = draws.uniform(0.5, 0.999, 12)
    p_b = np.where(np.arange(12) % 2, 1 - p_a, draws.uniform(0, 1, 12) * (1 - p_a))  # two classes, and more
    sigma_train = draws.uniform(0.3, 1, images)
    sigma_test = np.full(12, np.inf) if still else draws.uniform(0.3, 1, 12)
    rows = pd.DataFrame({"p_a_lower": p_a, "p_b_upper": p_b, "prediction": 0})
    distinct = set()
    for norm, test_norm in ((0.05, 0.05), (0.2, 0.4), (0.9, 0.1)):
        found = moved_certified(p_a, p_b, sigma_test, Share(seen, sigma_train), norm=norm, test_norm=test_norm)
        expected = recompute.share_certified(rows, sigma_test, sigma_train, seen, norm, test_norm)
        assert found.tolist() == expected.tolist()
        distinct |= set(found)
    assert len(distinct) > 4


@pytest.mark.parametrize("replaced", [0, 2])
def test_the_two_ways_to_solve_agree(replaced):
    draws = np.random.default_rng(7)
    p_a, sigma_test = draws.uniform(0.6, 0.999, 25), draws.uniform(0.3, 1, 25)
    share = Share(60, draws.uniform(0.3, 1, 600))
    for images in (0, 30, 300):
        norm = norm_certified(p_a, 1 - p_a, sigma_test, share, images=images, replaced=replaced)
        for row in range(25):
            bounds = (p_a[row], 1 - p_a[row], sigma_test[row], share)
            if norm[row] > 0:
                assert moved_certified(*bounds, norm=norm[row] * (1 - 1e-8), replaced=replaced) >= images
                assert moved_certified(*bounds, norm=norm[row] * (1 + 1e-6), replaced=replaced) < images
            else:
                assert moved_certified(*bounds, norm=1e-9, replaced=replaced) < images
        assert (norm > 0).any()
    assert replaced == 0 or (norm == 0).any()


def test_whatever_moves_is_no_more_than_the_attacker_s_so_some_answers_stand_for_any_norm():
    """One image of 100, seen by one member in five, takes 0.2 at most: 0.75 − 0.2 > 0.25 + 0.2, and 0.65 does not."""
    share = Share(20, np.ones(100))
    assert norm_certified([0.75, 0.65], [0.25, 0.35], np.inf, share, images=1)[0] == np.inf
    assert 0 < norm_certified([0.75, 0.65], [0.25, 0.35], np.inf, share, images=1)[1] < np.inf
    assert norm_certified([0.75], [0.25], 1.0, share, images=0)[0] == pytest.approx(NORMAL.inv_cdf(0.75), rel=1e-8)


def test_moved_and_replaced_images_together_attain_the_bound_of_a_world_that_is_enumerated():
    """Members of 3 of 8 images; those that see the replaced one are the attacker's, the others vote by likelihood."""
    images, seen, norm = 8, 3, 0.5
    subsets = [rows for rows in combinations(range(images), seen) if images - 1 not in rows]
    spoilt = 1 - len(subsets) / comb(images, seen)
    stood = 0
    for moved in (1, 3):
        distances = [norm * np.sqrt(1 + sum(row < moved for row in rows)) for rows in subsets]
        for level in (0.2, 0.5, 0.9, 1.6):
            clean = (1 - spoilt) * np.mean([NORMAL.cdf((level + d * d / 2) / d) for d in distances]) + spoilt
            attacked = (1 - spoilt) * np.mean([NORMAL.cdf((level - d * d / 2) / d) for d in distances])
            found = int(moved_certified(clean, 1 - clean, 1.0, Share(seen, np.ones(images)), norm=norm, replaced=1))
            assert (found >= moved) == (attacked > 0.5), (moved, level)
            stood += attacked > 0.5
    assert 0 < stood < 8


def test_a_number_of_images_that_is_none_is_refused():
    with pytest.raises(ValueError, match=r"images must lie in \[0, 8\], got 9"):
        norm_certified([0.9], [0.1], 1.0, Share(2, np.ones(10)), images=9, replaced=2)
