"""ART's clean-label attacks on the toy of test_crafting.py, held to the same aims."""

import random
import sys
from collections import OrderedDict

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from certssb_core.attacks.art_attacks import ART_CRAFTS
from certssb_core.config.presets import PRESETS
from certssb_core.config.schema import override
from certssb_core.data.poisoning import METHODS
from certssb_core.errors import ConfigError, PoisonError
from tests.attacks.test_clean_label import misses, plan

WITHOUT = "the adversarial-robustness-toolbox is optional"


def small(method: str, **changes):
    return plan(method, **({"budget": 0.25, "steps": 6} | changes))


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)  # as the processes that run attacks have, and the faster on so little
    yield
    torch.set_num_threads(before)


@pytest.fixture
def art():
    return pytest.importorskip("art.attacks.poisoning", reason=WITHOUT)


@pytest.mark.parametrize("method", ART_CRAFTS)
def test_poisons_stay_within_the_budget_and_are_images_and_come_out_the_same_again(method, art):
    given = small(method)
    before, weights = given.bases.clone(), given.networks[0].output.weight.clone()
    poisons = ART_CRAFTS[method](given)
    assert torch.equal(given.bases, before)
    assert torch.equal(given.networks[0].output.weight, weights)
    assert not poisons.requires_grad
    assert not given.networks[0].output.weight.requires_grad
    change = (poisons - before).flatten(1).norm(dim=1)
    assert (change <= 0.25 * (1 + 1e-5)).all()
    assert (change > 0.01).all()
    assert 0 <= poisons.min() <= poisons.max() <= 1
    np.random.seed(99)  # noqa: NPY002
    torch.manual_seed(99)
    assert torch.equal(poisons, ART_CRAFTS[method](small(method)))


def test_the_seed_is_what_a_search_draws_from(art):
    some, same, other = (ART_CRAFTS["gradient-matching"](small("gradient-matching", seed=s)) for s in (0, 0, 1))
    assert torch.equal(some, same)
    assert not torch.equal(some, other)


@pytest.mark.parametrize("method", ART_CRAFTS)
def test_nothing_is_said_and_the_global_generators_are_left_alone(method, art, capfd):
    def states():
        return random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002

    def alike(one, two):
        return (
            one[0] == two[0]
            and all(np.array_equal(a, b) for a, b in zip(one[1], two[1], strict=True))
            and torch.equal(one[2], two[2])
        )

    given = small(method)
    before, loader, cuda = states(), torch.utils.data.DataLoader, torch.cuda.is_available
    capfd.readouterr()
    ART_CRAFTS[method](given)
    assert capfd.readouterr() == ("", "")
    assert alike(before, states())
    assert (torch.utils.data.DataLoader, torch.cuda.is_available) == (loader, cuda)
    torch.rand(1)
    assert not alike(before, states()), "this test can tell"


def test_a_feature_collision_comes_nearer_to_its_victim(art):
    given = plan("feature-collision")
    wanted = given.aims[torch.arange(6) % 2]
    start, poisons = given.start(), ART_CRAFTS["feature-collision"](given)
    assert misses(given, poisons, torch.eye(6), wanted) < misses(given, start, torch.eye(6), wanted) / 2


MEAN = torch.tensor([[1, 0, 1, 0, 1, 0], [0, 1, 0, 1, 0, 1]]) / 3


def test_the_mean_of_a_polytope_comes_nearer_to_its_victim(art):
    given = plan("bullseye-polytope")
    start, poisons = given.start(), ART_CRAFTS["bullseye-polytope"](given)
    assert misses(given, poisons, MEAN, given.aims) < misses(given, start, MEAN, given.aims) / 2


def test_art_s_own_bullseye_ignores_what_it_is_aimed_at(art):
    from art.estimators.classification import PyTorchClassifier

    given = plan("bullseye-polytope")
    features = nn.Linear(16, 5, bias=False)
    features.weight.data = given.networks[0].projection.T.contiguous()
    layers = OrderedDict(flat=nn.Flatten(), features=features, output=given.networks[0].output)
    classifier = PyTorchClassifier(
        nn.Sequential(layers), nn.CrossEntropyLoss(), (1, 4, 4), 2, clip_values=(0.0, 1.0), device_type="cpu"
    )
    made = []
    for target in given.aims.numpy():
        attack = art.BullseyePolytopeAttackPyTorch(classifier, target[None], "features", max_iter=20, verbose=False)
        made.append(attack.poison(given.bases.numpy(), np.array([0]))[0])
    assert np.array_equal(*made), "ART aims its bullseye polytope now: art_attacks.py need not do it any more"


def test_hidden_triggers_come_nearer_to_triggered_images(art):
    given = plan("hidden-trigger", budget=1.0)
    poisons = ART_CRAFTS["hidden-trigger"](given)
    for network in given.networks:
        found, before, aims = (some.flatten(1) @ network.projection for some in (poisons, given.bases, given.aims))
        now, then = (torch.cdist(some, aims).amin(1).square().sum() for some in (found, before))
        assert now < then / 4


@pytest.mark.parametrize("method", ["gradient-matching", "sleeper-agent"])
def test_gradients_point_more_to_where_the_attacker_wants(method, art):
    given = plan(method, steps=40)

    def cosine(images: torch.Tensor) -> float:
        sides = []
        for some in (images, given.aims):
            found = [some.flatten(1) @ network.projection for network in given.networks]
            layers = [(net.output.weight.detach().clone(), net.output.bias.detach().clone()) for net in given.networks]
            leaves = [leaf.requires_grad_(True) for layer in layers for leaf in layer]
            logits = sum(F.linear(rows, *layer) for rows, layer in zip(found, layers, strict=True)) / 2
            loss = F.cross_entropy(logits, torch.zeros(len(some), dtype=torch.int64))
            sides.append(torch.cat([part.flatten() for part in torch.autograd.grad(loss, leaves)]))
        return F.cosine_similarity(*sides, dim=0).item()

    before, after = cosine(given.start()), cosine(ART_CRAFTS[method](given))
    assert 1 - after < (1 - before) / 2


def test_images_made_hard_are_taken_for_another_class_more_often(art):
    given = plan("clean-label-backdoor")
    poisons = ART_CRAFTS["clean-label-backdoor"](given)
    before, after = (
        sum(network(images) for network in given.networks).softmax(1)[:, 0].log() for images in (given.bases, poisons)
    )
    assert (after < before - 0.1).all()


def test_an_absent_library_is_told_with_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "art", None)
    with pytest.raises(PoisonError, match="needs the adversarial-robustness-toolbox: `pip install adversarial-robust"):
        ART_CRAFTS["sleeper-agent"](small("sleeper-agent"))


def test_what_the_config_offers_is_what_there_is():
    assert [name for name, method in METHODS.items() if method.art] == list(ART_CRAFTS)


@pytest.mark.parametrize("preset", ["digits", "digits-39-convex-polytope"])
def test_a_method_that_art_has_not_is_refused(preset):
    method = PRESETS[preset].attack.method
    with pytest.raises(ConfigError, match=f"library art has no method {method}; it has feature-collision, bullseye"):
        override(PRESETS[preset], {"attack.library": "art"})
