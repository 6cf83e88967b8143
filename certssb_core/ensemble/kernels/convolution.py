"""Convolution as a product whose left side is never laid out: a tile of pixels gathers what it needs, tap by tap.

The gradient of the images is the same product with the taps turned round. That of the filters is a sum over all pixels,
made in parts of a fixed size.
"""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl

from certssb_core.ensemble.kernels.stacking import channels_first, channels_last, of_one_network

PLACES, PLACES_SUMMED = 128, 64
"""Pixels of a tile, and of a step of the sum over pixels."""
WIDE = 128
"""Most channels of a tile of the answer."""
DEPTH = 64
"""Most products that are added up at once."""
SHARE = 2048
"""Pixels whose part of a filter's gradient one program adds up."""
LEAST = 16
"""Least side of a product on tensor cores."""


@triton.jit
def _pixel(place, rows, columns):
    """Image, row and column of pixels that are counted through all images, each ``(…, 1)``."""
    place = place[:, None]
    return place // (rows * columns), place // columns % rows, place % columns


@triton.jit(do_not_specialize=["images"])  # an odd last batch needs no kernel of its own
def _convolve(
    x, weight, bias, out, images, rows, columns, rows_out, columns_out, up, left,
    C: tl.constexpr, FILTERS: tl.constexpr, KH: tl.constexpr, KW: tl.constexpr, STRIDE: tl.constexpr,
    BIASED: tl.constexpr, BACK: tl.constexpr, PLACES: tl.constexpr, WIDE: tl.constexpr, DEPTH: tl.constexpr,
):  # fmt: skip
    member = tl.program_id(1).to(tl.int64)
    place = tl.program_id(0) * PLACES + tl.arange(0, PLACES)
    o = tl.program_id(2) * WIDE + tl.arange(0, WIDE)
    x += member * images * rows * columns * C
    weight += member * KH * KW * C * FILTERS
    out += member * images * rows_out * columns_out * FILTERS
    there = (place < images * rows_out * columns_out)[:, None]
    image, row, column = _pixel(place, rows_out, columns_out)
    found = tl.zeros((PLACES, WIDE), dtype=tl.float32)
    for start in range(0, KH * KW * C, DEPTH):
        k = start + tl.arange(0, DEPTH)
        i, j, c = (k // C // KW)[None, :], (k // C % KW)[None, :], (k % C)[None, :]
        inside = there & (k < KH * KW * C)[None, :]
        if BACK:  # the pixels of the answer that pixel (row, column) took part in
            r, s = row + up - i, column + left - j
            inside &= (r % STRIDE == 0) & (s % STRIDE == 0)
            r, s = r // STRIDE, s // STRIDE
        else:
            r, s = row * STRIDE - up + i, column * STRIDE - left + j
        inside &= (r >= 0) & (r < rows) & (s >= 0) & (s < columns)
        seen = tl.load(x + ((image * rows + r) * columns + s) * C + c, mask=inside, other=0.0)
        there_k = (k < KH * KW * C)[:, None] & (o < FILTERS)[None, :]
        own = tl.load(weight + k[:, None] * FILTERS + o[None, :], mask=there_k, other=0.0)
        found = tl.dot(seen, own, found, input_precision="ieee")
    if BIASED:
        found += tl.load(bias + member * FILTERS + o, mask=o < FILTERS, other=0.0).to(tl.float32)[None, :]
    tl.store(
        out + place[:, None] * FILTERS + o[None, :], found.to(out.dtype.element_ty), mask=there & (o < FILTERS)[None, :]
    )


@triton.jit(do_not_specialize=["images"])  # an odd last batch needs no kernel of its own
def _sum_for_filters(
    x, given, out, members, images, rows, columns, rows_out, columns_out, up, left, share,
    C: tl.constexpr, FILTERS: tl.constexpr, KH: tl.constexpr, KW: tl.constexpr, STRIDE: tl.constexpr,
    PLACES: tl.constexpr, WIDE: tl.constexpr, DEPTH: tl.constexpr,
):  # fmt: skip
    """Over ``share`` pixels of the answer, for DEPTH taps of WIDE filters."""
    blocks: tl.constexpr = (KH * KW * C + DEPTH - 1) // DEPTH
    member, part = tl.program_id(1).to(tl.int64), tl.program_id(2)
    k = tl.program_id(0) % blocks * DEPTH + tl.arange(0, DEPTH)
    o = tl.program_id(0) // blocks * WIDE + tl.arange(0, WIDE)
    i, j, c = (k // C // KW)[None, :], (k // C % KW)[None, :], (k % C)[None, :]
    places = images * rows_out * columns_out
    x += member * images * rows * columns * C
    given += member * places * FILTERS
    out += (part * members + member) * KH * KW * C * FILTERS
    found = tl.zeros((DEPTH, WIDE), dtype=tl.float32)
    for start in range(0, share, PLACES):
        place = part * share + start + tl.arange(0, PLACES)
        there = (place < places)[:, None]
        image, row, column = _pixel(place, rows_out, columns_out)
        r, s = row * STRIDE - up + i, column * STRIDE - left + j
        inside = (r >= 0) & (r < rows) & (s >= 0) & (s < columns) & there & (k < KH * KW * C)[None, :]
        seen = tl.load(x + ((image * rows + r) * columns + s) * C + c, mask=inside, other=0.0)
        slope = tl.load(given + place[:, None] * FILTERS + o[None, :], mask=there & (o < FILTERS)[None, :], other=0.0)
        found = tl.dot(tl.trans(seen), slope, found, input_precision="ieee")
    tl.store(out + k[:, None] * FILTERS + o[None, :], found, mask=(k < KH * KW * C)[:, None] & (o < FILTERS)[None, :])


def _side(count: int, most: int) -> int:
    return min(most, max(LEAST, triton.next_power_of_2(count)))


def _launch(
    x: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None,
    out: torch.Tensor,
    stride: int,
    padding: list[int],
    back: bool = False,
) -> None:
    """Convolve ``x`` ``(k, n, H, W, C)`` with ``weight`` ``(k, kh, kw, C, O)`` into ``out``, all without gaps."""
    k, n, rows, columns, c = x.shape
    rows_out, columns_out, o = out.shape[2:]
    kh, kw = weight.shape[1:3]
    wide, depth = _side(o, WIDE), _side(c if c >= LEAST else kh * kw * c, DEPTH)
    _convolve[(triton.cdiv(n * rows_out * columns_out, PLACES), k, triton.cdiv(o, wide))](
        x, weight, weight if bias is None else bias, out, n, rows, columns, rows_out, columns_out, *padding,
        C=c, FILTERS=o, KH=kh, KW=kw, STRIDE=stride, BIASED=bias is not None, BACK=back,
        PLACES=PLACES, WIDE=wide, DEPTH=depth,
    )  # fmt: skip


@torch.library.custom_op("certssb::convolve", mutates_args=())
def convolve(
    x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, stride: int, padding: list[int]
) -> torch.Tensor:
    """Convolve ``x`` ``(k, n, C, H, W)`` with the filters ``(k, O, C, kh, kw)`` of the same network, plus its bias."""
    out = _answer(x, weight, stride, padding)
    filters = weight.permute(0, 3, 4, 2, 1).contiguous()
    _launch(channels_last(x), filters, None if bias is None else bias.contiguous(), out, stride, padding)
    return channels_first(out)


def _answer(x: torch.Tensor, weight: torch.Tensor, stride: int, padding: list[int]) -> torch.Tensor:
    """Room for the answer, channels last."""
    sides = zip(x.shape[3:], padding, weight.shape[3:], strict=True)
    high, wide = ((side + 2 * edge - taps) // stride + 1 for side, edge, taps in sides)
    return x.new_empty((*x.shape[:2], high, wide, weight.shape[1]))


@convolve.register_fake
def _(x, weight, bias, stride, padding):
    return channels_first(_answer(x, weight, stride, padding))


@torch.library.custom_op("certssb::convolve_back", mutates_args=())
def convolve_back(
    given: torch.Tensor, x: torch.Tensor, weight: torch.Tensor, stride: int, padding: list[int], images: bool
) -> tuple[torch.Tensor, torch.Tensor]:
    """Gradients of the images, if asked for, and of the filters, where the answer's is ``given``."""
    k, n, c, h, w = x.shape
    o, _, kh, kw = weight.shape[1:]
    given, x = channels_last(given), channels_last(x)
    before = torch.empty_like(x) if images else x.new_empty((0,) * 5)
    if images:
        _launch(given, weight.permute(0, 3, 4, 1, 2).contiguous(), None, before, stride, padding, back=True)
    high, broad = given.shape[2:4]
    places = n * high * broad
    share = min(SHARE, PLACES_SUMMED * triton.cdiv(places, PLACES_SUMMED))
    parts, wide, depth = triton.cdiv(places, share), _side(o, WIDE), _side(kh * kw * c, DEPTH)
    sums = x.new_empty((parts, k, kh, kw, c, o), dtype=torch.float32)
    _sum_for_filters[(triton.cdiv(kh * kw * c, depth) * triton.cdiv(o, wide), k, parts)](
        x, given, sums, k, n, h, w, high, broad, *padding, share,
        C=c, FILTERS=o, KH=kh, KW=kw, STRIDE=stride, PLACES=PLACES_SUMMED, WIDE=wide, DEPTH=depth,
    )  # fmt: skip
    return channels_first(before), sums.sum(0).permute(0, 4, 3, 1, 2).to(weight.dtype)


@convolve_back.register_fake
def _(given, x, weight, stride, padding, images):
    before = torch.empty_like(channels_last(x)) if images else x.new_empty((0,) * 5)
    return channels_first(before), torch.empty_like(weight.permute(0, 3, 4, 2, 1).contiguous()).permute(0, 4, 3, 1, 2)


class Convolution(torch.autograd.Function):
    """:func:`convolve` with its gradients."""

    @staticmethod
    def forward(
        x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, stride: int, padding: list[int]
    ) -> torch.Tensor:
        return convolve(x, weight, bias, stride, padding)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        x, weight, bias, ctx.stride, ctx.padding = inputs
        ctx.biased = bias is not None
        ctx.save_for_backward(x, weight)

    @staticmethod
    def backward(ctx: Any, given: torch.Tensor) -> Any:
        x, weight = ctx.saved_tensors
        images = ctx.needs_input_grad[0]
        before, filters = convolve_back(given, x, weight, ctx.stride, ctx.padding, images)
        bias = given.sum((1, 3, 4), dtype=torch.float32).to(weight.dtype) if ctx.biased else None
        return before if images else None, filters, bias, None, None


convolution = of_one_network(Convolution.apply)
"""``convolution(x, weight, bias, stride, padding)`` as of one network: ``x`` ``(n, C, H, W)``."""
