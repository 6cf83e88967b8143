"""Margins of members with linear logits: how far an input may move before the answer can change."""

import torch

_ROUNDING = 1e-5
"""Allowance for float32 sums, relative to the numbers summed, always against the margin."""


def margins(logits: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    """Distances of inputs to the nearest boundary of their answer: no smaller change alters it.

    The boundary between classes a and c is a hyperplane, at distance (l_a - l_c) / |w_a - w_c|. An answer can only
    change where the input reaches one of them.

    Args:
        logits: ``(…, n, C)`` of inputs whose logits are ``x @ weight.T + bias``, with x an orthonormal projection of
            the pixels.
        weight: ``(…, C, d)``; bias: ``(…, C)``.

    Returns:
        ``(…, n)`` float64, L2 pixel units, rounded down; infinite where no class is in reach.
    """
    logits, weight, bias = logits.double(), weight.double(), bias.double()
    apart = torch.linalg.vector_norm(weight.unsqueeze(-2) - weight.unsqueeze(-3), dim=-1)  # (…, C, C)
    answer = logits.argmax(-1, keepdim=True)  # (…, n, 1)
    places = answer.expand_as(logits)
    size = logits.abs() + bias.abs().unsqueeze(-2)
    lead = logits.gather(-1, answer) - logits - _ROUNDING * (size.gather(-1, answer) + size)
    distance = lead / apart.gather(-2, places)  # 0 / 0 is a tie of equal classes
    distance = distance.nan_to_num(nan=0.0, posinf=torch.inf).scatter(-1, answer, torch.inf)
    return distance.amin(-1).clamp_min(0)
