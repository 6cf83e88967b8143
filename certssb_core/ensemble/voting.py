"""Voting: what one network answers, as a hard vote and as a softmax."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from certssb_core.ensemble.batched import forward_together
from certssb_core.ensemble.out_of_memory import halving


@dataclass(frozen=True)
class Ballot:
    """One network's answers: ``hard`` ``(n,)`` uint8 and ``softmax`` ``(n, classes)`` float32."""

    hard: torch.Tensor
    softmax: torch.Tensor


@torch.inference_mode()
def vote(network: nn.Module, inputs: torch.Tensor, *, batch_size: int = 128) -> Ballot:
    """Ask a network in evaluation mode about ``inputs`` ``(n, C, H, W)``, always in float32.

    The answers do not depend on ``batch_size`` beyond rounding (logits agree to 1e-4).
    """
    network.eval()

    def answered(chunk: int) -> torch.Tensor:
        batches = inputs.split(chunk)
        return torch.cat([network(batch.contiguous(memory_format=torch.channels_last)).float() for batch in batches])

    logits = halving(answered, batch_size)
    return Ballot(hard=logits.argmax(1).to(torch.uint8), softmax=logits.softmax(1))


@torch.inference_mode()
def vote_together(network: nn.Module, weights: dict[str, torch.Tensor], inputs: torch.Tensor) -> Ballot:
    """Ask m members of one kind at once, each about its own ``inputs`` ``(m, k, C, H, W)``; always in float32.

    Args:
        network: gives the computation; its own weights take no part.
        weights: of the m members, every tensor stacked along a first axis.

    Returns:
        ``hard`` ``(m, k)`` and ``softmax`` ``(m, k, classes)``; as :func:`vote` of each member alone, beyond
        rounding.
    """
    network.eval()
    answers = forward_together(network, weights, inputs).float()
    return Ballot(hard=answers.argmax(-1).to(torch.uint8), softmax=answers.softmax(-1))
