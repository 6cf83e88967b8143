"""Reach a kernel of a stack from the code of one network, which ``torch.vmap`` maps over networks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch


def channels_last(x: torch.Tensor) -> torch.Tensor:
    """``(k, n, C, H, W)`` as ``(k, n, H, W, C)`` without gaps."""
    return x.permute(0, 1, 3, 4, 2).contiguous()


def channels_first(x: torch.Tensor) -> torch.Tensor:
    """``(k, n, H, W, C)`` as ``(k, n, C, H, W)``, in the same memory."""
    return x.permute(0, 1, 4, 2, 3)


def of_one_network(of_the_stack: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
    """A function of one network's tensors that ``torch.vmap`` turns into one call ``of_the_stack``.

    Tensors that networks share are laid out for each.
    """

    class OfOneNetwork(torch.autograd.Function):
        @staticmethod
        def forward(*arguments: Any) -> Any:
            raise NotImplementedError("only a stack of networks, under torch.vmap, has kernels")

        @staticmethod
        def setup_context(ctx: Any, inputs: Any, output: Any) -> None: ...

        @staticmethod
        def vmap(info: Any, in_dims: tuple[int | None, ...], *arguments: Any) -> Any:
            def stacked(argument: Any, axis: int | None) -> Any:
                if not isinstance(argument, torch.Tensor):
                    return argument
                return argument.expand(info.batch_size, *argument.shape) if axis is None else argument.movedim(axis, 0)

            return of_the_stack(*(stacked(*pair) for pair in zip(arguments, in_dims, strict=True))), 0

    return OfOneNetwork.apply
