"""The fewest members that can certify anything, against closed forms, and said before a run starts and after it."""

from __future__ import annotations

import math

import numpy as np
import pytest

from certssb_core.certify.bounds.registry import BOUNDS, fewest_members
from certssb_core.config.parse import override
from certssb_core.config.presets import PRESETS
from certssb_core.results.enough_members import fewest, too_few_members


@pytest.mark.parametrize("classes", [3, 10, 43])
@pytest.mark.parametrize("alpha", [0.1, 0.001, 1e-6])
def test_the_fewest_members_have_closed_forms(classes, alpha):
    """(α/2C)^(1/M) > 1/2, and 1 - sqrt(ln(2C/α) / 2M) > 1/2."""
    odds = 2 * classes / alpha
    assert fewest_members(BOUNDS["clopper-pearson"], classes=classes, alpha=alpha) == math.floor(math.log2(odds)) + 1
    assert fewest_members(BOUNDS["hoeffding"], classes=classes, alpha=alpha) == math.floor(2 * math.log(odds)) + 1


@pytest.mark.parametrize("bound", BOUNDS)
@pytest.mark.parametrize("classes", [2, 3, 10])
def test_one_member_less_abstains_whatever_the_bound(bound, classes):
    needed = fewest_members(BOUNDS[bound], classes=classes, alpha=0.001)
    for members in (needed - 1, needed):
        found = BOUNDS[bound].from_votes(
            np.zeros((members, 1), int), classes=classes, alpha=0.001, softmax=np.eye(1, classes)
        )
        assert found.prediction[0] == (0 if members == needed else -1)


@pytest.mark.parametrize(("test_map", "needed"), [("uniform", 15), ("sample-specific", 15), ("voted", 18)])
def test_the_choice_of_sigma_counts(test_map, needed):
    """The test of the two leaders at 0.1 alpha: log2(20000) = 14.3; nine candidates at alpha/9: log2(180000) = 17.5."""
    assert fewest(override(PRESETS["digits-quick"], {"noise.test_map": test_map}), 3) == needed


def test_members_set_aside_certify_nothing():
    """Two candidates at alpha/2: log2(40000) = 15.3, so 16 certify, and of 20 members ten are set aside at one half."""
    config = override(PRESETS["digits-quick"], {"noise.test_map": "set-aside", "noise.aside": 0.5})
    needed = fewest(config, 3)
    assert (needed - round(0.5 * needed), needed - 1 - round(0.5 * (needed - 1))) in {(16, 15), (16, 16)}
    assert needed in (31, 32)


def test_too_few_members_are_told_with_the_number_that_would_do():
    assert "at least 15 members" in too_few_members(override(PRESETS["digits-quick"], {"training.members": "14"}), 3)
    assert not too_few_members(override(PRESETS["digits-quick"], {"training.members": "15"}), 3)
    ten = override(PRESETS["digits-quick"], {"training.members": "14", "data.classes": "null"})
    assert "10 classes" in too_few_members(ten), "the dataset says how many there are: log2(20000) = 14.3"
    assert not too_few_members(override(PRESETS["digits-01-dpa"], {"training.members": "1"})), "counted, not estimated"


def test_one_class_is_counted_as_two():
    """A page asks before the data is looked at: with one class no search for a number of members would end."""
    one = override(PRESETS["digits-quick"], {"training.members": "1", "data.classes": "3"})
    assert "at 2 classes" in too_few_members(one, 1)
