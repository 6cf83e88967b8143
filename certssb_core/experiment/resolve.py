"""What ``auto`` stands for on this machine, written into the run's config so that a resumed run keeps it."""

from __future__ import annotations

from typing import Any

import torch

from certssb_core.ensemble.models import check_fits, published_model
from certssb_core.ensemble.training import native_precision
from certssb_core.experiment.run import Run, RunError


def resolve_device(run: Run) -> None:
    """CUDA where present, else the CPU.

    Raises:
        RunError: the config asks for CUDA, and there is none.
    """
    device = run.config.training.device
    if device == "auto":
        _update(run, device="cuda" if torch.cuda.is_available() else "cpu")
    elif device == "cuda" and not torch.cuda.is_available():
        raise RunError("training.device is cuda, but no CUDA device is present; set training.device=cpu")


def resolve_model(run: Run, *, channels: int, side: int) -> None:
    """The published network for images of this kind, and the arithmetic that the hardware has.

    Raises:
        RunError: the images are too small for the network.
    """
    training = run.config.training
    if training.model == "auto":
        _update(run, model=published_model(channels, side))
    if training.precision == "auto":
        _update(run, precision=native_precision(torch.device(training.device), side))
    try:
        check_fits(run.config.training.model, channels=channels, side=side)
    except ValueError as error:
        raise RunError(str(error)) from None


def _update(run: Run, **changes: Any) -> None:
    training = run.config.training.model_copy(update=changes)
    run.replace_config(run.config.model_copy(update={"training": training}))
