"""A finished run's undefended model, and the inputs it is measured on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from certssb_core.data.triggers import actual_norms, apply_controls
from certssb_core.ensemble import shards
from certssb_core.ensemble.input_smoothness import smoothness
from certssb_core.ensemble.models import build
from certssb_core.ensemble.voting import vote
from certssb_core.errors import RunError
from certssb_core.pipeline.context import SINGLES, single_path
from certssb_core.runs.inputs import Inputs, binarised, run_inputs, trigger_settings
from certssb_core.runs.run import Run


@dataclass(frozen=True, eq=False)
class Undefended:
    """A model without defence, and the same test images as they are, with the trigger, and with control patterns.

    Attributes:
        network: in evaluation mode.
        seed: of the run.
        images: ``{group: (n, C, H, W)}``, of images that measure the attack.
        attack_success: share of all triggered images that count which it answers as the attacker wants;
            control_success: the same of these images under the control patterns.
    """

    network: nn.Module
    seed: int
    images: dict[str, np.ndarray]
    attack_success: float
    control_success: float

    def norm(self, group: str) -> float:
        """Median L2 norm of what was added to the images."""
        return float(np.median(actual_norms(self.images["clean"], self.images[group])))

    def smoothness(self, group: str, *, scale: float, draws: int) -> dict[str, np.ndarray]:
        """The three measures of :class:`Smoothness`, each ``(n,)``."""
        images = torch.from_numpy(self.images[group])
        return {
            name: values.numpy()
            for name, values in vars(smoothness(self.network, images, scale=scale, draws=draws, seed=self.seed)).items()
        }


def undefended(run: Run, *, at_most: int, patterns: int) -> Undefended:
    """Read the model, and take at most so many test images, spread evenly.

    Raises:
        RunError: the run is not finished, has no undefended model, or no image that measures the attack.
    """
    if run.status().state != "done" or not single_path(run, "undefended").exists():
        raise RunError(f"{run.name} has no undefended model: it is not finished, or its members were imported")
    inputs, attack = run_inputs(run), run.config.attack
    counting = np.flatnonzero(inputs.measures_attack)
    if not len(counting):
        raise RunError(f"{run.name} has no test image that measures the attack")
    network = _network(run, inputs)
    rows = counting[np.linspace(0, len(counting) - 1, min(at_most, len(counting))).astype(np.int64)]
    clean = inputs.dataset.test_images[rows]
    control = apply_controls(clean, patterns=patterns, seed=run.config.seed, **trigger_settings(attack))
    if run.config.data.binary:
        control = binarised(control)
    answers = run.arrays("undefended")["triggered"]
    misled = vote(network, torch.from_numpy(control)).hard.numpy() == inputs.attacked[rows]
    return Undefended(
        network=network,
        seed=run.config.seed,
        images={"clean": clean, "triggered": inputs.triggered[rows], "control": control},
        attack_success=float((answers == inputs.attacked)[counting].mean()),
        control_success=float(misled.mean()),
    )


def _network(run: Run, inputs: Inputs) -> nn.Module:
    _, channels, side, _ = inputs.dataset.test_images.shape
    network = build(
        run.config.training.undefended_network,
        channels=channels,
        side=side,
        classes=len(inputs.dataset.classes),
        seed=run.config.seed,
        member=SINGLES["undefended"],
    )
    network.load_state_dict(shards.read(single_path(run, "undefended")))
    return network.eval()
