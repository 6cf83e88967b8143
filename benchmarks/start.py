"""Cold starts, each in a fresh process: the command line, and the dashboard up to its first page.

    python -m benchmarks.start [--times 3]

Least and median of several. Writes results/start.json.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks import record

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


def seconds(arguments: list[str]) -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, *arguments], cwd=ROOT, check=True, capture_output=True)
    return time.perf_counter() - began


def measure(times: int = 3) -> dict[str, Any]:
    found = {name: [seconds(arguments) for _ in range(times)] for name, arguments in STARTS.items()}
    return {"seconds": {name: {"least": min(took), "median": median(took)} for name, took in found.items()}}


def table(facts: dict[str, Any]) -> list[tuple[str, str]]:
    """Lay out the measured times, in words."""
    return [
        (f"start, {name}", f"{took['median']:.2f} s (least {took['least']:.2f})")
        for name, took in facts["seconds"].items()
    ]


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
