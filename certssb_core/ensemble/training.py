"""Training networks, each on one fixed (noisy) copy of the training set."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from certssb_core.ensemble.batched import stacked_weights
from certssb_core.ensemble.closed_form import solve_all
from certssb_core.ensemble.stack import Captured, Stack
from certssb_core.smoothing.seeds import generator


class Diverged(RuntimeError):
    """Training ended in weights that are not numbers."""

    def __init__(self, member: int, learning_rate: float) -> None:
        super().__init__(f"member {member} diverged (learning rate {learning_rate})")


def train(
    network: nn.Module,
    images: torch.Tensor,
    labels: torch.Tensor,
    *,
    epochs: int,
    batch_size: int,
    learning_rate: float,
    precision: str,
    seed: int,
    member: int,
) -> nn.Module:
    """Train one network on ``images`` ``(n, C, H, W)`` and ``labels`` ``(n,)`` as :func:`train_together` does several.

    Returns:
        the same network, in evaluation mode.

    Raises:
        Diverged: a weight ended as NaN or infinity.
    """
    settings: dict[str, Any] = {
        "epochs": epochs,
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "precision": precision,
    }
    train_together([network], [images], [labels], seed=seed, members=[member], **settings)
    if diverged([network])[0]:
        raise Diverged(member, learning_rate)
    return network


def train_together(
    networks: Sequence[nn.Module],
    images: Sequence[torch.Tensor],
    labels: Sequence[torch.Tensor],
    *,
    epochs: int,
    batch_size: int,
    learning_rate: float,
    precision: str,
    seed: int,
    members: Sequence[int],
) -> None:
    """Minimise cross-entropy with Adam under a one-cycle schedule; the networks end in evaluation mode.

    Networks in closed form are solved instead (:mod:`.closed_form`); no other setting touches them.

    Several networks, and any number on a GPU, are one computation (:mod:`.stack`) in which none sees anything of
    another: each ends as it would alone, but for rounding, and one that diverges (:func:`diverged`) takes no other with
    it.

    Args:
        networks: of one kind; they end on the device of the images.
        images: per network ``(n, C, H, W)`` float32, n the same for all, noise already in them; no augmentation, so
            the noise stays fixed. Of no images a network stays as it was initialised.
        labels: per network ``(n,)`` int64.
        precision: ``float32`` or ``bfloat16`` (activations; weights and Adam's state stay float32).
        seed, members: the order of a network's images is a pure function of the seed and its member number.
    """
    n, device = len(images[0]), images[0].device
    if hasattr(networks[0], "solve"):
        return solve_all([network.to(device) for network in networks], images, labels)
    dtype = torch.bfloat16 if precision == "bfloat16" else torch.float32
    learner: Alone | Stack | Captured
    if device.type == "cuda":
        steps_of = {batch_size: epochs * (n // batch_size), n % batch_size: epochs}
        learner = Captured(Stack(networks, images, labels, dtype), steps_of)
    elif len(networks) == 1:
        learner = Alone(networks[0], images[0], labels[0], dtype)
    else:
        learner = Stack(networks, images, labels, dtype)
    optimiser = torch.optim.Adam(learner.parameters, lr=learning_rate, fused=True)
    steps = epochs * math.ceil(n / batch_size)
    # Of four steps a quarter is one, and the schedule's way up from the first step to the first divides by zero.
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, learning_rate, total_steps=max(steps, 5), pct_start=0.25)
    for epoch in range(epochs if n else 0):
        orders = np.stack([generator(seed, "order", member, epoch).permutation(n) for member in members])
        for rows in _without_waiting(orders, device).split(batch_size, dim=1):
            learner.gradients(rows)
            optimiser.step()
            schedule.step()
    learner.finish()


def diverged(networks: Sequence[nn.Module]) -> list[bool]:
    """True for each of the networks, all of one kind, that has a weight that is NaN or infinite.

    On a GPU the host waits once, however many they are.
    """
    finite = [own.reshape(len(networks), -1).isfinite().all(1) for own in stacked_weights(networks).values()]
    return (~torch.stack(finite).all(0)).tolist()


class Alone:
    """The inner step of one network on a CPU."""

    def __init__(self, network: nn.Module, images: torch.Tensor, labels: torch.Tensor, dtype: torch.dtype) -> None:
        self._network, self._labels = network.train(), labels
        self._images = images.to(dtype).contiguous(memory_format=torch.channels_last)
        self._autocast = _autocast(images, dtype)
        self.parameters = list(network.parameters())

    def loss(self, rows: torch.Tensor) -> torch.Tensor:
        """Mean cross-entropy of images ``rows`` ``(1, b)``."""
        batch = self._images[rows[0]].contiguous(memory_format=torch.channels_last)
        with self._autocast:
            return F.cross_entropy(self._network(batch), self._labels[rows[0]])

    def gradients(self, rows: torch.Tensor) -> None:
        """Set the weights' gradients to those of :meth:`loss`."""
        for weights in self.parameters:
            weights.grad = None
        self.loss(rows).backward()

    def finish(self) -> None:
        self._network.eval()


def _without_waiting(array: np.ndarray, device: torch.device) -> torch.Tensor:
    """Copy an array to the device while that computes."""
    tensor = torch.from_numpy(array)
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor


def _autocast(images: torch.Tensor, dtype: torch.dtype) -> torch.autocast:
    return torch.autocast(images.device.type, torch.bfloat16, enabled=dtype == torch.bfloat16)


def seen_by(member: int, count: int, *, seen: int, seed: int) -> torch.Tensor:
    """Positions of the training images that a member sees: ascending, at least one of ``count``.

    Drawn from (seed, member) alone and never from the images, so that it is part of the training algorithm, and a
    certificate over the training set holds as it does for members that see every image.
    """
    rows = generator(seed, "images seen", member).permutation(count)[:seen]
    return torch.from_numpy(np.sort(rows))


def partition(
    images: torch.Tensor, labels: torch.Tensor, members: int, distances: Sequence[int] = (0,)
) -> list[torch.Tensor]:
    """Positions of the training images of each of ``members``: every image in one part (2006.14768), or in several.

    The parts follow from a hash of the image's content alone, and the order in them from contents and labels, so that
    an inserted or removed image changes nothing for any other member.

    Args:
        distances: from the part that the hash names to those that get the image (2202.02628).
    """
    digests = [hashlib.blake2b(image.tobytes(), digest_size=16).digest() for image in images.cpu().numpy()]
    order = sorted(range(len(digests)), key=lambda row: (digests[row], int(labels[row])))
    parts: list[list[int]] = [[] for _ in range(members)]
    for row in order:
        bucket = int.from_bytes(digests[row], "little") % members
        for distance in distances:
            parts[(bucket + distance) % members].append(row)
    return [torch.tensor(part, dtype=torch.int64) for part in parts]


def native_precision(device: torch.device, side: int) -> str:
    """Arithmetic that ``auto`` stands for: bfloat16 if the hardware has it and the images are large enough to gain.

    A rule, not a timing: two runs of one seed on one machine must not differ in it.
    """
    if device.type == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        native = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return "bfloat16" if native and side >= 16 else "float32"
