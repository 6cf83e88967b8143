"""Cold starts, each in a fresh process: the command line, the dashboard up to its first page, and a run's workers.

    python -m benchmarks.start [--times 3]

Least and median of several. Workers are ready when each has taken a step of Adam; forked and spawned ones alternate.
Their memory is each one's share of what several processes hold. Writes results/start.json.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks import record
from certssb_core.pipeline.engines import local

ROOT = Path(__file__).parents[1]
FIRST_PAGE = (
    "from streamlit.testing.v1 import AppTest\n"
    "page = AppTest.from_file('app.py', default_timeout=300).run()\n"
    "assert not page.exception, page.exception"
)
STARTS = {
    "python alone": ["-c", "pass"],
    "import torch": ["-c", "import torch"],
    "command line: --help": ["-m", "certssb_core", "--help"],
    "command line: list": ["-m", "certssb_core", "list"],
    "dashboard: import streamlit": ["-c", "import streamlit"],
    "dashboard: its first page": ["-c", FIRST_PAGE],
}
WORKERS = 4
WAYS = {"forked": True, "spawned": False} if local.FORKS else {"spawned": False}
"""How the workers of a run start."""


def outcome(arguments: list[str]) -> tuple[float, str]:
    """Seconds that a fresh process takes, and what it prints."""
    began = time.perf_counter()
    ended = subprocess.run([sys.executable, *arguments], cwd=ROOT, check=True, capture_output=True, text=True)
    return time.perf_counter() - began, ended.stdout


def start_workers(*, forks: bool) -> None:
    """Start workers as a run does, and print what :func:`measure` notes of them."""
    local.FORKS = forks
    began = time.perf_counter()
    local.make_ready()
    import torch  # noqa: F401 - as the process that makes a run does

    engine = local.ProcessEngine(WORKERS)
    list(engine.map(_first_step, [(number,) for number in range(4 * WORKERS)]))
    ready = time.perf_counter() - began
    shares = {pid: share for _, (pid, share) in engine.map(_memory, [(number,) for number in range(4 * WORKERS)])}
    began = time.perf_counter()
    engine.close()
    ended = time.perf_counter() - began
    print(json.dumps({"ready": ready, "ended": ended, "mb": sum(shares.values()) / len(shares) / 1e6}))


def _first_step(_: int) -> None:
    import torch

    weight = torch.ones(1, requires_grad=True)
    weight.square().backward()
    torch.optim.Adam([weight]).step()


def _memory(_: int) -> tuple[int, int]:
    """This process's number, and its share of the memory it holds, bytes; 0 where the system does not say."""
    try:
        lines = Path("/proc/self/smaps_rollup").read_text(encoding="ascii").splitlines()
    except OSError:
        return os.getpid(), 0
    return os.getpid(), next(1024 * int(line.split()[1]) for line in lines if line.startswith("Pss:"))


def measure(times: int = 3) -> dict[str, Any]:
    found = {name: [outcome(arguments)[0] for _ in range(times)] for name, arguments in STARTS.items()}
    workers: dict[str, list[dict[str, float]]] = {way: [] for way in WAYS}
    for _ in range(times):
        for way, forks in WAYS.items():
            script = f"from benchmarks import start; start.start_workers(forks={forks})"
            workers[way].append(json.loads(outcome(["-c", script])[1]))
    return {
        "seconds": {name: {"least": min(took), "median": median(took)} for name, took in found.items()},
        f"{WORKERS} workers": {
            way: {fact: median(one[fact] for one in noted) for fact in noted[0]} for way, noted in workers.items()
        },
    }


def table(facts: dict[str, Any]) -> list[tuple[str, str]]:
    """Lay out the measured times, in words."""
    rows = [
        (f"start, {name}", f"{took['median']:.2f} s (least {took['least']:.2f})")
        for name, took in facts["seconds"].items()
    ]
    for way, one in facts[f"{WORKERS} workers"].items():
        words = f"{one['ready']:.2f} s, {one['ended']:.2f} s to end, {one['mb']:.0f} MB each"
        rows.append((f"start, {WORKERS} workers, {way}", words))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=3)
    parser.add_argument("--out", type=Path)
    settings = parser.parse_args()
    facts = measure(settings.times)
    record.show(table(facts))
    record.write("start", facts, settings.out)


if __name__ == "__main__":
    main()
