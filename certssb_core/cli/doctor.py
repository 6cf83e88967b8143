"""Checks of this machine: devices, datasets, optional packages."""

from __future__ import annotations

import importlib.metadata
import platform
from dataclasses import dataclass

from certssb_core.data.datasets import DATASETS, availability, passed_over
from certssb_core.errors import DataError
from certssb_core.pipeline.engines.local import available_cores

EXTRAS = {
    "ray": "spreading members over a cluster",
    "optuna": "sweeps over settings",
    "diffusers": "denoising of noisy training images",
}
"""Optional packages, and for what; only the part that is named needs one."""


@dataclass(frozen=True)
class Finding:
    """One thing looked for: whether it is there, and a sentence about it."""

    name: str
    present: bool
    message: str


def examine() -> list[Finding]:
    """Look at the device, the data and the optional packages; downloads nothing."""
    found = [Finding("python", True, platform.python_version()), *_devices()]
    for name in DATASETS:
        there = availability(name)
        found.append(Finding(f"data: {name}", there.present, f"{there.message} {_passed_over(name)}".rstrip()))
    present = {found.name for found in importlib.metadata.distributions()}
    for package, purpose in EXTRAS.items():
        installed = package in present
        found.append(Finding(f"extra: {package}", installed, f"{purpose} ({'' if installed else 'not '}installed)"))
    return found


def _passed_over(name: str) -> str:
    try:
        return passed_over(name)
    except DataError as error:
        return str(error)


def _devices() -> list[Finding]:
    """Devices that torch finds; or the reason why torch cannot be loaded."""
    try:
        import torch

        from certssb_core.ensemble.training import native_precision
    except (ImportError, OSError) as error:  # a missing library, or one of another version
        return [
            Finding("cpu", True, f"{available_cores()} cores"),
            Finding("torch", False, f"PyTorch cannot be loaded, so nothing can be trained or asked here: {error}"),
        ]
    cuda = torch.cuda.is_available()
    precision = native_precision(torch.device("cuda" if cuda else "cpu"), side=28)
    name = torch.cuda.get_device_name() if cuda else "no CUDA device: everything runs on the CPU"
    return [
        Finding("cpu", True, f"{available_cores()} cores, {torch.backends.cpu.get_cpu_capability()}"),
        Finding("cuda", cuda, name),
        Finding("precision", True, f"{precision} for images of 16 pixels and more"),
    ]
