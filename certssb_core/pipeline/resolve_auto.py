"""Replace ``auto`` in a config by what it stands for on this machine.

A run's config is written back, so that a resumed run keeps it.
"""

from __future__ import annotations

import os
from math import ceil
from typing import Any

import numpy as np
import torch

from certssb_core.config.schema import RunConfig
from certssb_core.ensemble.batched import bytes_while_training
from certssb_core.ensemble.models import build, check_fits, published_model
from certssb_core.ensemble.training import native_precision
from certssb_core.errors import RunError
from certssb_core.runs import files, server_limits
from certssb_core.runs.inputs import Inputs
from certssb_core.runs.run import Run
from certssb_core.smoothing.denoising.denoisers import denoiser
from certssb_core.smoothing.denoising.diffusion import denoise

FREE_FOR_MEMBERS = 0.8
"""Share of a GPU's free memory that is planned for members in training."""
MOST_TOGETHER = 1024
"""A stop waits for a whole group, so groups are bounded whatever the memory holds."""


def settled(config: RunConfig, inputs: Inputs) -> RunConfig:
    """The config with everything settled that is ``auto`` or left to the machine.

    Raises:
        RunError: the config asks for CUDA, and there is none; or the images are too small for the network.
    """
    _, channels, side, _ = inputs.dataset.test_images.shape
    config = with_drawing(with_model(with_device(config), channels=channels, side=side), inputs)
    return with_together(config, inputs.poisoned.images, len(inputs.dataset.classes))


def resolve_device(run: Run) -> None:
    """Settle the device of a run, see :func:`with_device`."""
    _keep(run, with_device(run.config))


def resolve_model(run: Run, *, channels: int, side: int) -> None:
    """Settle network and arithmetic of a run, see :func:`with_model`."""
    _keep(run, with_model(run.config, channels=channels, side=side))


def resolve_together(run: Run, images: np.ndarray, classes: int) -> None:
    """Settle how many members of a run are trained as one computation, see :func:`with_together`."""
    _keep(run, with_together(run.config, images, classes))


def resolve_drawing(run: Run, inputs: Inputs) -> None:
    """Settle from how many images the members of a run draw theirs, see :func:`with_drawing`."""
    _keep(run, with_drawing(run.config, inputs))


def with_device(config: RunConfig) -> RunConfig:
    """Take CUDA where present, else the CPU.

    Raises:
        RunError: the config asks for CUDA, and there is none.
    """
    device = config.training.device
    if device == "auto":
        return _with(config, device="cuda" if torch.cuda.is_available() else "cpu")
    if device == "cuda" and not torch.cuda.is_available():
        raise RunError("training.device is cuda, but no CUDA device is present; set training.device=cpu")
    return config


def with_model(config: RunConfig, *, channels: int, side: int) -> RunConfig:
    """Take the published network for images of this kind, and the arithmetic that the hardware has.

    Raises:
        RunError: the images are too small for the network.
    """
    if config.training.model == "auto":
        config = _with(config, model=published_model(channels, side))
    if config.training.precision == "auto":
        config = _with(config, precision=native_precision(torch.device(config.training.device), side))
    try:
        check_fits(config.training.model, channels=channels, side=side)
    except ValueError as error:
        raise RunError(str(error)) from None
    return config


def with_drawing(config: RunConfig, inputs: Inputs) -> RunConfig:
    """Note of how many images members draw theirs, and how many are attacked: by default those poisoned.

    Raises:
        RunError: there are fewer images than a member is to see, or than an attacker is to replace.
    """
    if config.kind.replaced is None:
        return config
    images, attacked = len(inputs.poisoned.labels), config.certification.attacked
    drawn = config.training.subset if config.training.sees == "subset" else 0
    if max(drawn, attacked or 0) > images:
        raise RunError(
            f"there are {images:,} training images: training.subset {config.training.subset:,} and "
            f"certification.attacked {attacked or 0:,} must not be more"
        )
    attacked = len(inputs.poisoned.indices) if attacked is None else attacked
    certification = config.certification.model_copy(update={"attacked": attacked})
    return _with(config, drawn_from=images).model_copy(update={"certification": certification})


def with_together(config: RunConfig, images: np.ndarray, classes: int) -> RunConfig:
    """Train one member at a time on the CPU; on a GPU as many together as its free memory holds, in groups of like
    size.

    Args:
        images: the training images ``(n, C, H, W)``.
    """
    training = config.training
    if training.together is not None:
        return config
    if training.device == "cpu":
        return _with(config, together=1)
    network = build(
        training.model, channels=images.shape[1], side=images.shape[2], classes=classes, seed=config.seed, member=0
    )
    each = bytes_while_training(
        network,
        torch.from_numpy(images[0]),
        images=ceil(training.seen_on_average(len(images)) * len(images)),
        batch_size=training.batch_size,
        dtype=torch.bfloat16 if training.precision == "bfloat16" else torch.float32,
    )
    free, _ = torch.cuda.mem_get_info()
    memory = int(free * FREE_FOR_MEMBERS - 2 * images.nbytes)
    return _with(config, together=group_size(training.members, memory, each))


def group_size(members: int, memory: int, each: int) -> int:
    """Members per group: at most what the memory holds at ``each`` bytes, the groups as equal as possible."""
    groups = ceil(members / min(max(memory // each, 1), MOST_TOGETHER))
    return ceil(members / groups)


def resolve_denoiser(run: Run, *, channels: int, side: int) -> None:
    """Check the denoiser that the config names, and record the sha256 of its weights in ``denoiser.json``.

    Raises:
        RunError: there is none, it does not know such images or so much noise, or it is not the one the run began with.
    """
    noise = run.config.noise
    if not noise.denoises:
        return
    name, loudest = run.config.denoiser, noise.sigma_max if noise.searches_train else noise.sigma
    if not server_limits.current().downloads:
        os.environ["HF_HUB_OFFLINE"] = "1"  # the hub's own word for it, read when diffusers is first imported
    try:
        model = denoiser(name)
        denoise(model, torch.zeros(1, channels, side, side), torch.tensor([loudest]))
    except ValueError as error:
        raise RunError(str(error)) from None
    path, used = run.path / "denoiser.json", {"name": name, "sha256": model.digest}
    if path.exists() and run.denoiser != used:
        raise RunError(f"the denoiser {name} is not the one that {run.name} began with; start a new run")
    files.write_json(path, used)


def _with(config: RunConfig, **changes: Any) -> RunConfig:
    return config.model_copy(update={"training": config.training.model_copy(update=changes)})


def _keep(run: Run, config: RunConfig) -> None:
    if config != run.config:
        run.replace_config(config)
