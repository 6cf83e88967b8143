"""A run's images: the poisoned training set and its clean and triggered test inputs, from the config alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from certssb_core.data.datasets import Dataset, load
from certssb_core.data.poisoning import Poisoned, attacked_label, counts_for_attack, poison
from certssb_core.data.triggers import apply_trigger
from certssb_core.experiment.config import AttackConfig, RunConfig

SETS = ("clean", "triggered")
"""The test inputs that are certified, in the order of all files of a run."""


@dataclass(frozen=True, eq=False)
class Inputs:
    """What the pipeline starts from.

    Attributes:
        dataset: the clean data.
        poisoned: the poisoned training set.
        triggered: ``(n_test, C, H, W)`` float32, every test image with the trigger on it.
        attacked: ``(n_test,)`` int64, what the attacker wants predicted for it.
        counts: ``(n_test,)`` bool, whether it counts when the attack is measured (METHOD §1).
    """

    dataset: Dataset
    poisoned: Poisoned
    triggered: np.ndarray
    attacked: np.ndarray
    counts: np.ndarray

    def test_images(self, which: str) -> np.ndarray:
        """The inputs of one of :data:`SETS`, ``(n_test, C, H, W)``."""
        return self.dataset.test_images if which == "clean" else self.triggered


def trigger_settings(attack: AttackConfig) -> dict:
    """The keyword arguments of :func:`apply_trigger` that a config's attack stands for."""
    return attack.model_dump(include={"trigger", "norm", "patch_size", "patch_value", "pattern_seed"})


def load_inputs(config: RunConfig, *, download: bool = False) -> Inputs:
    """Load, poison and trigger; a pure function of the config and the files of the dataset.

    Raises:
        DataError: the data is missing or damaged.
        PoisonError: the attack is impossible on this data.
    """
    attack, seed = config.attack, config.seed
    dataset = load(**config.data.model_dump(), seed=seed, download=download)
    classes = len(dataset.classes)
    trigger = trigger_settings(attack)
    poisoned = poison(
        dataset.train_images,
        dataset.train_labels,
        classes=classes,
        rate=attack.rate,
        label_mode=attack.label_mode,
        target=attack.target,
        seed=seed,
        **trigger,
    )
    aim = {"label_mode": attack.label_mode, "target": attack.target}
    return Inputs(
        dataset=dataset,
        poisoned=poisoned,
        triggered=apply_trigger(dataset.test_images, **trigger),
        attacked=attacked_label(dataset.test_labels, classes=classes, **aim),
        counts=counts_for_attack(dataset.test_labels, **aim),
    )
