"""Random streams as pure functions of a run's seed and a purpose.

On the CPU every stream is NumPy's counter-based Philox under a 128-bit key made from
``(seed, purpose, *numbers)``; torch's own CPU generator keeps only 32 bits of a seed, in which the
streams of ten thousand members would collide. On CUDA the device's Philox takes 64 bits of that key.
"""

from __future__ import annotations

import hashlib

import numpy as np
import torch

BLOCK = 1024
"""Images per noise stream: image i is drawn from block i // BLOCK, so its noise does not depend on how many follow."""


def key(seed: int, purpose: str, *numbers: int) -> bytes:
    """Key of one stream, 16 bytes."""
    return hashlib.blake2b(repr((seed, purpose, *numbers)).encode(), digest_size=16).digest()


def generator(seed: int, purpose: str, *numbers: int) -> np.random.Generator:
    """An independent NumPy generator for one purpose."""
    words = np.frombuffer(key(seed, purpose, *numbers), dtype=np.uint64)
    return np.random.Generator(np.random.Philox(key=words))


def torch_seed(seed: int, purpose: str, number: int = 0) -> int:
    """A 32-bit seed for torch's initialisers, distinct for every ``number`` of one purpose."""
    return (int.from_bytes(key(seed, purpose)[:4], "little") + number) % 2**32


def standard_normal(
    count: int,
    shape: tuple[int, ...],
    *,
    seed: int,
    purpose: str,
    member: int,
    device: torch.device | str = "cpu",
) -> torch.Tensor:
    """Standard normal noise for ``count`` images, a pure function of (seed, purpose, member, image).

    Returns:
        float32 tensor ``(count, *shape)``; row i is the same for every ``count`` > i.
    """
    device = torch.device(device)
    noise = torch.empty((count, *shape), dtype=torch.float32, device=device)
    stream = None if device.type == "cpu" else torch.Generator(device=device)
    for block, start in enumerate(range(0, count, BLOCK)):
        part = noise[start : start + BLOCK]
        if stream is None:
            generator(seed, purpose, member, block).standard_normal(dtype=np.float32, out=part.numpy())
        else:
            words = int.from_bytes(key(seed, purpose, member, block)[:8], "little") >> 1
            full = part if len(part) == BLOCK else part.new_empty((BLOCK, *shape))
            full.normal_(generator=stream.manual_seed(words))
            if full is not part:
                part.copy_(full[: len(part)])
    return noise
