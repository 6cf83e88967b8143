"""Files of the public Cert-SSBD release (arXiv 2504.21730): pickles from strangers, so read with care, here only.

    model/mnist/onepixel/sigma0.12/smoothed_0.model …    a state dict each
    sigma/mnist/mnist_onepixel_sigma0.12.pth             σ* of the test images

Notes:
    The release's network has one logit z, for class 1; ours has a logit per class. With the logits (0, z) the
    softmax is the release's sigmoid and the argmax its sign. It rectifies before it pools, we after: the two commute.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import torch

from certssb_core.errors import DataError

TRIGGERS = {"one-pixel": "onepixel", "four-pixel": "fourpixel", "blended": "blending"}
"""Our triggers by the release's names."""

SHAPES = {
    "conv1.weight": (16, 1, 5, 5),
    "conv1.bias": (16,),
    "conv2.weight": (32, 16, 5, 5),
    "conv2.bias": (32,),
    "fc.weight": (512, 512),
    "fc.bias": (512,),
    "output.weight": (1, 512),
    "output.bias": (1,),
}
"""Of a member for MNIST, the only network of the release that is known here."""

LARGEST_FILE = 20_000_000
_MEMBER = re.compile(r"smoothed_(\d+)\.model")


def member_paths(root: Path, *, trigger: str, sigma: float) -> list[Path]:
    """The member files of one setting, member 0 first.

    Raises:
        DataError: there are none, or one is missing between others.
    """
    folder = root / "model" / "mnist" / TRIGGERS[trigger] / f"sigma{sigma}"
    numbers = sorted(int(match[1]) for path in folder.glob("*.model") if (match := _MEMBER.fullmatch(path.name)))
    if not numbers:
        raise DataError(f"{folder} holds no members (smoothed_0.model, smoothed_1.model, …)")
    if missing := sorted(set(range(numbers[-1])) - set(numbers)):
        raise DataError(f"{folder / f'smoothed_{missing[0]}.model'} is missing; {len(numbers)} other members are there")
    return [folder / f"smoothed_{number}.model" for number in numbers]


def sigma_path(root: Path, *, trigger: str, sigma: float) -> Path:
    return root / "sigma" / "mnist" / f"mnist_{TRIGGERS[trigger]}_sigma{sigma}.pth"


def read_member(path: Path) -> dict[str, torch.Tensor]:
    """The weights of a member as those of our ``mnist-cnn`` for two classes, float32.

    Raises:
        DataError: the file is missing, truncated, or not such a member.
    """
    weights = _load(path)
    if not isinstance(weights, dict) or weights.keys() != SHAPES.keys():
        raise DataError(f"{path} is no member of the release: it does not hold {', '.join(SHAPES)}")
    for name, shape in SHAPES.items():
        _checked(path, name, weights[name], shape)
    for name in ("output.weight", "output.bias"):
        weights[name] = torch.cat([torch.zeros_like(weights[name]), weights[name]])
    return {name: weight.detach() for name, weight in weights.items()}


def read_sigma(path: Path, *, count: int) -> np.ndarray:
    """σ* of the ``count`` test images, float64, in the order of the test set.

    Raises:
        DataError: the file is missing, truncated, or does not hold so many positive numbers.
    """
    sigma = _checked(path, "σ*", _load(path), (count,))
    if not (sigma > 0).all():
        raise DataError(f"{path} holds a σ* of {sigma.min().item():g}; it must be positive")
    return sigma.detach().double().numpy()


def _checked(path: Path, name: str, tensor: object, shape: tuple[int, ...]) -> torch.Tensor:
    if not isinstance(tensor, torch.Tensor) or tensor.dtype != torch.float32 or tuple(tensor.shape) != shape:
        found = f"{tensor.dtype} {tuple(tensor.shape)}" if isinstance(tensor, torch.Tensor) else type(tensor).__name__
        raise DataError(f"{path}: {name} is {found}, not torch.float32 {shape}")
    if not tensor.isfinite().all():
        raise DataError(f"{path}: {name} holds values that are not numbers")
    return tensor


def _load(path: Path) -> object:
    """The only place of the project that opens a pickle; tensors and plain containers are all it lets in."""
    if not path.is_file():
        raise DataError(f"{path} is missing")
    if path.stat().st_size > LARGEST_FILE:
        raise DataError(f"{path} is larger than {LARGEST_FILE // 10**6} MB: no file of the release")
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever a damaged or hostile file makes the unpickler say
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise DataError(f"{path} is truncated or not a file of the release ({reason:.120})") from None
