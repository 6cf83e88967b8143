"""Voting: what one network answers, as a hard vote and as a softmax."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import nn

from certssb_core.ensemble.batched import forward_together
from certssb_core.ensemble.margins import margins as linear_margins
from certssb_core.ensemble.out_of_memory import halving


@dataclass(frozen=True)
class Ballot:
    """One network's answers: ``hard`` ``(n,)`` uint8 and ``softmax`` ``(n, classes)`` float32.

    ``margin`` ``(n,)`` float64, L2 pixel units: distances to the nearest boundary, where they were asked for.
    """

    hard: torch.Tensor
    softmax: torch.Tensor
    margin: torch.Tensor | None = None

    def of(self, place: int) -> Ballot:
        """The ballot of one of the members that voted together."""
        margin = None if self.margin is None else self.margin[place]
        return Ballot(self.hard[place], self.softmax[place], margin)


@torch.inference_mode()
def vote(network: nn.Module, inputs: torch.Tensor, *, batch_size: int = 128, margins: bool = False) -> Ballot:
    """Ask a network in evaluation mode about ``inputs`` ``(n, C, H, W)``, always in float32.

    The answers do not depend on ``batch_size`` beyond rounding (logits agree to 1e-4).
    """
    network.eval()

    def answered(chunk: int) -> torch.Tensor:
        batches = inputs.split(chunk)
        return torch.cat([network(batch.contiguous(memory_format=torch.channels_last)).float() for batch in batches])

    logits = halving(answered, batch_size)
    return _ballot(logits, network.state_dict() if margins else None)


@torch.inference_mode()
def vote_together(
    network: nn.Module, weights: dict[str, torch.Tensor], inputs: torch.Tensor, *, margins: bool = False
) -> Ballot:
    """Ask m members of one kind at once, each about its own ``inputs`` ``(m, k, C, H, W)``; always in float32.

    Args:
        network: gives the computation; its own weights take no part.
        weights: of the m members, every tensor stacked along a first axis.
        margins: measure margins too; the logits must be linear (:data:`architectures.LINEAR`).

    Returns:
        ``hard`` ``(m, k)`` and ``softmax`` ``(m, k, classes)``; as :func:`vote` of each member alone, beyond
        rounding.
    """
    network.eval()
    return _ballot(forward_together(network, weights, inputs).float(), weights if margins else None)


def _ballot(logits: torch.Tensor, weights: Mapping[str, torch.Tensor] | None) -> Ballot:
    """Answers of ``logits`` ``(…, n, C)``, with their margins where the linear logits' weights are given."""
    margin = None if weights is None else linear_margins(logits, weights["output.weight"], weights["output.bias"])
    return Ballot(hard=logits.argmax(-1).to(torch.uint8), softmax=logits.softmax(-1), margin=margin)
