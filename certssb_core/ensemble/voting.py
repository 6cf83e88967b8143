"""Voting: what one network answers, as a hard vote and as a softmax."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn


@dataclass(frozen=True)
class Ballot:
    """One network's answers: ``hard`` ``(n,)`` uint8 and ``softmax`` ``(n, classes)`` float32."""

    hard: torch.Tensor
    softmax: torch.Tensor


@torch.inference_mode()
def vote(network: nn.Module, inputs: torch.Tensor, *, batch_size: int = 512) -> Ballot:
    """Ask a network in evaluation mode about ``inputs`` ``(n, C, H, W)``, always in float32.

    The answers do not depend on ``batch_size`` beyond rounding (logits agree to 1e-4).
    """
    network.eval()
    logits = torch.cat(
        [network(batch.contiguous(memory_format=torch.channels_last)).float() for batch in inputs.split(batch_size)]
    )
    return Ballot(hard=logits.argmax(1).to(torch.uint8), softmax=logits.softmax(1))
