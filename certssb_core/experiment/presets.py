"""Presets: named instances of the config, each with the published setting where there is one."""

from __future__ import annotations

from certssb_core.experiment.config import (
    AttackConfig,
    DataConfig,
    NoiseConfig,
    RunConfig,
    TrainingConfig,
)

_MNIST_01 = DataConfig(name="mnist", classes=("0", "1"))
_MNIST_NOISE = NoiseConfig(sigma=0.5, sigma_min=0.25, sigma_max=1.0)
_MNIST_TRAINING = TrainingConfig(members=1000, epochs=1, single_epochs=10)


_DIGITS_ATTACK = AttackConfig(trigger="four-pixel", rate=0.05)
_DIGITS_NOISE = NoiseConfig(sigma=0.3, sigma_min=0.1, sigma_max=0.5)


def _mnist_01(trigger: str) -> RunConfig:
    return RunConfig(
        title=f"MNIST 0/1, {trigger}, norm 1.0, 2 % poisoned, 1,000 members (the published setting)",
        data=_MNIST_01,
        attack=AttackConfig(trigger=trigger),
        noise=_MNIST_NOISE,
        training=_MNIST_TRAINING,
    )


PRESETS: dict[str, RunConfig] = {
    "digits": RunConfig(
        title="Handwritten digits 8×8, ten classes, four-pixel backdoor, 200 members",
        attack=_DIGITS_ATTACK,
        noise=_DIGITS_NOISE,
        training=TrainingConfig(members=200, epochs=12, single_epochs=80, batch_size=128, learning_rate=6e-3),
    ),
    "digits-quick": RunConfig(
        title="Handwritten digits 8×8, three classes, 30 members: a first look in seconds",
        data=DataConfig(classes=("0", "1", "2")),
        attack=_DIGITS_ATTACK,
        noise=_DIGITS_NOISE.model_copy(update={"paths": 16}),
        training=TrainingConfig(members=30, epochs=12, single_epochs=25, batch_size=64, learning_rate=6e-3),
    ),
    "mnist-01-onepixel": _mnist_01("one-pixel"),
    "mnist-01-fourpixel": _mnist_01("four-pixel"),
    "mnist-01-blended": _mnist_01("blended"),
    "mnist-10": RunConfig(
        title="MNIST, all ten classes, one-pixel, norm 1.0, 2 % poisoned, 200 members",
        data=DataConfig(name="mnist"),
        noise=_MNIST_NOISE,
        training=TrainingConfig(members=200, epochs=2, single_epochs=5),
    ),
    "cifar10-airplane-bird-onepixel": RunConfig(
        title="CIFAR-10 airplane/bird, one-pixel, norm 1.0, 2 % poisoned, 1,000 members (the published setting)",
        data=DataConfig(name="cifar10", classes=("airplane", "bird")),
        noise=NoiseConfig(sigma=0.25, sigma_max=1.0),
        training=TrainingConfig(members=1000, epochs=20, single_epochs=30, batch_size=128),
    ),
    "imagenette-pair-onepixel": RunConfig(
        title="ImageNette tench/English springer at 224 px, one-pixel, norm 1.0, 2 % poisoned",
        data=DataConfig(name="imagenette", classes=("tench", "English springer"), size=224),
        noise=NoiseConfig(sigma=0.25, sigma_max=1.0),
        training=TrainingConfig(members=1000, epochs=20, single_epochs=30, batch_size=64, learning_rate=1e-3),
    ),
}

DEFAULT_PRESET = "digits"
