"""The clean-label attacks of the adversarial-robustness-toolbox (ART), within the budget that ours have.

Notes:
    - ART attacks one network: it is given the surrogates as one, their features side by side, their logits averaged.
    - Four of ART's attacks bound single pixels. In the largest box inside the L2 ball its sleeper agent took 7 of 36
      digits, in one three times as wide 27: so the box is that wide (`BOX`), and what is found in it is cut to the
      ball. The cut alone keeps the budget, of all six.
    - Poisons for a victim start with it blended in, as ours do. ART's feature collision would add the victim after its
      search, which undoes the search.
    - ART's bullseye polytope (1.20.1) aims at the features of the images it starts from and never reads its target;
      it is given the victim's features in their place.
    - ART's steps are shorter than ours, so most searches have a multiple of the plan's steps. Rates go with the square
      of the budget: the losses have no unit, so a step in pixels is a rate over a distance.
    - ART's clean-label backdoor draws the images it changes with replacement; its search is asked for all of them.
    - ART's sleeper agent pastes a patch of its own, which is left out: the images it aims at carry the trigger.
    - Importing ART writes ``.art/config.json`` into the home folder.
"""

from __future__ import annotations

import copy
import io
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from functools import wraps
from types import ModuleType
from typing import Any
from unittest import mock

import numpy as np
import torch
from torch import nn

from certssb_core.attacks.clean_label import STRIDES, Plan, features, last_layer, within
from certssb_core.errors import PoisonError
from certssb_core.smoothing.seeds import torch_seed

BOX = 3.0
"""Bound of a pixel's change, in units of the largest box inside the ball; half of it where a victim blended in has
used up a part of the budget."""

Attack = Callable[[Plan, ModuleType], np.ndarray]


def library() -> ModuleType:
    """The package ``art`` with what is used of it.

    Raises:
        PoisonError: it is not installed.
    """
    try:
        with _silent():
            import art.attacks.poisoning
            import art.estimators.classification
    except ImportError:
        raise PoisonError(
            "attack.library art needs the adversarial-robustness-toolbox: `pip install adversarial-robustness-toolbox`"
        ) from None
    return art


def _crafted(attack: Attack) -> Callable[[Plan], torch.Tensor]:
    """``attack`` as a pure function of the plan, its poisons cut to the budget."""

    @wraps(attack)
    def craft(plan: Plan) -> torch.Tensor:
        art = library()
        with _silent(), _random_state(torch_seed(plan.seed, "attacks of art")), _here(plan.bases.device):
            made = attack(plan, art)
        return within(torch.from_numpy(made).to(plan.bases), plan)

    return craft


@_crafted
def feature_collision(plan: Plan, art: ModuleType) -> np.ndarray:
    """Each poison looks like its victim to the last hidden layer (1804.00792)."""
    classifier, poisons, group = _classifier(plan, art), _array(plan.start()), _array(plan.group)
    width = sum(last_layer(network).in_features for network in plan.networks)
    for victim in np.unique(group):
        attack = art.attacks.poisoning.FeatureCollisionAttack(
            classifier,
            _array(plan.aims[[victim]]),
            "features",
            learning_rate=0.05 * plan.budget**2,
            similarity_coeff=0.6 / plan.budget**2 * (poisons[0].size / width) ** 2,  # ART multiplies by the inverse
            max_iter=plan.steps,
            verbose=False,
        )
        poisons[group == victim] = attack.poison(poisons[group == victim])[0]
    return poisons


@_crafted
def bullseye_polytope(plan: Plan, art: ModuleType) -> np.ndarray:
    """The mean of a victim's poisons lies where the victim does (2005.00191)."""

    class Aimed(art.estimators.classification.PyTorchClassifier):
        """Answers with the features of ``victim`` where the attack asks for those of the images it starts from, and
        with one block of features, over whose rows the attack takes the mean."""

        victim: torch.Tensor

        def get_activations(self, x: Any, *args: Any, **kwargs: Any) -> Any:
            if isinstance(x, np.ndarray):
                return self.model.features(self.victim).cpu()
            return [self.model.features(x).cpu()]  # the attack sums on the CPU

    classifier, poisons, group = _classifier(plan, art, Aimed), _array(plan.start()), _array(plan.group)
    for victim in np.unique(group):
        classifier.victim = plan.aims[[victim]]
        attack = art.attacks.poisoning.BullseyePolytopeAttackPyTorch(
            classifier,
            _array(classifier.victim),
            "features",
            opt="sgd",  # Adam moves every pixel alike, which costs the most budget
            learning_rate=0.0014 * plan.budget**2 * (group == victim).sum().item(),
            max_iter=3 * plan.steps,
            epsilon=_pixel_bound(plan),
            verbose=False,
        )
        poisons[group == victim] = attack.poison(poisons[group == victim], np.array(plan.target))[0]
    return poisons


@_crafted
def gradient_matching(plan: Plan, art: ModuleType) -> np.ndarray:
    """Training on the poisons moves weights as training on the mislabelled victims would (2009.02276)."""
    attack = art.attacks.poisoning.GradientMatchingAttack(_classifier(plan, art), **_matching(plan))
    goal, kept = (np.full(len(images), plan.target) for images in (plan.aims, plan.bases))
    return attack.poison(_array(plan.aims), goal, _array(plan.start()), kept)[0]


@_crafted
def sleeper_agent(plan: Plan, art: ModuleType) -> np.ndarray:
    """The same for images with the trigger (2106.08970), without training the surrogates again."""

    class Triggered(art.attacks.poisoning.SleeperAgentAttack):
        def _apply_trigger_patch(self, x_trigger: np.ndarray) -> np.ndarray:
            return x_trigger

    attack = Triggered(
        _classifier(plan, art),
        patch=np.zeros(1, dtype=np.float32),
        indices_target=np.arange(len(plan.bases)),
        class_target=plan.target,
        device_name=str(plan.bases.device),
        **_matching(plan),
    )
    goal, kept = (_one_hot(plan, plan.target, len(images)) for images in (plan.aims, plan.bases))
    return attack.poison(_array(plan.aims), goal, _array(plan.start()), kept, None, None)[0]


@_crafted
def hidden_trigger(plan: Plan, art: ModuleType) -> np.ndarray:
    """Each poison looks like a triggered image to the last hidden layer, no two like the same (1910.00033)."""
    count = len(plan.bases)
    aims = _array(plan.aims)[np.arange(max(count, len(plan.aims))) % len(plan.aims)]  # at least one for each poison
    other = (plan.target + 1) % last_layer(plan.networks[0]).out_features
    wanted, source = _one_hot(plan, plan.target, count), _one_hot(plan, other, len(aims))
    attack = art.attacks.poisoning.HiddenTriggerBackdoorPyTorch(
        _classifier(plan, art),
        target=wanted[0],
        source=source[0],
        feature_layer="features",
        backdoor=_no_backdoor(art),
        eps=_pixel_bound(plan),
        learning_rate=0.075 * plan.budget**2,
        stopping_threshold=0.0,
        max_iter=20 * plan.steps,
        batch_size=count,
        poison_percent=1.0,
        verbose=False,
    )
    poisons = _array(plan.start())
    made, rows = attack.poison(np.concatenate([poisons, aims]), np.concatenate([wanted, source]))
    poisons[rows] = made
    return poisons


@_crafted
def clean_label_backdoor(plan: Plan, art: ModuleType) -> np.ndarray:
    """Images that are hard to recognise as what they are, so that a trigger on them is learned instead (1912.02771)."""
    labels = _one_hot(plan, plan.target, len(plan.bases))
    attack = art.attacks.poisoning.PoisoningAttackCleanLabelBackdoor(
        _no_backdoor(art),
        _classifier(plan, art),
        labels[0],
        norm=2,
        eps=plan.budget,
        eps_step=plan.budget / STRIDES,
        max_iter=plan.steps,
    )
    return attack.attack.generate(_array(plan.start()), labels)


ART_CRAFTS: dict[str, Callable[[Plan], torch.Tensor]] = {
    "feature-collision": feature_collision,
    "bullseye-polytope": bullseye_polytope,
    "gradient-matching": gradient_matching,
    "sleeper-agent": sleeper_agent,
    "hidden-trigger": hidden_trigger,
    "clean-label-backdoor": clean_label_backdoor,
}
"""As :data:`certssb_core.attacks.clean_label.CRAFTS`, where ART has the attack."""


class _Features(nn.Module):
    """What the last layers of all networks are given, side by side ``(n, d)``, each in units of the aims' mean norm."""

    def __init__(self, networks: list[nn.Module], aims: torch.Tensor) -> None:
        super().__init__()
        self.networks = nn.ModuleList(networks)
        with torch.no_grad():
            self.units = [features(network, aims).norm(dim=1).mean().clamp_min(1e-6).item() for network in networks]

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        parts = zip(self.networks, self.units, strict=True)
        return torch.cat([features(network, images) / unit for network, unit in parts], dim=1)


class _Logits(nn.Module):
    """The networks' mean logits, from :class:`_Features`."""

    def __init__(self, given: _Features) -> None:
        super().__init__()
        self.layers = nn.ModuleList(last_layer(network) for network in given.networks)
        self.units = given.units

    def forward(self, found: torch.Tensor) -> torch.Tensor:
        parts = found.split([layer.in_features for layer in self.layers], dim=1)
        each = zip(self.layers, parts, self.units, strict=True)
        return torch.stack([layer(part * unit) for layer, part, unit in each]).mean(0)


def _classifier(plan: Plan, art: ModuleType, kind: type | None = None) -> Any:
    """The surrogates as one of ART's classifiers with a layer ``features``; copies, as ART asks for their gradients."""
    found = _Features([copy.deepcopy(network).requires_grad_(True) for network in plan.networks], plan.aims)
    return (kind or art.estimators.classification.PyTorchClassifier)(
        model=nn.Sequential(OrderedDict(features=found, logits=_Logits(found))).eval(),
        loss=nn.CrossEntropyLoss(),
        input_shape=tuple(plan.bases.shape[1:]),
        nb_classes=last_layer(plan.networks[0]).out_features,
        clip_values=(0.0, 1.0),
        preprocessing=(0.0, 1.0),  # changes nothing; the sleeper agent refuses a classifier without
        device_type="gpu" if plan.bases.is_cuda else "cpu",
    )


def _matching(plan: Plan) -> dict[str, Any]:
    """The settings of both attacks that match gradients."""
    epochs = 2 * plan.steps
    return {
        "percent_poison": 1.0,
        "epsilon": _pixel_bound(plan),
        "max_trials": 1,
        "max_epochs": epochs,
        "learning_rate_schedule": ([1e-1, 1e-2, 1e-3, 1e-4], [int(part * epochs) for part in (0.4, 0.6, 0.8, 0.88)]),
        "batch_size": len(plan.bases),
        "verbose": 0,
    }


def _no_backdoor(art: ModuleType) -> Any:
    """The trigger is on the aims already, or stamped on later."""
    return art.attacks.poisoning.PoisoningAttackBackdoor(lambda images: images)


def _pixel_bound(plan: Plan) -> float:
    return BOX / (2 if plan.victims else 1) * plan.budget / plan.bases[0].numel() ** 0.5


def _array(images: torch.Tensor) -> np.ndarray:
    return images.detach().cpu().numpy().copy()


def _one_hot(plan: Plan, label: int, count: int) -> np.ndarray:
    return np.eye(last_layer(plan.networks[0]).out_features, dtype=np.float32)[np.full(count, label)]


@contextmanager
def _silent() -> Iterator[None]:
    """Some of ART's reports and bars cannot be turned off."""
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        yield


@contextmanager
def _random_state(seed: int) -> Iterator[None]:
    """ART draws from the global generators: they are seeded, and left as they were."""
    before = np.random.get_state()  # noqa: NPY002
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        np.random.seed(seed)  # noqa: NPY002
        try:
            yield
        finally:
            np.random.set_state(before)  # noqa: NPY002


@contextmanager
def _here(device: torch.device) -> Iterator[None]:
    """Gradient matching goes to a GPU wherever there is one, and starts a process for every pass over the poisons,
    which fails where processes are not forked: it is kept on ``device``, and in this process."""
    loader = torch.utils.data.DataLoader

    def alone(*args: Any, **kwargs: Any) -> Any:
        return loader(*args, **(kwargs | {"num_workers": 0}))

    with (
        mock.patch.object(torch.cuda, "is_available", return_value=device.type == "cuda"),
        mock.patch.object(torch.utils.data, "DataLoader", alone),
    ):
        yield
