"""Denoisers by name: those made by ``denoiser train``, or any ``UNet2DModel`` of the diffusers library.

A name is a dataset's (``assets/denoisers/NAME.safetensors`` of this package), a file of ``denoiser train``, a folder
that diffusers wrote, or the name of one on its hub, such as ``google/ddpm-cifar10-32``, where there is a network.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from certssb_core.smoothing.denoising import small_denoiser
from certssb_core.smoothing.denoising.diffusion import Diffusion, digest

SHIPPED = Path(__file__).parents[2] / "assets" / "denoisers"


def shipped_path(dataset: str) -> Path:
    return SHIPPED / f"{dataset}.safetensors"


@lru_cache(maxsize=2)
def denoiser(name: str) -> Diffusion:
    """The denoiser of this name; read once per process.

    Raises:
        ValueError: there is none, it cannot be fetched, or it is of a kind that is not known here.
    """
    if shipped_path(name).is_file():
        return small_denoiser.read(shipped_path(name))
    if name.endswith(".safetensors"):
        return small_denoiser.read(Path(name))
    if "/" in name or Path(name).is_dir():
        return _from_diffusers(name)
    raise ValueError(
        f"there is no denoiser {name!r}: `python -m certssb_core denoiser train --dataset {name}` makes one for a "
        "dataset. Else name a file of it, or a folder or hub name of a diffusers UNet2DModel"
    )


def _from_diffusers(name: str) -> Diffusion:
    try:
        from diffusers import DDPMScheduler, UNet2DModel
    except ImportError:
        raise ValueError(f"the denoiser {name!r} needs the diffusers library: `pip install diffusers`") from None
    try:
        network, schedule = _loaded(UNet2DModel, name, "unet"), _loaded(DDPMScheduler, name, "scheduler")
    except Exception as error:  # diffusers and its hub have a dozen kinds, and wrap those of the network
        reason = str(error).splitlines()[0][:200]
        raise ValueError(
            f"the denoiser {name!r} cannot be read or fetched as a UNet2DModel with its scheduler ({reason}); "
            "without a network, name a folder that holds it"
        ) from None
    network = network.eval().requires_grad_(False)
    settings = network.config

    def predict(noisy: torch.Tensor, step: torch.Tensor) -> torch.Tensor:
        return network.to(noisy.device)(noisy, step).sample

    return Diffusion(
        predict,
        schedule.alphas_cumprod.double(),
        schedule.config.prediction_type,
        channels=settings.in_channels,
        side=settings.sample_size,
        digest=digest(network.state_dict()),
    )


def _loaded(kind: Any, name: str, part: str) -> Any:
    """A part of a pipeline lies in a folder of its own; a model that was saved alone does not."""
    try:
        return kind.from_pretrained(name, subfolder=part)
    except OSError:
        return kind.from_pretrained(name)
