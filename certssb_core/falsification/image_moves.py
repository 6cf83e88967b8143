"""Ways in which an attacker moves training images, labels kept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from certssb_core.attacks.gradient import alignment
from certssb_core.data.triggers import apply_trigger
from certssb_core.pipeline.context import RunContext
from certssb_core.runs.inputs import trigger_settings

MATCHED = 8
"""Number of stored members whose gradients are matched."""


def towards_trigger(
    context: RunContext, images: np.ndarray, victims: np.ndarray, members: Callable[[], list[nn.Module]]
) -> np.ndarray:
    """Add the run's own trigger to images of the attacker's class."""
    blank = np.zeros((1, *context.tensors["train"].shape[1:]), np.float32)
    return np.repeat(apply_trigger(blank, **trigger_settings(context.config.attack)), len(images), axis=0)


def towards_victims(
    context: RunContext, images: np.ndarray, victims: np.ndarray, members: Callable[[], list[nn.Module]]
) -> np.ndarray:
    """Move to the mean of the inputs aimed at, so that their region gets the attacker's class."""
    return victims.mean(axis=0) - context.tensors["train"][images].cpu().numpy()


def by_gradient(
    context: RunContext, images: np.ndarray, victims: np.ndarray, members: Callable[[], list[nn.Module]]
) -> np.ndarray:
    """Match gradients: training on the images then pulls the victims to the attacker's class."""
    aim = torch.full((len(victims),), context.config.attack.target, device=context.device)
    direction = alignment(
        members()[:MATCHED],
        context.tensors["train"][images],
        context.tensors["labels"][images],
        torch.from_numpy(victims).to(context.device),
        aim,
    )
    return direction.cpu().numpy()


@dataclass(frozen=True)
class Strategy:
    """Way in which an attacker moves training images.

    Attributes:
        title: for people.
        direction: from images and victims to changes ``(k, C, H, W)`` of any length.
        of_target: only images that carry the attacker's class.
        noisiest: the images of largest σ_i, which move farthest for one weighted norm; else those of smallest σ_i,
            which cost most at one norm.
    """

    title: str
    direction: Callable[[RunContext, np.ndarray, np.ndarray, Callable[[], list[nn.Module]]], np.ndarray]
    of_target: bool
    noisiest: bool


STRATEGIES: dict[str, Strategy] = {
    "trigger": Strategy("the trigger, on images of smallest σ", towards_trigger, True, False),
    "gradient": Strategy("gradient matching, on images of smallest σ", by_gradient, False, False),
    "collision": Strategy("towards the victims, on images of largest σ", towards_victims, True, True),
    "gradient-noisiest": Strategy("gradient matching, on images of largest σ", by_gradient, False, True),
}
