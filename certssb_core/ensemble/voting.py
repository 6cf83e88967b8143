"""Voting: what one network answers, as a hard vote and as a softmax.

Votes are cast in the arithmetic that the run trains in. Of bfloat16 answers those near a tie are computed again in
float32, so that the hard vote is the one of float32: rounding moves the lead of a class by less than :func:`near_tie`
allows for. Either way a vote follows from the network and the input alone, and that is what a certificate asks.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import nn

from certssb_core.ensemble.batched import forward_together
from certssb_core.ensemble.margins import margins as linear_margins
from certssb_core.ensemble.out_of_memory import halving
from certssb_core.smoothing.noise import NoisyInputs

LEAD, SHARE = 0.25, 0.125
"""A lead in bfloat16 is near a tie below LEAD, plus SHARE of the largest logit. Rounding was measured to move it by
less than that where random weights cancel large sums, and by a tenth of that in trained members of MNIST."""

STACKED_PIXELS = {"cpu": 2**23, "cuda": 2**26}
"""Pixels of noisy images that a stack answers in one computation: they bound the memory, not the result."""


@dataclass(frozen=True)
class Ballot:
    """One network's answers: ``hard`` ``(n,)`` uint8 and ``softmax`` ``(n, classes)`` float32.

    ``margin`` ``(n,)`` float64, L2 pixel units: distances to the nearest boundary; ``order`` ``(n, classes)`` uint8:
    classes from the most to the least likely. Each where it was asked for.
    """

    hard: torch.Tensor
    softmax: torch.Tensor
    margin: torch.Tensor | None = None
    order: torch.Tensor | None = None

    def of(self, place: int) -> Ballot:
        """The ballot of one of the members that voted together."""
        margin, order = (None if whole is None else whole[place] for whole in (self.margin, self.order))
        return Ballot(self.hard[place], self.softmax[place], margin, order)


def near_tie(logits: torch.Tensor) -> torch.Tensor:
    """True where the two largest of ``logits`` ``(…, classes)`` are so close that bfloat16 may have exchanged them.

    An answer that is not a number counts as near a tie.
    """
    first, second = logits.topk(2, dim=-1).values.unbind(-1)
    return ~(first - second >= LEAD + SHARE * logits.abs().amax(-1))


@torch.inference_mode()
def vote(
    network: nn.Module,
    inputs: torch.Tensor | NoisyInputs,
    *,
    precision: str = "float32",
    batch_size: int = 128,
    margins: bool = False,
    order: bool = False,
) -> Ballot:
    """Ask a network in evaluation mode about ``inputs`` ``(n, C, H, W)``.

    The answers do not depend on ``batch_size`` beyond rounding (logits agree to 1e-4 in float32).

    Args:
        precision: ``float32``, or ``bfloat16`` with near ties in float32. Networks in closed form answer in float32.
        margins: measure margins too, in float32; the logits must be linear (:data:`architectures.LINEAR`).
        order: rank all classes, in float32.
    """
    network.eval()
    dtype = torch.float32 if margins or order else _arithmetic(network, precision)

    def answers(seen: torch.Tensor | NoisyInputs, dtype: torch.dtype) -> torch.Tensor:
        return halving(lambda chunk: torch.cat([answer(seen[rows], dtype) for rows in _parts(seen, chunk)]), batch_size)

    def answer(seen: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
        with torch.autocast(seen.device.type, torch.bfloat16, enabled=dtype == torch.bfloat16):
            return network(seen.to(dtype).contiguous(memory_format=torch.channels_last)).float()

    logits = answers(inputs, dtype)
    if dtype == torch.bfloat16 and len(rows := near_tie(logits).nonzero().squeeze(1)):
        logits[rows] = answers(inputs[rows], torch.float32)
    return _ballot(logits, network.state_dict() if margins else None, order)


@torch.inference_mode()
def vote_together(
    network: nn.Module,
    weights: dict[str, torch.Tensor],
    inputs: torch.Tensor,
    *,
    margins: bool = False,
    order: bool = False,
) -> Ballot:
    """Ask m members of one kind at once, each about its own ``inputs`` ``(m, k, C, H, W)``; always in float32.

    Args:
        network: gives the computation; its own weights take no part.
        weights: of the m members, every tensor stacked along a first axis.
        margins: measure margins too; the logits must be linear (:data:`architectures.LINEAR`).
        order: rank all classes.

    Returns:
        ``hard`` ``(m, k)`` and ``softmax`` ``(m, k, classes)``; as :func:`vote` of each member alone, beyond
        rounding.
    """
    network.eval()
    return _ballot(forward_together(network, weights, inputs).float(), weights if margins else None, order)


@torch.inference_mode()
def vote_as_stack(
    network: nn.Module,
    weights: dict[str, torch.Tensor],
    inputs: NoisyInputs,
    *,
    precision: str = "float32",
    margins: bool = False,
    order: bool = False,
) -> Ballot:
    """Ask m members about the same n images, each under its own draw, as :func:`vote` asks each of them.

    Convolutions are products, images come in chunks, and the host waits once.

    Args:
        weights: of the m members, every tensor stacked along a first axis.
        inputs: under draws ``(m, 1, C, H, W)``.

    Returns:
        ``hard`` ``(m, n)`` and ``softmax`` ``(m, n, classes)``.
    """
    network.eval()
    dtype = torch.float32 if margins or order else _arithmetic(network, precision)
    cast = {name: tensor.to(dtype) for name, tensor in weights.items()}

    def answers(chunk: int) -> torch.Tensor:
        seen = (inputs[rows].to(dtype) for rows in _parts(inputs, chunk))
        return torch.cat([forward_together(network, cast, own, products=True).float() for own in seen], dim=1)

    logits = halving(answers, _at_once(inputs))
    if dtype == torch.bfloat16 and (most := int((near := near_tie(logits)).sum(1).max())):
        _answer_again(network, weights, inputs, logits, near.float().topk(most).indices)
    return _ballot(logits, weights if margins else None, order)


def _answer_again(
    network: nn.Module, weights: dict[str, torch.Tensor], inputs: NoisyInputs, logits: torch.Tensor, rows: torch.Tensor
) -> None:
    """Put float32 answers into ``logits`` ``(m, n, classes)``: per member those of its ``rows`` ``(m, k)``."""
    own = torch.arange(len(rows), device=rows.device)[:, None]

    def again(chunk: int) -> None:
        for part in rows.split(chunk, dim=1):
            logits[own, part] = forward_together(network, weights, inputs[part], products=True).float()

    halving(again, _at_once(inputs))


def _at_once(inputs: NoisyInputs) -> int:
    """Images that a stack of members is asked about in one computation."""
    return max(1, STACKED_PIXELS[inputs.draw.device.type] // inputs.draw.numel())


def _arithmetic(network: nn.Module, precision: str) -> torch.dtype:
    return torch.bfloat16 if precision == "bfloat16" and not hasattr(network, "solve") else torch.float32


def _parts(inputs: torch.Tensor | NoisyInputs, chunk: int) -> Iterator[slice]:
    return (slice(start, start + chunk) for start in range(0, len(inputs), chunk))


def _ballot(logits: torch.Tensor, weights: Mapping[str, torch.Tensor] | None, order: bool) -> Ballot:
    """Answers of ``logits`` ``(…, n, C)``, with their margins where the linear logits' weights are given."""
    margin = None if weights is None else linear_margins(logits, weights["output.weight"], weights["output.bias"])
    ranked = logits.argsort(dim=-1, descending=True, stable=True).to(torch.uint8) if order else None
    hard = logits.argmax(-1).to(torch.uint8) if ranked is None else ranked[..., 0]
    return Ballot(hard=hard, softmax=logits.softmax(-1), margin=margin, order=ranked)
