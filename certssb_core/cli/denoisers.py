"""Commands about denoisers: training a small one."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from certssb_core.cli.common import app, say

denoiser = typer.Typer(no_args_is_help=True, help="Denoisers for noise.preprocessing=denoise.")
app.add_typer(denoiser, name="denoiser")


@denoiser.callback()
def _group() -> None:
    """Denoisers for noise.preprocessing=denoise."""


@denoiser.command()
def train(
    dataset: Annotated[str, typer.Option(help="Whose clean training images it learns.")] = "digits",
    steps: Annotated[int, typer.Option(min=1, help="Steps of 128 images.")] = 2500,
    root: Annotated[str | None, typer.Option(help="Folder that holds the data; default: CERTSSB_DATA.")] = None,
    size: Annotated[int | None, typer.Option(help="Image side, where the dataset has none of its own.")] = None,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    output: Annotated[Path | None, typer.Option(help="File to write; default: where the dataset's is found.")] = None,
) -> None:
    """Train a small denoiser on a dataset's clean training images, in minutes on two cores; prints its file."""
    import torch

    from certssb_core.data.datasets import load
    from certssb_core.smoothing.denoising import small_denoiser
    from certssb_core.smoothing.denoising.denoisers import shipped_path

    images = torch.from_numpy(load(dataset, root=root, size=size, seed=seed).train_images)
    started = time.monotonic()

    def announce(step: int, loss: float) -> None:
        seconds = time.monotonic() - started
        say(f"step {step} of {steps}, error {loss:.4f}, {seconds:.0f} s", file=sys.stderr)

    network = small_denoiser.train(images, steps=steps, seed=seed, announce=announce)
    path = output or shipped_path(dataset)
    _, channels, side, _ = images.shape
    about = f"{len(images)} clean training images of {dataset}"
    small_denoiser.save(network, path, channels=channels, side=side, trained_on=about)
    say(path)
