"""Normalisation by group: an image's means and variances in two passes, and its answer in a third."""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl

from certssb_core.ensemble.kernels.stacking import channels_first, channels_last, of_one_network

TILE = 4096
"""Values that are held at once."""


@triton.jit
def _tile(start, pixels, C: tl.constexpr, PIXELS: tl.constexpr):
    """Offsets of the values of PIXELS pixels in an image, ``(PIXELS, C)``, and which of the pixels there are."""
    pixel = start + tl.arange(0, PIXELS)[:, None]
    return pixel * C + tl.arange(0, C)[None, :], pixel < pixels


@triton.jit
def _over_groups(sums, C: tl.constexpr, GROUPS: tl.constexpr):
    """Each channel's sum over its group, ``(C,)``."""
    found = tl.sum(tl.reshape(sums, (GROUPS, C // GROUPS)), 1)
    return tl.reshape(tl.broadcast_to(found[:, None], (GROUPS, C // GROUPS)), (C,))


@triton.jit(do_not_specialize=["images"])  # an odd last batch needs no kernel of its own
def _normalise(
    x, scale, shift, out, means, widths, images, pixels, eps,
    C: tl.constexpr, GROUPS: tl.constexpr, PIXELS: tl.constexpr,
):  # fmt: skip
    member, c = tl.program_id(1).to(tl.int64), tl.arange(0, C)
    one = member * images + tl.program_id(0)
    x += one * pixels * C
    out += one * pixels * C
    count = pixels * (C // GROUPS)
    total = tl.zeros((C,), dtype=tl.float32)
    for start in range(0, pixels, PIXELS):
        at, there = _tile(start, pixels, C, PIXELS)
        total += tl.sum(tl.load(x + at, mask=there, other=0.0).to(tl.float32), 0)
    mean = _over_groups(total, C, GROUPS) / count
    total = tl.zeros((C,), dtype=tl.float32)
    for start in range(0, pixels, PIXELS):
        at, there = _tile(start, pixels, C, PIXELS)
        off = tl.load(x + at, mask=there, other=0.0).to(tl.float32) - mean[None, :]
        total += tl.sum(tl.where(there, off * off, 0.0), 0)
    width = 1 / tl.sqrt(_over_groups(total, C, GROUPS) / count + eps)
    factor = width * tl.load(scale + member * C + c).to(tl.float32)
    plus = tl.load(shift + member * C + c).to(tl.float32)
    for start in range(0, pixels, PIXELS):
        at, there = _tile(start, pixels, C, PIXELS)
        off = tl.load(x + at, mask=there, other=0.0).to(tl.float32) - mean[None, :]
        tl.store(out + at, (off * factor[None, :] + plus[None, :]).to(out.dtype.element_ty), mask=there)
    tl.store(means + one * C + c, mean)
    tl.store(widths + one * C + c, width)


@triton.jit(do_not_specialize=["images"])  # an odd last batch needs no kernel of its own
def _normalise_back(
    x, scale, given, means, widths, out, scales, shifts, images, pixels,
    C: tl.constexpr, GROUPS: tl.constexpr, PIXELS: tl.constexpr,
):  # fmt: skip
    """An image's gradient, and its part of those of the scale and the shift."""
    member, c = tl.program_id(1).to(tl.int64), tl.arange(0, C)
    one = member * images + tl.program_id(0)
    x += one * pixels * C
    given += one * pixels * C
    out += one * pixels * C
    count = pixels * (C // GROUPS)
    mean, width = tl.load(means + one * C + c), tl.load(widths + one * C + c)
    factor = tl.load(scale + member * C + c).to(tl.float32)
    plain, along = tl.zeros((C,), dtype=tl.float32), tl.zeros((C,), dtype=tl.float32)
    for start in range(0, pixels, PIXELS):
        at, there = _tile(start, pixels, C, PIXELS)
        slope = tl.load(given + at, mask=there, other=0.0).to(tl.float32)
        value = (tl.load(x + at, mask=there, other=0.0).to(tl.float32) - mean[None, :]) * width[None, :]
        plain += tl.sum(slope, 0)
        along += tl.sum(slope * value, 0)
    tl.store(shifts + one * C + c, plain)
    tl.store(scales + one * C + c, along)
    plain = _over_groups(plain * factor, C, GROUPS) / count
    along = _over_groups(along * factor, C, GROUPS) / count
    for start in range(0, pixels, PIXELS):
        at, there = _tile(start, pixels, C, PIXELS)
        slope = tl.load(given + at, mask=there, other=0.0).to(tl.float32) * factor[None, :]
        value = (tl.load(x + at, mask=there, other=0.0).to(tl.float32) - mean[None, :]) * width[None, :]
        found = (slope - plain[None, :] - value * along[None, :]) * width[None, :]
        tl.store(out + at, found.to(out.dtype.element_ty), mask=there)


@torch.library.custom_op("certssb::normalise", mutates_args=())
def normalise(
    x: torch.Tensor, scale: torch.Tensor, shift: torch.Tensor, groups: int, eps: float
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Normalise ``x`` ``(k, n, C, H, W)`` by groups; ``scale`` and ``shift`` are ``(k, C)``, C a power of two.

    Returns:
        the answer, and of every image and channel the mean and one over the width, ``(k, n, C)`` float32.
    """
    k, n, c, h, w = x.shape
    x = channels_last(x)
    out, means = torch.empty_like(x), x.new_empty((k, n, c), dtype=torch.float32)
    widths = torch.empty_like(means)
    _normalise[(n, k)](
        x, scale.contiguous(), shift.contiguous(), out, means, widths, n, h * w, eps,
        C=c, GROUPS=groups, PIXELS=max(1, TILE // c),
    )  # fmt: skip
    return channels_first(out), means, widths


@normalise.register_fake
def _(x, scale, shift, groups, eps):
    means = x.new_empty(x.shape[:3], dtype=torch.float32)
    return channels_first(torch.empty_like(channels_last(x))), means, torch.empty_like(means)


@torch.library.custom_op("certssb::normalise_back", mutates_args=())
def normalise_back(
    given: torch.Tensor, x: torch.Tensor, scale: torch.Tensor, means: torch.Tensor, widths: torch.Tensor, groups: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Gradients of :func:`normalise`'s images, scale and shift, where the answer's is ``given``."""
    n, c, h, w = x.shape[1:]
    x, given = channels_last(x), channels_last(given)
    out, scales, shifts = torch.empty_like(x), torch.empty_like(means), torch.empty_like(means)
    _normalise_back[(n, len(x))](
        x, scale.contiguous(), given, means, widths, out, scales, shifts, n, h * w,
        C=c, GROUPS=groups, PIXELS=max(1, TILE // c),
    )  # fmt: skip
    return channels_first(out), scales.sum(1).to(scale.dtype), shifts.sum(1).to(scale.dtype)


@normalise_back.register_fake
def _(given, x, scale, means, widths, groups):
    return channels_first(torch.empty_like(channels_last(x))), torch.empty_like(scale), torch.empty_like(scale)


class Normalisation(torch.autograd.Function):
    """:func:`normalise` with its gradients."""

    @staticmethod
    def forward(x: torch.Tensor, scale: torch.Tensor, shift: torch.Tensor, groups: int, eps: float) -> Any:
        return normalise(x, scale, shift, groups, eps)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        x, scale, _, ctx.groups, _ = inputs
        _, means, widths = output
        ctx.mark_non_differentiable(means, widths)
        ctx.save_for_backward(x, scale, means, widths)

    @staticmethod
    def backward(ctx: Any, given: torch.Tensor, *_: Any) -> Any:
        x, scale, means, widths = ctx.saved_tensors
        return *normalise_back(given, x, scale, means, widths, ctx.groups), None, None


normalisation = of_one_network(lambda *arguments: Normalisation.apply(*arguments)[0])
"""``normalisation(x, scale, shift, groups, eps)`` as of one network: ``x`` ``(n, C, H, W)``."""
