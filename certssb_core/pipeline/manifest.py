"""The manifest of a finished run: versions, device, seed, the sha256 of every file, and its own."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch

from certssb_core.pipeline.engines.local import available_cores
from certssb_core.runs import files
from certssb_core.runs.run import Run
from certssb_core.version import VERSION

PACKAGES = ("torch", "torchvision", "numpy", "scipy", "pandas", "scikit-learn", "safetensors", "pydantic")


def write_manifest(run: Run) -> None:
    """Hash all files of a run but those that live on after it, and write ``manifest.json``."""
    hashed = sorted(
        path for path in run.path.rglob("*") if path.is_file() and path.name not in ("manifest.json", *Run.UNHASHED)
    )
    manifest = {
        "certssb": VERSION,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "versions": {name: _version(name) for name in PACKAGES},
        "device": _device(run),
        "seed": run.config.seed,
        "not_hashed": list(Run.UNHASHED),
        "sha256": {path.relative_to(run.path).as_posix(): files.sha256(path) for path in hashed},
    }
    files.write_json(run.path / "manifest.json", manifest | {"seal": files.seal(manifest)})


def enter(run: Run, *names: str) -> None:
    """Enter files that were made after the run had finished, with their sha256; nothing else is written anew."""
    manifest = run.manifest
    manifest["sha256"] |= {name: files.sha256(run.path / name) for name in names}
    manifest["sha256"] = dict(sorted(manifest["sha256"].items()))
    sealed = {"seal": files.seal(manifest)} if "seal" in manifest else {}
    files.write_json(run.path / "manifest.json", manifest | sealed)


def _device(run: Run) -> dict[str, Any]:
    training = run.config.training
    device = {"kind": training.device, "precision": training.precision, "together": training.together}
    device["votes"] = training.precision  # runs made before this was noted voted in float32
    if training.device == "cuda":
        return device | {"name": torch.cuda.get_device_name()}
    return device | {
        "name": platform.processor() or platform.machine(),
        "cores": available_cores(),
        "capability": torch.backends.cpu.get_cpu_capability(),
    }


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
