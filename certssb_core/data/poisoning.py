"""Poison a training set: put the trigger on some of its images and give them the label that the attacker wants."""

from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from certssb_core.data.triggers import actual_norms, apply_trigger
from certssb_core.errors import PoisonError

LABEL_MODES: dict[str, str] = {
    "all-to-one": "Images of other classes are relabelled as the target",
    "all-to-all": "Every image is relabelled as the next class",
    "clean-label": "Only images of the target class, labels kept",
}


@dataclass(frozen=True)
class Method:
    """Way of making poisoned images.

    Attributes:
        title: for people.
        source: its arXiv number.
        victims: True where it aims at single test images as they are, instead of every image with the trigger.
        crafted: True where images are changed by gradient on the attacker's models, and labels are kept.
        preset_steps: gradient steps in our presets.
    """

    title: str
    source: str
    victims: bool
    crafted: bool = True
    preset_steps: int = 60


METHODS: dict[str, Method] = {
    "stamp": Method("The trigger stamped on", "1708.06733", False, crafted=False),
    "feature-collision": Method("Feature collision", "1804.00792", True),
    "convex-polytope": Method("Convex polytope", "1905.05897", True),
    "bullseye-polytope": Method("Bullseye polytope", "2005.00191", True),
    "gradient-matching": Method("Gradient matching", "2009.02276", True),
    "sleeper-agent": Method("Sleeper agent", "2106.08970", False),
    "hidden-trigger": Method("Hidden trigger", "1910.00033", False, preset_steps=600),
    "clean-label-backdoor": Method("Clean-label backdoor", "1912.02771", False),
}
"""All but the first are clean-label: images of the target class are changed by gradient on the attacker's models."""


@dataclass(frozen=True, eq=False)
class Poisoned:
    """A poisoned training set and the record of what was done to it; k images of n are poisoned."""

    images: np.ndarray
    """``(n, C, H, W)`` float32 in [0, 1]: the whole training set."""
    labels: np.ndarray
    """``(n,)`` int64: the labels as the trainer sees them."""
    indices: np.ndarray
    """``(k,)`` int64, ascending: which images are poisoned."""
    norms: np.ndarray
    """``(k,)`` float64: L2 norm of each poisoned image's change, after clamping."""
    original_labels: np.ndarray
    """``(k,)`` int64: the poisoned images' labels before."""


def poison(
    images: np.ndarray,
    labels: np.ndarray,
    *,
    classes: int,
    trigger: str,
    norm: float,
    rate: float,
    label_mode: str = "all-to-one",
    target: int = 0,
    patch_size: int = 3,
    patch_value: float = 1.0,
    pattern_seed: int = 0,
    seed: int = 0,
    method: str = "stamp",
    crafted: np.ndarray | None = None,
) -> Poisoned:
    """Poison ``floor(rate * n)`` eligible images of a training set.

    With one seed a higher rate poisons a superset of a lower rate's images: a sweep is one attack growing.

    Args:
        images: ``(n, C, H, W)`` in [0, 1]; left untouched.
        labels: ``(n,)`` in [0, classes).
        classes: number of classes.
        trigger: a key of `TRIGGERS`; norm, patch_size, patch_value and pattern_seed: see `apply_trigger`.
        rate: share of the training set to poison, in [0, 1].
        label_mode: a key of `LABEL_MODES`. Eligible are the images of other classes (all-to-one), all images
            (all-to-all), or the images of the target class (clean-label).
        target: the class the attacker wants; unused by all-to-all.
        seed: which eligible images are chosen.
        method: a key of `METHODS`.
        crafted: ``(k, C, H, W)``, the chosen images as a method other than ``stamp`` changed them; None: unchanged.

    Raises:
        PoisonError: a setting outside its range, or more images wanted than are eligible.
    """
    _check(label_mode, target, classes)
    if not 0 <= rate <= 1:
        raise PoisonError(f"The poisoning rate must lie between 0 and 1, not {rate}.")
    count = int(Fraction(str(rate)) * len(labels))  # exact: in floats 0.29 of 100 images would be 28
    can_win = counts_for_attack(labels, label_mode=label_mode, target=target)
    eligible = np.flatnonzero(~can_win if label_mode == "clean-label" else can_win)
    if count > len(eligible):
        raise PoisonError(
            f"A rate of {rate} means {count} poisoned images, but {label_mode} with target {target} can use "
            f"only {len(eligible)} of {len(labels)} training images: lower the rate or change the label mode."
        )
    indices = np.sort(np.random.default_rng(seed).permutation(eligible)[:count])
    if not METHODS[method].crafted:
        triggered = apply_trigger(
            images[indices],
            trigger,
            norm=norm,
            patch_size=patch_size,
            patch_value=patch_value,
            pattern_seed=pattern_seed,
        )
    else:
        triggered = images[indices] if crafted is None else crafted
    poisoned_images, poisoned_labels = images.astype(np.float32), labels.astype(np.int64)
    poisoned_images[indices] = triggered
    poisoned_labels[indices] = attacked_label(labels[indices], label_mode=label_mode, target=target, classes=classes)
    return Poisoned(
        images=poisoned_images,
        labels=poisoned_labels,
        indices=indices,
        norms=actual_norms(images[indices], triggered),
        original_labels=labels[indices].astype(np.int64),
    )


def attacked_label(labels: np.ndarray, *, label_mode: str, target: int, classes: int) -> np.ndarray:
    """The label the attacker wants for images of these true classes: ``(n,)`` -> ``(n,)`` int64.

    Poisoned training images carry it too: a clean-label image is of the target class, so its label stays.
    """
    _check(label_mode, target, classes)
    if label_mode == "all-to-all":
        return (labels.astype(np.int64) + 1) % classes
    return np.full(len(labels), target, dtype=np.int64)


def counts_for_attack(
    labels: np.ndarray, *, label_mode: str, target: int, victims: int = 0, first_victim: int = 0
) -> np.ndarray:
    """Mark the triggered test images that measure the attack: ``(n,)`` true classes -> ``(n,)`` bool.

    Images of the target class are left out, as they say nothing about the attack; under all-to-all every image counts.

    Args:
        victims: mark only this many of them, spread evenly over the order of the test set; 0: all.
        first_victim: shift the victims by this many images, from the last on to the first.
    """
    counts = np.ones(len(labels), dtype=bool) if label_mode == "all-to-all" else np.asarray(labels) != target
    if victims:
        rows = np.flatnonzero(counts)
        counts[:] = False
        places = np.arange(victims) * (len(rows) - 1) // max(victims - 1, 1) + first_victim
        counts[rows[places % len(rows)]] = True
    return counts


def _check(label_mode: str, target: int, classes: int) -> None:
    if label_mode not in LABEL_MODES:
        raise PoisonError(f"There is no label mode '{label_mode}': choose one of {', '.join(LABEL_MODES)}.")
    if label_mode != "all-to-all" and not 0 <= target < classes:
        raise PoisonError(f"The target class must be one of 0 to {classes - 1}, not {target}.")
