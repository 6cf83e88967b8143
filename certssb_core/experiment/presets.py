"""Presets: named instances of the config, each with the published setting where there is one."""

from __future__ import annotations

from certssb_core.data.poisoning import METHODS
from certssb_core.experiment.config import (
    AttackConfig,
    CertificationConfig,
    DataConfig,
    NoiseConfig,
    RunConfig,
    TrainingConfig,
)

_MNIST_01 = DataConfig(name="mnist", classes=("0", "1"))
_MNIST_NOISE = NoiseConfig(sigma=0.5, sigma_min=0.25, sigma_max=1.0, iterations=3)
_MNIST_TRAINING = TrainingConfig(members=1000, share=0.25, epochs=1, single_epochs=5, batch_size=32, learning_rate=4e-3)


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


_UNIFORM = {"train_map": "uniform", "test_map": "uniform"}
_COUNTS = (0.0, 1.0, 2.0, 4.0, 8.0, 16.0)


def _rab_mnist_01(trigger: str) -> RunConfig:
    return RunConfig(
        title=f"RAB: MNIST 0/1, {trigger}, norm 0.1, 2 % poisoned, uniform σ 1.0, 1,000 members (published setting)",
        data=_MNIST_01,
        attack=AttackConfig(trigger=trigger, norm=0.1),
        noise=NoiseConfig(sigma=1.0, **_UNIFORM),
        training=_MNIST_TRAINING,
    )


def _l0(title: str, data: DataConfig, attack: AttackConfig, members: int) -> RunConfig:
    return RunConfig(
        title=title,
        data=data.model_copy(update={"binary": True, "max_train": 100}),
        attack=attack,
        noise=NoiseConfig(law="flips", keep=0.8, **_UNIFORM),
        training=TrainingConfig(
            model="dense", members=members, epochs=20, single_epochs=40, batch_size=128, learning_rate=1e-2
        ),
        certification=CertificationConfig(certificate="l0", radii=_COUNTS),
    )


def _dpa(title: str, data: DataConfig, attack: AttackConfig, training: TrainingConfig) -> RunConfig:
    return RunConfig(
        title=title,
        data=data,
        attack=attack,
        noise=NoiseConfig(law="none", **_UNIFORM),
        training=training.model_copy(update={"sees": "partition", "share": 1.0}),
        certification=CertificationConfig(certificate="partition", radii=_COUNTS),
    )


def _denoise(title: str, data: DataConfig, attack: AttackConfig, training: TrainingConfig, sigma: float) -> RunConfig:
    return RunConfig(
        title=title,
        data=data,
        attack=attack,
        noise=NoiseConfig(law="gaussian-training", preprocessing="denoise", sigma=sigma, **_UNIFORM),
        training=training,
        certification=CertificationConfig(certificate="training-l2"),
    )


def _clean_label(
    method: str, name: str, data: DataConfig, *, rate: float, budget: float, sigma: float, training: TrainingConfig
) -> RunConfig:
    title = f"{METHODS[method].title}: {name}, {rate:.0%} of the training images changed by at most {budget:g}"
    attack = AttackConfig(
        trigger="four-pixel",
        norm=2.0,
        rate=rate,
        label_mode="clean-label",
        method=method,
        budget=budget,
        victims=4 if METHODS[method].victims else 0,
    )
    return _denoise(f"{title}, diffusion denoising", data, attack, training, sigma=sigma)


def _clean_label_digits(method: str) -> RunConfig:
    training = TrainingConfig(members=30, epochs=12, single_epochs=40, batch_size=64, learning_rate=6e-3)
    data = DataConfig(classes=("3", "9"))
    return _clean_label(method, "Handwritten digits 3/9", data, rate=0.1, budget=2.0, sigma=0.5, training=training)


def _clean_label_mnist(method: str) -> RunConfig:
    training = _MNIST_TRAINING.model_copy(update={"members": 30, "share": 1.0, "epochs": 2})
    data = DataConfig(name="mnist", classes=("4", "9"), max_train=2000, max_test=500)
    return _clean_label(method, "MNIST 4/9, 2,000 images", data, rate=0.1, budget=6.0, sigma=1.0, training=training)


_DIGITS_01 = DataConfig(classes=("0", "1"))
_DIGITS_01_ATTACK = AttackConfig(trigger="four-pixel", norm=2.0, rate=0.05)
_DIGITS_01_TRAINING = TrainingConfig(members=300, epochs=12, single_epochs=40, batch_size=64, learning_rate=6e-3)
_DIGITS_01_TITLE = "Handwritten digits 0/1, four-pixel, norm 2, 5 % poisoned"

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
    "digits-01-cert-ssbd": RunConfig(
        title=f"Cert-SSBD: {_DIGITS_01_TITLE}, sample-specific σ*",
        data=_DIGITS_01,
        attack=_DIGITS_01_ATTACK,
        noise=NoiseConfig(sigma=0.5, sigma_min=0.2, sigma_max=1.0),
        training=_DIGITS_01_TRAINING,
    ),
    "digits-01-rab": RunConfig(
        title=f"RAB: {_DIGITS_01_TITLE}, uniform σ 0.5",
        data=_DIGITS_01,
        attack=_DIGITS_01_ATTACK,
        noise=NoiseConfig(sigma=0.5, **_UNIFORM),
        training=_DIGITS_01_TRAINING,
    ),
    "digits-01-l0": _l0(
        f"Feature flips: {_DIGITS_01_TITLE}, binary, 100 images, β 0.8, 2,000 members",
        _DIGITS_01,
        _DIGITS_01_ATTACK,
        members=2000,
    ),
    "digits-01-dpa": _dpa(
        f"DPA: {_DIGITS_01_TITLE}, 50 partitions",
        _DIGITS_01,
        _DIGITS_01_ATTACK,
        _DIGITS_01_TRAINING.model_copy(update={"members": 50, "epochs": 30}),
    ),
    "digits-01-denoise": _denoise(
        f"Diffusion denoising: {_DIGITS_01_TITLE}, σ 0.5, test input clean",
        _DIGITS_01,
        _DIGITS_01_ATTACK,
        _DIGITS_01_TRAINING,
        sigma=0.5,
    ),
    **{f"digits-39-{method}": _clean_label_digits(method) for method in METHODS if method != "stamp"},
    **{f"mnist-49-{method}": _clean_label_mnist(method) for method in METHODS if method != "stamp"},
    "rab-mnist-01-onepixel": _rab_mnist_01("one-pixel"),
    "rab-mnist-01-fourpixel": _rab_mnist_01("four-pixel"),
    "rab-mnist-01-blended": _rab_mnist_01("blended"),
    "l0-mnist-01": _l0(
        "Feature flips: MNIST 0/1, binary, 100 images, four-pixel, norm 2, 5 % poisoned, β 0.8, 2,000 members",
        _MNIST_01,
        _DIGITS_01_ATTACK,
        members=2000,
    ),
    "dpa-mnist-01": _dpa(
        "DPA: MNIST 0/1, one-pixel, norm 1.0, 2 % poisoned, 1,000 partitions",
        _MNIST_01,
        AttackConfig(),
        _MNIST_TRAINING.model_copy(update={"epochs": 10, "batch_size": 16}),
    ),
    "denoise-mnist-01": _denoise(
        "Diffusion denoising: MNIST 0/1, 2,000 images, one-pixel, norm 1.0, 2 % poisoned, σ 0.5, 200 members",
        _MNIST_01.model_copy(update={"max_train": 2000}),
        AttackConfig(),
        _MNIST_TRAINING.model_copy(update={"members": 200, "share": 1.0}),
        sigma=0.5,
    ),
}

DEFAULT_PRESET = "digits"
