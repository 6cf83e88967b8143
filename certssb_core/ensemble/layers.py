"""Layers that networks share. A stack of networks computes them in a form of its own: :class:`.batched.Stacking`."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F
from torch.overrides import handle_torch_function, has_torch_function_unary


def max_pool(x: torch.Tensor) -> torch.Tensor:
    """Largest of every 2×2 pixels: ``(n, C, H, W)`` → ``(n, C, H // 2, W // 2)``.

    Without a gradient the CPU is three times as fast with two maxima; both give the same numbers.
    """
    if has_torch_function_unary(x):
        return handle_torch_function(max_pool, (x,), x)
    if torch.is_grad_enabled() or x.device.type != "cpu":
        return F.max_pool2d(x, 2)
    x = x[..., : x.shape[-2] // 2 * 2, : x.shape[-1] // 2 * 2]
    rows = torch.maximum(x[..., ::2, :], x[..., 1::2, :])
    return torch.maximum(rows[..., ::2], rows[..., 1::2])


def group_norm(x: torch.Tensor, groups: int, weight: torch.Tensor, bias: torch.Tensor, eps: float) -> torch.Tensor:
    """Normalise ``x`` ``(n, C, H, W)`` by groups of channels, in float32."""
    if has_torch_function_unary(x):
        return handle_torch_function(group_norm, (x,), x, groups, weight, bias, eps)
    return F.group_norm(x.float(), groups, weight.float(), bias.float(), eps).to(x.dtype)


class GroupNorm(nn.GroupNorm):
    """Group normalisation in float32: sums of bfloat16 lose digits, and on a CPU they take twice as long."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return group_norm(x, self.num_groups, self.weight, self.bias, self.eps)
