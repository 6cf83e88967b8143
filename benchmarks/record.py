"""Record the machine, the versions and the load beside every benchmark's numbers."""

from __future__ import annotations

import json
import os
import platform
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

from certssb_core.pipeline.engines.local import available_cores

RESULTS = Path(__file__).parent / "results"


def machine() -> dict[str, Any]:
    """The machine and what else ran on it: ``load`` is the mean number of busy processes over the last minute."""
    return {
        "processor": _processor(),
        "cores": available_cores(),
        "memory_gib": _memory_gib(),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in ("numpy", "torch")},
        "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "when": time.strftime("%Y-%m-%d %H:%M"),
    }


def write(name: str, facts: dict[str, Any], out: Path | None = None) -> Path:
    """``results/NAME.json``, or ``out``: the facts and the machine; returns where."""
    path = out or RESULTS / f"{name}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({"machine": machine()} | facts, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return path


def show(table: list[tuple[str, str]]) -> None:
    """Print a benchmark's result."""
    for name, value in table:
        print(f"{name:52}{value}", flush=True)


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def _memory_gib() -> float | None:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    except (AttributeError, ValueError, OSError):
        return None
