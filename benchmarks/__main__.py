"""All benchmarks, one after the other, each in a process of its own; then one table of what they found.

    python -m benchmarks [PART …] [--quick] [--table]        (MNIST under CERTSSB_DATA)

Parts: training (and votes), sigma, store, start, scaling, costs; default: all. Each writes results/PART.json, with the
machine. ``--quick`` takes minutes instead of an hour and writes to results/quick/; ``--table`` only prints what lies in
results/.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks import costs, record, scaling, start, store, training


def sigma_table(facts: dict[str, Any]) -> list[tuple[str, str]]:
    """Lay out the result of benchmarks/sigma.py."""
    rows = []
    for name, found in facts["results"].items():
        took = f", {found['ms_per_image']:.1f} ms an image" if "ms_per_image" in found else ""
        rows.append((f"σ*, {name}", f"regret {found['regret']:.3f}{took}"))
    return rows


TABLES = {
    "training": training.table,
    "sigma": sigma_table,
    "store": store.table,
    "start": start.table,
    "scaling": scaling.table,
    "costs": costs.table,
}
QUICK = {
    "training": ["--members", "2", "--images", "2000"],
    "sigma": ["--images", "20", "--epochs", "2", "--grid", "8"],
    "store": ["--balls", "4000", "--published", "1000"],
    "start": ["--times", "1"],
    "scaling": ["--members", "4"],
    "costs": ["digits-quick"],
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(TABLES))
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--table", action="store_true")
    settings = parser.parse_args()
    if unknown := set(settings.parts) - set(TABLES):
        parser.error(f"no such part: {', '.join(sorted(unknown))}; known: {', '.join(TABLES)}")
    results = record.RESULTS / "quick" if settings.quick else record.RESULTS
    results.mkdir(parents=True, exist_ok=True)
    rows: list[tuple[str, str]] = []
    for part in settings.parts or TABLES:
        result = results / f"{part}.json"
        if not settings.table:
            arguments = [*(QUICK[part] if settings.quick else []), "--out", str(result)]
            subprocess.run([sys.executable, "-m", f"benchmarks.{part}", *arguments], check=True)
        if result.exists():
            rows += TABLES[part](json.loads(Path(result).read_text(encoding="utf-8")))
    print()
    record.show(rows)


if __name__ == "__main__":
    main()
