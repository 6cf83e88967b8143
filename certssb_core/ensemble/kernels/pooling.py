"""The largest of every 2×2 pixels. On the way back the first of the largest gets the whole gradient."""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl

from certssb_core.ensemble.kernels.stacking import channels_first, channels_last, of_one_network

VALUES = 1024
"""Values of the answer per program."""


@triton.jit
def _larger(a, b):
    return tl.maximum(a, b, propagate_nan=tl.PropagateNan.ALL)


@triton.jit
def _pool(x, given, out, count, rows, columns, C: tl.constexpr, BACK: tl.constexpr, VALUES: tl.constexpr):
    at = tl.program_id(0).to(tl.int64) * VALUES + tl.arange(0, VALUES)
    there = at < count
    place = at // C
    column, row = place % (columns // 2), place // (columns // 2) % (rows // 2)
    image = place // ((columns // 2) * (rows // 2))
    one = ((image * rows + 2 * row) * columns + 2 * column) * C + at % C
    two, three, four = one + C, one + columns * C, one + columns * C + C
    a, b = tl.load(x + one, mask=there, other=0.0), tl.load(x + two, mask=there, other=0.0)
    c, d = tl.load(x + three, mask=there, other=0.0), tl.load(x + four, mask=there, other=0.0)
    most = _larger(_larger(a, b), _larger(c, d))
    if BACK:
        slope = tl.load(given + at, mask=there, other=0.0)
        none = tl.zeros_like(slope)
        is_a, is_b, is_c = (a == most) | (a != a), (b == most) | (b != b), (c == most) | (c != c)
        tl.store(out + one, tl.where(is_a, slope, none), mask=there)
        tl.store(out + two, tl.where(is_b & ~is_a, slope, none), mask=there)
        tl.store(out + three, tl.where(is_c & ~is_a & ~is_b, slope, none), mask=there)
        tl.store(out + four, tl.where(is_a | is_b | is_c, none, slope), mask=there)
    else:
        tl.store(out + at, most, mask=there)


@torch.library.custom_op("certssb::pool", mutates_args=())
def pool(x: torch.Tensor) -> torch.Tensor:
    """Largest of every 2×2 pixels of ``x`` ``(k, n, C, H, W)``."""
    k, n, c, h, w = x.shape
    x, out = channels_last(x), x.new_empty((k, n, h // 2, w // 2, c))
    _pool[(triton.cdiv(out.numel(), VALUES),)](x, x, out, out.numel(), h, w, C=c, BACK=False, VALUES=VALUES)
    return channels_first(out)


@pool.register_fake
def _(x):
    k, n, c, h, w = x.shape
    return channels_first(x.new_empty((k, n, h // 2, w // 2, c)))


@torch.library.custom_op("certssb::pool_back", mutates_args=())
def pool_back(given: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """Gradient of :func:`pool`'s images, where the answer's is ``given``."""
    c, h, w = x.shape[2:]
    x, given = channels_last(x), channels_last(given)
    out = torch.zeros_like(x) if h % 2 or w % 2 else torch.empty_like(x)  # a last odd row has no part in the answer
    _pool[(triton.cdiv(given.numel(), VALUES),)](x, given, out, given.numel(), h, w, C=c, BACK=True, VALUES=VALUES)
    return channels_first(out)


@pool_back.register_fake
def _(given, x):
    return channels_first(torch.empty_like(channels_last(x)))


class Pooling(torch.autograd.Function):
    """:func:`pool` with its gradient."""

    @staticmethod
    def forward(x: torch.Tensor) -> torch.Tensor:
        return pool(x)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, given: torch.Tensor) -> Any:
        return pool_back(given, *ctx.saved_tensors)


pooling = of_one_network(Pooling.apply)
"""``pooling(x)`` as of one network: ``x`` ``(n, C, H, W)``."""
