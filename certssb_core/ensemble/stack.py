"""Training of k networks of one kind as one computation: every weight stacked, every operation one for all.

Weights, their gradients and Adam's state are float32. In bfloat16 the products take copies of the weights that are cast
once a step, and their gradients are cast back once. On a GPU the gradients of a step are captured as a CUDA graph and
replayed with other rows: the host launches a handful of operations a step and waits for none.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional as F

from certssb_core.ensemble.batched import forward_together, stacked_weights

WORTH_CAPTURING = 16
"""Steps of one batch size from which on a graph is captured: that costs as much as a few steps."""


class Stack:
    """The inner step of k networks of one kind.

    Adam works element by element, so that one optimiser of the stacked weights is k optimisers.

    The networks may lie on another device than the images; they end on that of the images.

    Attributes:
        parameters: the stacked weights ``(k, …)``, float32; their gradients are buffers that stay where they are.
    """

    def __init__(
        self,
        networks: Sequence[nn.Module],
        images: Sequence[torch.Tensor],
        labels: Sequence[torch.Tensor],
        dtype: torch.dtype,
    ) -> None:
        self._networks = [network.train() for network in networks]
        self._images = torch.stack([own.to(dtype) for own in images])
        self._labels = torch.stack(list(labels))
        self._own = torch.arange(len(networks), device=self._images.device)[:, None]
        device = self._images.device
        stacked = {
            name: weights.to(device).contiguous().requires_grad_()
            for name, weights in stacked_weights(networks).items()
        }
        self._stacked, self.parameters = stacked, list(stacked.values())
        self._gradients = [torch.zeros_like(weights) for weights in self.parameters]
        for weights, gradient in zip(self.parameters, self._gradients, strict=True):
            weights.grad = gradient
        # of float32 these are no copies but the weights themselves
        self._copies = {name: weights.detach().to(dtype).requires_grad_() for name, weights in stacked.items()}
        self._casts = dtype != torch.float32

    def loss(self, rows: torch.Tensor) -> torch.Tensor:
        """Sum over the networks of the mean cross-entropy of their images ``rows`` ``(k, b)``."""
        logits = forward_together(self._networks[0], self._copies, self._images[self._own, rows], products=True)
        labels = self._labels[self._own, rows]
        losses = F.cross_entropy(logits.float().flatten(0, 1), labels.flatten(), reduction="none")
        return losses.view(rows.shape).mean(1).sum()

    def gradients(self, rows: torch.Tensor) -> None:
        """Set the weights' gradients to those of :meth:`loss`."""
        copies = list(self._copies.values())
        if self._casts:
            with torch.no_grad():
                torch._foreach_copy_(copies, self.parameters)
        found = torch.autograd.grad(self.loss(rows), copies)
        with torch.no_grad():
            torch._foreach_copy_(self._gradients, list(found))

    def finish(self) -> None:
        """Give every network its weights: its part of the stack's, which is not copied."""
        trained = {name: weights.detach() for name, weights in self._stacked.items()}
        for place, network in enumerate(self._networks):
            for name, weights in network.named_parameters():
                weights.data = trained[name][place]
            network.eval()


class Captured:
    """The gradients of a stack, replayed from one CUDA graph per batch size.

    A batch size that the training meets seldom, such as that of an epoch's last batch, is computed as it comes.
    """

    def __init__(self, stack: Stack, steps: dict[int, int]) -> None:
        """``steps``: the number of steps of each batch size."""
        self._stack, self._steps = stack, steps
        self._graphs: dict[int, tuple[torch.cuda.CUDAGraph, torch.Tensor]] = {}
        self.parameters = stack.parameters
        self.finish = stack.finish

    def gradients(self, rows: torch.Tensor) -> None:
        """Set the weights' gradients to those of the images ``rows`` ``(k, b)``."""
        size = rows.shape[1]
        if self._steps.get(size, 0) < WORTH_CAPTURING:
            return self._stack.gradients(rows)
        if size not in self._graphs:
            self._graphs[size] = self._capture(rows)
        graph, seen = self._graphs[size]
        seen.copy_(rows)
        graph.replay()

    def _capture(self, rows: torch.Tensor) -> tuple[torch.cuda.CUDAGraph, torch.Tensor]:
        seen = rows.clone(memory_format=torch.contiguous_format)
        aside = torch.cuda.Stream()
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            for _ in range(2):  # libraries allocate at their first calls, which a graph must not record
                self._stack.gradients(seen)
        torch.cuda.current_stream().wait_stream(aside)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self._stack.gradients(seen)
        return graph, seen
