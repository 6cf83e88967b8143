"""Try a GPU machine in one command: is the path correct there, and how fast is it?

    python -m benchmarks.gpu [--seconds 480] [--parts a,b] [--device cpu] [--out FILE]

It needs Python 3.11 and the wheels in NEEDED; no dashboard. Every result is a line of JSON, written as soon as it is
there, to results/gpu.jsonl. Parts, in this order, each while its share of the time lasts: the machine; correctness; a
step by kernels of ours against one by products; members per second at rising stack sizes, with the share of the
device's own rate of products; votes; the search for σ*; whole runs of mnist-01-onepixel with 1,000 and 10,000 members.
MNIST is read under CERTSSB_DATA. Without it, made-up images of its sizes stand in: times hold for both, accuracy means
nothing then, and every line says which it was.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks.gpu_clock import NO_TIME, Clock

NEEDED = {
    "torch": "torch",
    "numpy": "numpy",
    "scipy": "scipy",
    "pandas": "pandas",
    "pydantic": "pydantic",
    "safetensors": "safetensors",
    "filelock": "filelock",
    "sklearn": "scikit-learn",
    "PIL": "pillow",
}
OUT = Path(__file__).parent / "results" / "gpu.jsonl"


def missing() -> list[str]:
    """Names of the wheels that are not installed."""
    return [wheel for module, wheel in NEEDED.items() if importlib.util.find_spec(module) is None]


def parts() -> dict[str, tuple[float, Callable[[str, Clock], Iterator[dict[str, Any]]]]]:
    """The parts by name, each with its share of the time; only called once the wheels are there."""
    from benchmarks import gpu_checks, gpu_rates, gpu_runs

    return {
        "machine": (0.05, gpu_rates.machine),
        "correctness": (0.5, gpu_checks.correctness),
        "kernels": (0.2, gpu_rates.kernels),
        "members": (0.25, gpu_rates.members),
        "votes": (0.1, gpu_rates.votes),
        "sigma": (0.05, gpu_rates.sigma),
        "runs": (1.0, gpu_runs.runs),
    }


def run_all(device: str, seconds: float, out: Path, names: Sequence[str] = ()) -> bool:
    """Run the parts of these names, or all, and write their results as they come; True if nothing failed."""
    work_of = {name: part for name, part in parts().items() if name in names or not names}
    clock, well = Clock(seconds), True
    out.parent.mkdir(parents=True, exist_ok=True)
    with out.open("w", encoding="utf-8") as lines:

        def report(part: str, **facts: Any) -> None:
            line = {"part": part, "at": round(clock.gone, 2)} | facts
            lines.write(json.dumps(line, ensure_ascii=False) + "\n")
            lines.flush()
            os.fsync(lines.fileno())
            print(" ".join(f"{name}={value}" for name, value in line.items()), flush=True)

        for name, (share, work) in work_of.items():
            clock.begin(share)
            if clock.over:
                report(name, left_out=NO_TIME)
                continue
            try:
                for facts in work(device, clock):
                    well &= facts.get("passed", True)
                    report(name, **facts)
            except Exception as error:  # a part that fails must not take the others' results with it
                well = False
                report(name, failed=f"{type(error).__name__}: {error}"[:2000])
        report("end", passed=well)
    return well


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__)
    parser.add_argument("--seconds", type=float, default=480.0)
    parser.add_argument("--parts", default="", help="names separated by commas; default: all")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--out", type=Path, default=OUT)
    settings = parser.parse_args()
    if wheels := missing():
        sys.exit(f"these wheels are missing: python -m pip install {' '.join(wheels)}")
    import torch

    if settings.device == "cpu":
        torch.set_num_threads(1)  # as a run's workers do
    elif not torch.cuda.is_available():
        sys.exit("no CUDA device is present here; `--device cpu --seconds 30` tries the same parts, small, without one")
    with tempfile.TemporaryDirectory() as folder:
        os.environ.setdefault("CERTSSB_RUNS", folder)
        names = [name for name in settings.parts.split(",") if name]
        if unknown := set(names) - set(parts()):
            parser.error(f"no such part: {', '.join(sorted(unknown))}; known: {', '.join(parts())}")
        sys.exit(0 if run_all(settings.device, settings.seconds, settings.out, names) else 1)


if __name__ == "__main__":
    main()
