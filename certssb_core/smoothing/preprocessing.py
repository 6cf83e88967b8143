"""Preprocessing of noisy training images: post-processing of the noise, so certificates stay as they are."""

from __future__ import annotations

from collections.abc import Callable

import torch

Preprocessing = Callable[[torch.Tensor], torch.Tensor]
"""Noisy images ``(n, C, H, W)`` → images of the same shape."""

PREPROCESSING: dict[str, Preprocessing] = {"none": lambda images: images}
