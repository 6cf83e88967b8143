"""Presets: named instances of the config, each with the published setting where there is one."""

from __future__ import annotations

from certssb_core.config.schema import (
    AttackConfig,
    CertificationConfig,
    DataConfig,
    NoiseConfig,
    RunConfig,
    TrainingConfig,
)
from certssb_core.data.poisoning import METHODS

_UNIFORM = {"train_map": "uniform", "test_map": "uniform"}
_PUBLISHED_TRIGGERS = ("one-pixel", "four-pixel", "blended")

_MNIST_01 = DataConfig(name="mnist", classes=("0", "1"))
_MNIST_10 = DataConfig(name="mnist")
_MNIST_NOISE = NoiseConfig(sigma=0.5, sigma_min=0.25, sigma_max=1.0, iterations=3)
_MNIST_01_NOISE = _MNIST_NOISE.model_copy(update={"candidates": 4, "iterations": 0, "draws": 24})
_MNIST_TRAINING = TrainingConfig(members=1000, share=0.25, epochs=1, single_epochs=5, batch_size=32, learning_rate=4e-3)

_CIFAR10_PAIR = DataConfig(name="cifar10", classes=("airplane", "bird"))
_CIFAR10_TRAINING = TrainingConfig(members=1000, epochs=10, single_epochs=30, batch_size=64, learning_rate=1e-3)
_IMAGENETTE_PAIR = DataConfig(name="imagenette", classes=("tench", "English springer"), size=224)
_IMAGENETTE_TRAINING = _CIFAR10_TRAINING.model_copy(update={"epochs": 20})
_RIDGE_TRAINING = TrainingConfig(
    model="patch-ridge",
    undefended_model="strided-cnn",
    members=1000,
    single_epochs=20,
    batch_size=64,
    storage="float32",
)

_PHOTOGRAPHS = DataConfig(name="photographs")
_PHOTOGRAPHS_ATTACK = AttackConfig(trigger="four-pixel", rate=0.05)
_PHOTOGRAPHS_TRAINING = _RIDGE_TRAINING.model_copy(update={"members": 300, "storage": "bfloat16"})
_PHOTOGRAPHS_TITLE = "Photographs 32×32, airplanes and birds, four-pixel, norm 1.0, 5 % poisoned"

_DIGITS_ATTACK = AttackConfig(trigger="four-pixel", rate=0.05)
_DIGITS_NOISE = NoiseConfig(sigma=0.3, sigma_min=0.1, sigma_max=0.5)

_DIGITS_FEW_ATTACK = AttackConfig(trigger="four-pixel", norm=2.0, rate=0.015)
_DIGITS_FEW_TITLE = "Handwritten digits, ten classes, four-pixel, norm 2, 1.5 % poisoned"
_DIGITS_PARTS = TrainingConfig(
    model="dct-ridge", undefended_model="small-cnn", members=50, single_epochs=80, batch_size=128, learning_rate=6e-3
)

_DIGITS_01 = DataConfig(classes=("0", "1"))
_DIGITS_01_ATTACK = AttackConfig(trigger="four-pixel", norm=2.0, rate=0.05)
_DIGITS_01_TRAINING = TrainingConfig(members=300, epochs=12, single_epochs=40, batch_size=64, learning_rate=6e-3)
_DIGITS_01_TITLE = "Handwritten digits 0/1, four-pixel, norm 2, 5 % poisoned"
_MNIST_PATCH = AttackConfig(trigger="patch", patch_size=5, norm=5.0)

_PAIRS = {
    "mnist-01": ("MNIST 0/1", _MNIST_01, _MNIST_TRAINING, 1.0),
    "cifar10-airplane-bird": ("CIFAR-10 airplane/bird", _CIFAR10_PAIR, _CIFAR10_TRAINING, 0.5),
    "imagenette-pair": ("ImageNette tench/English springer at 224 px", _IMAGENETTE_PAIR, _IMAGENETTE_TRAINING, 1.0),
}
"""The published pairs of classes: title, data, training, and σ of RAB."""


def _mnist_01(trigger: str) -> RunConfig:
    return RunConfig(
        title=f"MNIST 0/1, {trigger}, norm 1.0, 2 % poisoned, 1,000 members (the published setting)",
        data=_MNIST_01,
        attack=AttackConfig(trigger=trigger),
        noise=_MNIST_01_NOISE,
        training=_MNIST_TRAINING,
    )


def _cifar10_pair(trigger: str) -> RunConfig:
    return RunConfig(
        title=f"CIFAR-10 airplane/bird, {trigger}, norm 1.0, 2 % poisoned, 1,000 closed-form members",
        data=_CIFAR10_PAIR,
        attack=AttackConfig(trigger=trigger),
        noise=NoiseConfig(sigma=0.25, **_UNIFORM),
        training=_RIDGE_TRAINING,
        certification=CertificationConfig(bound="joint"),
    )


def _imagenette_pair(side: int) -> RunConfig:
    return RunConfig(
        title=f"ImageNette tench/English springer at {side} px, one-pixel, 2 % poisoned, 200 closed-form members",
        data=_IMAGENETTE_PAIR.model_copy(update={"size": side}),
        noise=NoiseConfig(sigma=0.5, **_UNIFORM),
        training=_RIDGE_TRAINING.model_copy(update={"members": 200}),
        certification=CertificationConfig(bound="joint"),
    )


_COUNTS = (0.0, 1.0, 2.0, 4.0, 8.0, 16.0)


def _rab(pair: str, trigger: str) -> RunConfig:
    title, data, training, sigma = _PAIRS[pair]
    return RunConfig(
        title=f"RAB: {title}, {trigger}, norm 0.1, 2 % poisoned, σ {sigma:g}, 1,000 members (published setting)",
        data=data,
        attack=AttackConfig(trigger=trigger, norm=0.1),
        noise=NoiseConfig(sigma=sigma, **_UNIFORM),
        training=training,
    )


def _l0(title: str, data: DataConfig, attack: AttackConfig, *, keep: float) -> RunConfig:
    return RunConfig(
        title=title,
        data=data.model_copy(update={"binary": True, "max_train": 100}),
        attack=attack,
        noise=NoiseConfig(law="flips", keep=keep, **_UNIFORM),
        training=TrainingConfig(
            model="linear", members=2000, epochs=10, single_epochs=150, batch_size=25, learning_rate=1e-2
        ),
        certification=CertificationConfig(certificate="l0", radii=_COUNTS),
    )


def _subset(
    title: str,
    data: DataConfig,
    attack: AttackConfig,
    *,
    images: int,
    members: int,
    network: str,
    model: str = "nearest-mean",
    sigma: float | None = None,
) -> RunConfig:
    """Members of a few images each; with test noise of level ``sigma``, or votes counted with their margins."""
    noise = {"law": "none"} if sigma is None else {"law": "gaussian-test", "sigma": sigma}
    return RunConfig(
        title=title,
        data=data,
        attack=attack,
        noise=NoiseConfig(**noise, **_UNIFORM),
        training=TrainingConfig(
            model=model,
            undefended_model=network,
            members=members,
            sees="subset",
            subset=images,
            single_epochs=5 if network == "mnist-cnn" else 60,
            batch_size=32,
            learning_rate=4e-3,
            shard_members=500,
        ),
        certification=CertificationConfig(certificate="subset-margin" if sigma is None else "subset", bound="joint"),
    )


def _dpa(
    title: str, data: DataConfig, attack: AttackConfig, training: TrainingConfig, *, certificate: str = "partition"
) -> RunConfig:
    return RunConfig(
        title=title,
        data=data,
        attack=attack,
        noise=NoiseConfig(law="none", **_UNIFORM),
        training=training.model_copy(update={"sees": "partition", "share": 1.0}),
        certification=CertificationConfig(certificate=certificate, radii=_COUNTS),
    )


def _pecan(title: str, data: DataConfig, attack: AttackConfig, *, parts: int, network: str) -> RunConfig:
    """Members of a part each, as those of :func:`_subset` in all else: their votes are counted with their margins."""
    subset = _subset(title, data, attack, images=1, members=parts, network=network)
    return subset.model_copy(
        update={
            "training": subset.training.model_copy(update={"sees": "partition", "subset": 12}),
            "certification": CertificationConfig(certificate="partition-margin"),
        }
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
    method: str,
    name: str,
    data: DataConfig,
    trigger: AttackConfig,
    *,
    budget: float,
    sigma: float,
    training: TrainingConfig,
) -> RunConfig:
    title = f"{METHODS[method].title}: {name}, 10 % of the training images changed by at most {budget:g}"
    attack = trigger.model_copy(
        update={"rate": 0.1, "label_mode": "clean-label", "method": method, "budget": budget}
        | {"victims": 4 if METHODS[method].victims else 0, "craft_steps": METHODS[method].preset_steps}
    )
    return _denoise(f"{title}, diffusion denoising", data, attack, training, sigma=sigma)


def _clean_label_digits(method: str) -> RunConfig:
    data = DataConfig(classes=("3", "9"))
    return _clean_label(
        method, "Handwritten digits 3/9", data, _DIGITS_01_ATTACK, budget=2.0, sigma=0.6, training=_DIGITS_01_TRAINING
    )


def _clean_label_mnist(method: str) -> RunConfig:
    training = _MNIST_TRAINING.model_copy(update={"members": 100, "share": 1.0, "epochs": 4})
    data, trigger = DataConfig(name="mnist", classes=("4", "9"), max_train=2000, max_test=500), _MNIST_PATCH
    return _clean_label(method, "MNIST 4/9, 2,000 images", data, trigger, budget=6.0, sigma=1.0, training=training)


PRESETS: dict[str, RunConfig] = {
    "digits": RunConfig(
        title="Handwritten digits 8×8, ten classes, four-pixel backdoor, 200 members",
        attack=_DIGITS_ATTACK,
        noise=_DIGITS_NOISE,
        training=TrainingConfig(members=200, epochs=12, single_epochs=80, batch_size=128, learning_rate=6e-3),
        certification=CertificationConfig(fixed_draws=2000),
    ),
    "digits-quick": RunConfig(
        title="Handwritten digits 8×8, three classes, 30 members: a first look in seconds",
        data=DataConfig(classes=("0", "1", "2")),
        attack=_DIGITS_ATTACK,
        noise=_DIGITS_NOISE.model_copy(update={"paths": 16}),
        training=TrainingConfig(members=30, epochs=12, single_epochs=25, batch_size=64, learning_rate=6e-3),
    ),
    "digits-rab": RunConfig(
        title=f"RAB: {_DIGITS_FEW_TITLE}, uniform σ 0.3",
        attack=_DIGITS_FEW_ATTACK,
        noise=NoiseConfig(sigma=0.3, **_UNIFORM),
        training=TrainingConfig(members=200, epochs=12, single_epochs=80, batch_size=128, learning_rate=6e-3),
    ),
    "digits-dpa": _dpa(f"DPA: {_DIGITS_FEW_TITLE}, 50 partitions", DataConfig(), _DIGITS_FEW_ATTACK, _DIGITS_PARTS),
    "digits-run-off": _dpa(
        f"Run-off election: {_DIGITS_FEW_TITLE}, 50 partitions",
        DataConfig(),
        _DIGITS_FEW_ATTACK,
        _DIGITS_PARTS,
        certificate="run-off",
    ),
    "digits-finite-aggregation": _dpa(
        f"Finite aggregation: {_DIGITS_FEW_TITLE}, 100 members, each image in 2",
        DataConfig(),
        _DIGITS_FEW_ATTACK,
        _DIGITS_PARTS.model_copy(update={"members": 100, "spread": 2}),
    ),
    "subset-digits": _subset(
        f"Subset: {_DIGITS_FEW_TITLE}, 1,000 members of 30 images each",
        DataConfig(),
        _DIGITS_FEW_ATTACK,
        images=30,
        members=1000,
        network="small-cnn",
    ),
    "digits-pecan": _pecan(
        f"Partitions with margins (PECAN): {_DIGITS_FEW_TITLE}, 150 partitions",
        DataConfig(),
        _DIGITS_FEW_ATTACK,
        parts=150,
        network="small-cnn",
    ),
    "photographs": RunConfig(
        title=f"{_PHOTOGRAPHS_TITLE}, 300 closed-form members",
        data=_PHOTOGRAPHS,
        attack=_PHOTOGRAPHS_ATTACK,
        noise=NoiseConfig(sigma=0.5, sigma_min=0.2, sigma_max=1.0, base_map="spread"),
        training=_PHOTOGRAPHS_TRAINING,
        certification=CertificationConfig(bound="joint"),
    ),
    "photographs-rab": RunConfig(
        title=f"RAB: {_PHOTOGRAPHS_TITLE}, uniform σ 0.5",
        data=_PHOTOGRAPHS,
        attack=_PHOTOGRAPHS_ATTACK,
        noise=NoiseConfig(sigma=0.5, **_UNIFORM),
        training=_PHOTOGRAPHS_TRAINING,
        certification=CertificationConfig(bound="joint"),
    ),
    "photographs-l0": _l0(
        f"Feature flips: {_PHOTOGRAPHS_TITLE}, binary, 100 images, β 0.9, 2,000 members",
        _PHOTOGRAPHS,
        _PHOTOGRAPHS_ATTACK,
        keep=0.9,
    ),
    "photographs-dpa": _dpa(
        f"DPA: {_PHOTOGRAPHS_TITLE}, 100 partitions",
        _PHOTOGRAPHS,
        _PHOTOGRAPHS_ATTACK,
        _PHOTOGRAPHS_TRAINING.model_copy(update={"members": 100}),
    ),
    "photographs-denoise": _denoise(
        f"Diffusion denoising: {_PHOTOGRAPHS_TITLE}, σ 0.5, test input clean",
        _PHOTOGRAPHS,
        _PHOTOGRAPHS_ATTACK,
        _PHOTOGRAPHS_TRAINING,
        sigma=0.5,
    ),
    "subset-photographs": _subset(
        f"Subset: {_PHOTOGRAPHS_TITLE}, 1,000 members of 6 images each",
        _PHOTOGRAPHS,
        _PHOTOGRAPHS_ATTACK,
        images=6,
        members=1000,
        network="strided-cnn",
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
    **{f"cifar10-airplane-bird-{trigger.replace('-', '')}": _cifar10_pair(trigger) for trigger in _PUBLISHED_TRIGGERS},
    "cifar10-10": RunConfig(
        title="CIFAR-10, all ten classes, one-pixel, norm 1.0, 2 % poisoned, 200 closed-form members",
        data=DataConfig(name="cifar10"),
        noise=NoiseConfig(sigma=0.25, **_UNIFORM),
        training=_RIDGE_TRAINING.model_copy(update={"members": 200, "batch_size": 128}),
        certification=CertificationConfig(bound="joint"),
    ),
    **{f"imagenette-pair{'' if side == 64 else f'-{side}'}": _imagenette_pair(side) for side in (64, 128)},
    "published-cifar10-airplane-bird-onepixel": RunConfig(
        title="GPU: CIFAR-10 airplane/bird, one-pixel, norm 1.0, 2 % poisoned, 1,000 members as published",
        data=_CIFAR10_PAIR,
        noise=NoiseConfig(sigma=0.25, sigma_max=1.0),
        training=_CIFAR10_TRAINING,
    ),
    "published-imagenette-pair-onepixel": RunConfig(
        title="GPU: ImageNette tench/English springer at 224 px, one-pixel, norm 1.0, 2 % poisoned, as published",
        data=_IMAGENETTE_PAIR,
        noise=NoiseConfig(sigma=0.25, sigma_max=1.0),
        training=_IMAGENETTE_TRAINING,
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
        f"Feature flips: {_DIGITS_01_TITLE}, binary, 100 images, β 0.9, 2,000 members",
        _DIGITS_01,
        _DIGITS_01_ATTACK,
        keep=0.9,
    ),
    "digits-01-dpa": _dpa(
        f"DPA: {_DIGITS_01_TITLE}, 50 partitions",
        _DIGITS_01,
        _DIGITS_01_ATTACK,
        _DIGITS_01_TRAINING.model_copy(update={"members": 50, "epochs": 30}),
    ),
    "digits-01-finite-aggregation": _dpa(
        f"Finite aggregation: {_DIGITS_01_TITLE}, 100 members, each image in 2",
        _DIGITS_01,
        _DIGITS_01_ATTACK,
        _DIGITS_01_TRAINING.model_copy(update={"members": 100, "spread": 2, "epochs": 30}),
    ),
    "digits-01-pecan": _pecan(
        f"Partitions with margins (PECAN): {_DIGITS_01_TITLE}, 96 partitions",
        _DIGITS_01,
        _DIGITS_01_ATTACK,
        parts=96,
        network="small-cnn",
    ),
    "digits-01-denoise": _denoise(
        f"Diffusion denoising: {_DIGITS_01_TITLE}, σ 0.5, test input clean",
        _DIGITS_01,
        _DIGITS_01_ATTACK,
        _DIGITS_01_TRAINING,
        sigma=0.5,
    ),
    "subset-digits-01": _subset(
        "Subset: handwritten digits 0/1, one-pixel, norm 0.5, 4 % poisoned, 1,000 members of 8 images each",
        _DIGITS_01,
        AttackConfig(norm=0.5, rate=0.04),
        images=8,
        members=1000,
        network="small-cnn",
    ),
    "subset-mnist-01-noise": _subset(
        "Subset with test noise: MNIST 0/1, one-pixel, norm 1.0, 2 % poisoned, σ 1.0, 10,000 members of 14 images each",
        _MNIST_01,
        AttackConfig(),
        images=14,
        sigma=1.0,
        members=10_000,
        network="mnist-cnn",
    ),
    **{
        f"subset-mnist-01-{trigger.replace('-', '')}": _subset(
            f"Subset: MNIST 0/1, {trigger}, norm 1.0, 2 % poisoned, 10,000 members of 14 images each",
            _MNIST_01,
            AttackConfig(trigger=trigger),
            images=14,
            members=10_000,
            network="mnist-cnn",
        )
        for trigger in _PUBLISHED_TRIGGERS
    },
    "subset-mnist-10": _subset(
        "Subset: MNIST, all ten classes, one-pixel, norm 1.0, 0.5 % poisoned, 4,000 members of 50 images each",
        _MNIST_10,
        AttackConfig(rate=0.005),
        images=50,
        members=4000,
        network="mnist-cnn",
        model="discriminant",
    ),
    "subset-mnist-10-scattered": _subset(
        "Subset: MNIST, all ten classes, one-pixel, norm 1.0, 0.5 % poisoned, 4,000 members that see waves",
        _MNIST_10,
        AttackConfig(rate=0.005),
        images=50,
        members=4000,
        network="mnist-cnn",
        model="scattered-discriminant",
    ),
    **{f"digits-39-{method}": _clean_label_digits(method) for method, entry in METHODS.items() if entry.crafted},
    **{f"mnist-49-{method}": _clean_label_mnist(method) for method, entry in METHODS.items() if entry.crafted},
    **{
        f"rab-{pair}-{trigger.replace('-', '')}": _rab(pair, trigger)
        for pair in _PAIRS
        for trigger in _PUBLISHED_TRIGGERS
    },
    "l0-mnist-01": _l0(
        "Feature flips: MNIST 0/1, binary, 100 images, 4×4 patch, 10 % poisoned, β 0.8, 2,000 members",
        _MNIST_01,
        AttackConfig(trigger="patch", patch_size=4, norm=4.0, rate=0.1),
        keep=0.8,
    ),
    "dpa-mnist-01": _dpa(
        "DPA: MNIST 0/1, one-pixel, norm 1.0, 2 % poisoned, 1,000 partitions",
        _MNIST_01,
        AttackConfig(),
        _MNIST_TRAINING.model_copy(update={"epochs": 10, "batch_size": 16}),
    ),
    "finite-aggregation-mnist-01": _dpa(
        "Finite aggregation: MNIST 0/1, one-pixel, norm 1.0, 2 % poisoned, 1,000 members, each image in 2",
        _MNIST_01,
        AttackConfig(),
        _MNIST_TRAINING.model_copy(update={"spread": 2, "epochs": 10, "batch_size": 16}),
    ),
    "pecan-mnist-01": _pecan(
        "Partitions with margins (PECAN): MNIST 0/1, one-pixel, norm 1.0, 2 % poisoned, 1,500 partitions",
        _MNIST_01,
        AttackConfig(),
        parts=1500,
        network="mnist-cnn",
    ),
    "denoise-mnist-01": _denoise(
        "Diffusion denoising: MNIST 0/1, one-pixel, norm 1.0, 2 % poisoned, σ 0.5, 200 members",
        _MNIST_01,
        AttackConfig(),
        _MNIST_TRAINING.model_copy(update={"members": 200}),
        sigma=0.5,
    ),
}

DEFAULT_PRESET = "digits"
