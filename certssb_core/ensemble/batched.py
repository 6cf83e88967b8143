"""Several networks of one kind as one computation: weights stacked, operations batched, none sees another."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from contextlib import nullcontext
from functools import cache
from typing import Any

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from certssb_core.ensemble.layers import group_norm, max_pool


class Stacking(TorchFunctionMode):
    """Layers in a form that stacks: in bfloat16 on a GPU kernels of ours, and elsewhere products for convolutions.

    Mapped over networks, torch's own convolution meets bfloat16 images with a float32 bias and fails under autocast,
    and on a GPU its groups are slow. A product is cast as a whole, and is one call for all networks.
    """

    def __torch_function__(self, function: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        if function is F.conv2d:
            return self._conv2d(*args, **(kwargs or {}))
        if function is group_norm and has_kernel(args[0]):
            x, groups, scale, shift, eps = args
            if x.shape[1].bit_count() == groups.bit_count() == 1:  # powers of two
                from certssb_core.ensemble.kernels.normalisation import normalisation

                return normalisation(x, scale, shift, groups, eps)
        if function is max_pool and has_kernel(args[0]):
            from certssb_core.ensemble.kernels.pooling import pooling

            return pooling(*args)
        return function(*args, **(kwargs or {}))

    @staticmethod
    def _conv2d(
        x: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None = None,
        stride: tuple[int, int] = (1, 1),
        padding: tuple[int, int] = (0, 0),
        dilation: tuple[int, int] = (1, 1),
        groups: int = 1,
    ) -> torch.Tensor:
        if groups != 1 or isinstance(padding, str):
            raise NotImplementedError("only plain convolutions are stacked")
        if has_kernel(x) and stride[0] == stride[1] and tuple(dilation) == (1, 1):
            from certssb_core.ensemble.kernels.convolution import convolution

            return convolution(x, weight, bias, stride[0], list(padding))
        x = F.pad(x, (padding[1], padding[1], padding[0], padding[0])) if any(padding) else x
        fields = x
        for axis, (wide, far, step) in enumerate(zip(weight.shape[2:], dilation, stride, strict=True), start=2):
            fields = fields.unfold(axis, far * (wide - 1) + 1, step)[..., ::far]  # a view: nothing is copied yet
        # (n, C, H', W', kh, kw) → (n, C·kh·kw, H'·W'), the one copy; then one product for all images
        patches = fields.permute(0, 1, 4, 5, 2, 3).flatten(1, 3).flatten(2)
        found = (weight.flatten(1) @ patches).unflatten(-1, fields.shape[2:4])
        return found if bias is None else found + bias.to(found.dtype).view(-1, 1, 1)


def has_kernel(x: torch.Tensor) -> bool:
    """True where :mod:`.kernels` take ``x``: in bfloat16, on a GPU, where they can be compiled.

    In float32, which has no tensor cores, products are as fast.
    """
    return x.is_cuda and x.dtype == torch.bfloat16 and _kernels_work()


@cache
def _kernels_work() -> bool:
    """Try one: Triton may be missing, or the compiler or headers that it needs."""
    try:
        from certssb_core.ensemble.kernels.pooling import pool

        pool(torch.zeros(1, 1, 1, 2, 2, dtype=torch.bfloat16, device="cuda"))
    except Exception as error:  # whatever it is, products do the same
        warnings.warn(f"this GPU's kernels cannot be compiled, so members take longer: {error}", stacklevel=2)
        return False
    return True


def stacked_weights(networks: Sequence[nn.Module]) -> dict[str, torch.Tensor]:
    """Every tensor of k networks of one kind, stacked along a first axis: ``(k, …)``."""
    states = [network.state_dict() for network in networks]
    return {name: torch.stack([state[name] for state in states]) for name in states[0]}


def forward_together(
    network: nn.Module, weights: dict[str, torch.Tensor], inputs: torch.Tensor, *, products: bool = False
) -> torch.Tensor:
    """Logits ``(k, n, classes)`` of k networks, each about its own ``inputs`` ``(k, n, C, H, W)``.

    Args:
        network: gives the computation; its own weights take no part.
        weights: of the k networks, every tensor stacked along a first axis.
        products: convolve by :class:`Stacking`; without a gradient, the CPU is faster in groups.
    """

    def logits(own: dict[str, torch.Tensor], seen: torch.Tensor) -> torch.Tensor:
        with Stacking() if products else nullcontext():
            return torch.func.functional_call(network, own, (seen,))

    return torch.vmap(logits)(weights, inputs)


def bytes_while_training(
    network: nn.Module, image: torch.Tensor, *, images: int, batch_size: int, dtype: torch.dtype
) -> int:
    """Upper estimate of the memory that one more stacked network takes while it is trained on a GPU.

    Its images, in float32 and stacked in ``dtype``; the weights, Adam's two moments, and the gradient as computed and
    as kept, and in another type a copy of weights and gradient; what the gradient of a batch keeps of every image
    ``(C, H, W)``, counted with tensors that hold no numbers, and as much again for what passes by. A closed form keeps
    nothing.
    """
    if torch.cuda.is_available():
        _kernels_work()  # tried here, for with such tensors everything works
    shapes = {name: own.shape for name, own in network.state_dict().items()}
    parameters = sum(shape.numel() for shape in shapes.values())
    of_one, of_two = (
        0 if hasattr(network, "solve") else _bytes_kept(network, shapes, image.shape, count, dtype) for count in (1, 2)
    )
    copies = 0 if dtype == torch.float32 else 2 * dtype.itemsize
    of_weights = (5 * 4 + copies) * parameters
    return (4 + dtype.itemsize) * images * image.numel() + of_weights + 2 * batch_size * (of_two - of_one)


def _bytes_kept(
    network: nn.Module, shapes: dict[str, torch.Size], image: torch.Size, count: int, dtype: torch.dtype
) -> int:
    """Bytes that the gradient of ``count`` images keeps, weights among them."""
    kept = 0

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        nonlocal kept
        kept += tensor.numel() * tensor.element_size()
        return tensor

    with FakeTensorMode(), torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        weights = {
            name: torch.empty((1, *shape), dtype=dtype, device="cuda", requires_grad=True)
            for name, shape in shapes.items()
        }
        seen = torch.empty((1, count, *image), dtype=dtype, device="cuda")
        forward_together(network, weights, seen, products=True)
    return kept
