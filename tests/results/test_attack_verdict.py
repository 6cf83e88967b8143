"""An attack's success beside what the model answers anyway, on hand-made answers."""

from __future__ import annotations

import numpy as np
import pytest

from certssb_core.config.schema import AttackConfig
from certssb_core.results.attack_verdict import attack_caveats, caveats, undefended_metrics

LABELS = np.repeat([0, 1], 10)
ATTACK = AttackConfig(target=0)


def measured(clean, triggered, *, poisoned=5, attack=ATTACK):
    answers = {"clean": np.asarray(clean), "triggered": np.asarray(triggered)}
    return undefended_metrics(answers, LABELS, attack, classes=2, poisoned=poisoned)


def test_an_attack_that_works_has_no_caveat():
    found = measured(LABELS, np.zeros(20, int))
    assert (found["attack_success_rate"], found["base_rate"], found["attack_works"]) == (1.0, 0.0, True)
    assert attack_caveats(found) == []


def test_a_constant_predictor_is_no_successful_attack():
    found = measured(np.zeros(20, int), np.zeros(20, int))
    assert (found["attack_success_rate"], found["base_rate"]) == (1.0, 1.0)
    assert not found["attack_works"]
    assert "collapsed" in attack_caveats(found)[0]


def test_a_model_that_favours_the_target_anyway_is_no_successful_attack():
    clean = np.where(np.arange(20) == 19, 1, 0)  # nine of ten images of class 1 get class 0 without a trigger
    found = measured(clean, np.zeros(20, int))
    assert (found["attack_success_rate"], found["base_rate"], found["collapsed"]) == (1.0, 0.9, False)
    assert not found["attack_works"]
    assert "90.0% get the attacker's answer without the trigger" in attack_caveats(found)[0]


def test_without_a_poison_there_is_no_attack():
    found = measured(LABELS, np.zeros(20, int), poisoned=0)
    assert not found["attack_works"]
    assert "No training image is poisoned" in attack_caveats(found)[0]


def test_victims_are_compared_with_others_of_their_classes():
    """Victims carry no trigger, so both sets hold the same images; the other images of class 1 are the comparison."""
    attack = AttackConfig(method="bullseye-polytope", label_mode="clean-label", target=0, victims=2)
    answers = LABELS.copy()
    answers[[10, 19]] = 0  # the two victims, the first and the last of class 1
    found = measured(answers, answers, attack=attack)
    assert (found["attack_success_rate"], found["base_rate"], found["attack_works"]) == (1.0, 0.0, True)


def test_a_run_of_an_earlier_version_is_still_told():
    old = {"clean_accuracy": 1.0, "attack_success_rate": 0.02, "attack_works": False}
    (told,) = caveats({"undefended": old})
    assert told.startswith("This certificate defends against nothing: ")
    assert told.endswith("the attack succeeds on 2.0% of the triggered images.")
    assert "not known" in attack_caveats(None)[0]


@pytest.mark.parametrize(("collapsed", "told"), [(True, 1), (False, 0)])
def test_a_collapsed_ensemble_is_told(collapsed, told):
    works = measured(LABELS, np.zeros(20, int))
    assert len(caveats({"undefended": works, "collapsed": collapsed})) == told
