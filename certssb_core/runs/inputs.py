"""Load a run's images: the poisoned training set, and the clean and triggered test inputs."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from certssb_core.config.schema import AttackConfig, RunConfig
from certssb_core.data.datasets import Dataset, load
from certssb_core.data.poisoning import METHODS, Poisoned, attacked_label, counts_for_attack, poison
from certssb_core.data.triggers import actual_norms, apply_trigger
from certssb_core.runs import data_record
from certssb_core.runs.run import Run

SETS = ("clean", "triggered")
"""The test inputs that are certified, in the order of all files of a run."""


@dataclass(frozen=True, eq=False)
class Inputs:
    """Images and labels of a run, after the attack.

    Attributes:
        dataset: the clean data.
        poisoned: the poisoned training set.
        triggered: ``(n_test, C, H, W)`` float32, the test images with the trigger; unchanged under an attack that
            needs no trigger.
        attacked: ``(n_test,)`` int64, the predictions that the attacker wants.
        measures_attack: ``(n_test,)`` bool, the test images that count when the attack is measured (docs/method.md §1).
    """

    dataset: Dataset
    poisoned: Poisoned
    triggered: np.ndarray
    attacked: np.ndarray
    measures_attack: np.ndarray

    def test_images(self, which: str) -> np.ndarray:
        """The inputs of one of :data:`SETS`, ``(n_test, C, H, W)``."""
        return self.dataset.test_images if which == "clean" else self.triggered


def trigger_settings(attack: AttackConfig) -> dict:
    """Keyword arguments of :func:`apply_trigger` for a config's attack."""
    return attack.model_dump(include={"trigger", "norm", "patch_size", "patch_value", "pattern_seed"})


def crafted_images(run: Run) -> np.ndarray | None:
    """Read the images that a clean-label attack crafted, ``(k, C, H, W)``; None for other attacks, or before that."""
    if not run.config.attack.crafted or not (run.path / "poison.safetensors").exists():
        return None
    return run.arrays("poison").get("images")


def run_inputs(run: Run, *, crafted: np.ndarray | None = None, download: bool = False) -> Inputs:
    """Load a run's inputs, and see that they are the ones it was made from.

    Args:
        crafted: as :func:`load_inputs`; default: the images that the run's attack has crafted, if it has.

    Raises:
        DataError: the data is missing, damaged, or not the data that the run was made from.
        PoisonError: the attack is impossible on this data.
        RunError: a file of the run is damaged.
    """
    crafted = crafted_images(run) if crafted is None else crafted
    dataset = load_dataset(run.config, download=download)
    data_record.check(run, dataset)
    return attacked_inputs(run.config, dataset, crafted=crafted)


def load_inputs(config: RunConfig, *, crafted: np.ndarray | None = None, download: bool = False) -> Inputs:
    """Load a config's data and attack it; a pure function of the config, ``crafted`` and the dataset's files.

    Args:
        crafted: ``(k, C, H, W)`` the poisoned images of a clean-label attack; without them they are not poisoned yet.

    Raises:
        DataError: the data is missing or damaged.
        PoisonError: the attack is impossible on this data.
    """
    return attacked_inputs(config, load_dataset(config, download=download), crafted=crafted)


def load_dataset(config: RunConfig, *, download: bool = False) -> Dataset:
    """Load a config's clean data; as binary features where the config wants them.

    Raises:
        DataError: the data is missing or damaged.
    """
    dataset = load(**config.data.model_dump(exclude={"binary"}), seed=config.seed, download=download)
    if not config.data.binary:
        return dataset
    return replace(dataset, train_images=binarised(dataset.train_images), test_images=binarised(dataset.test_images))


def attacked_inputs(config: RunConfig, dataset: Dataset, *, crafted: np.ndarray | None = None) -> Inputs:
    """Poison the training images of ``dataset`` and set the trigger on its test images, as :func:`load_inputs`."""
    attack, seed = config.attack, config.seed
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
        method=attack.method,
        crafted=crafted,
        **trigger,
    )
    victims = METHODS[attack.method].victims
    triggered = dataset.test_images if victims else apply_trigger(dataset.test_images, **trigger)
    if config.data.binary:
        triggered, poisoned = binarised(triggered), _binarised(poisoned, dataset.train_images)
    return Inputs(
        dataset=dataset,
        poisoned=poisoned,
        triggered=triggered,
        attacked=attacked_label(
            dataset.test_labels, classes=classes, label_mode=attack.label_mode, target=attack.target
        ),
        measures_attack=counts_for_attack(dataset.test_labels, **attack.aim),
    )


def binarised(images: np.ndarray) -> np.ndarray:
    """Pixels as binary features: 1 from 1/2 on, else 0; float32."""
    return (images >= 0.5).astype(np.float32)


def _binarised(poisoned: Poisoned, images: np.ndarray) -> Poisoned:
    """The poisoned set in binary features; ``images`` are the clean ones."""
    features = binarised(poisoned.images)
    return replace(poisoned, images=features, norms=actual_norms(images[poisoned.indices], features[poisoned.indices]))
