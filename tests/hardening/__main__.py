"""The long form of the tests in this folder, with its figures: ``python -m tests.hardening``."""

from __future__ import annotations

import argparse
import importlib.util
import random
import re
import subprocess
import sys
import tempfile
import time
import warnings
from collections import Counter
from pathlib import Path

from certssb_core import capsule
from tests.hardening import damage, faults, inputs

DEAR = {"capsules": 2_000, "comparison": 5_000, "real shard": 5_000, "released members": 5_000, "lessons": 10_000}
"""Readers that take milliseconds an input, and how many they are fed at most."""


def kills(folder: Path, count: int, seed: int) -> int:
    reference, hits = faults.finish(faults.new_run(folder, "undisturbed")), Counter()
    for number, (_, hit) in enumerate(faults.kills(folder, reference, count, seed), 1):
        hits[hit] += 1
        print(f"{number}: killed in {hit}", flush=True)
    killed = hits.total() - hits["end"]
    print(f"{killed} kills, 0 losses: " + ", ".join(f"{stage} {hits[stage]}" for stage in faults.STAGES))
    return 0


def damaged(folder: Path, count: int, seed: int) -> int:
    reference, draws, told = faults.finish(faults.new_run(folder, "undisturbed")), random.Random(seed), Counter()
    for number in range(count):
        kind, way = faults.KINDS[number % len(faults.KINDS)], draws.choice([*faults.DAMAGE])
        told[damage.after(reference, folder / "damaged", kind, way, draws)] += 1
    print(f"{count} damaged files: " + ", ".join(f"{outcome} {times}" for outcome, times in told.items()))
    return told["wrong"]


def hostile(folder: Path, count: int, seed: int) -> int:
    reference = faults.finish(faults.new_run(folder, "run"))
    packed = capsule.export(reference, folder / "run.capsule")
    readers = inputs.readers(reference.path, packed, folder)
    shares = sum(reader.share for name, reader in readers.items() if name not in DEAR)
    total, failures = 0, 0
    for name, reader in readers.items():
        work = folder / "work"
        work.mkdir(exist_ok=True)
        wanted = min(DEAR[name], count // 100) if name in DEAR else -(-count * reader.share // shares)
        found = inputs.attack(reader, inputs.seeded(wanted, seed), work)
        total, failures = total + found.inputs, failures + len(found.failures)
        print(
            f"{name:18} {found.inputs:>9,} inputs, {found.refused:>9,} refused, slowest {found.slowest:.2f} s",
            flush=True,
        )
        for failure in found.failures[:5]:
            print(f"    {failure}")
    print(f"{total:,} inputs, {failures} failures")
    return failures


def guided(folder: Path, minutes: int, seed: int) -> int:
    if importlib.util.find_spec("atheris") is None:
        print("guided needs the package atheris: pip install atheris")
        return 0
    reference = faults.finish(faults.new_run(folder, "run"))
    packed = capsule.export(reference, folder / "run.capsule")
    names = [*inputs.readers(reference.path, packed, folder)]
    given = {"--run": reference.path, "--capsule": packed, "--seconds": 60 * minutes // len(names), "--seed": seed}
    failures, total = 0, 0
    for name in names:
        given["--folder"] = folder / "guided"
        options = [str(part) for option in given.items() for part in option]
        command = [sys.executable, "-m", "tests.hardening.guided", *options, "--", name]
        done = subprocess.run(command, capture_output=True, text=True, errors="replace")
        counts = [int(number) for number in re.findall(r"^#(\d+)", done.stderr, re.MULTILINE)]
        covered = re.findall(r"cov: (\d+)", done.stderr)
        failures, total = failures + (done.returncode != 0), total + max(counts, default=0)
        print(f"{name:18} {max(counts, default=0):>9,} inputs, {(covered or ['0'])[-1]} places reached", flush=True)
        if done.returncode:
            print(done.stderr[-2000:])
    print(f"{total:,} guided inputs, {failures} failures")
    return failures


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.hardening", description=__doc__)
    parser.add_argument("what", nargs="?", choices=("all", "kills", "damage", "inputs", "guided"), default="all")
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--damage", type=int, default=200)
    parser.add_argument("--inputs", type=int, default=1_000_000)
    parser.add_argument("--minutes", type=int, default=12, help="of coverage-guided inputs")
    parser.add_argument("--seed", type=int, default=20261120)
    chosen = parser.parse_args()
    warnings.simplefilter("ignore")  # Pillow warns of what is then refused
    work = {
        "kills": (kills, chosen.kills),
        "damage": (damaged, chosen.damage),
        "inputs": (hostile, chosen.inputs),
        "guided": (guided, chosen.minutes),
    }
    failures = 0
    for name, (function, count) in work.items():
        if chosen.what in (name, "all"):
            began = time.monotonic()
            with tempfile.TemporaryDirectory(prefix="hardening-") as folder:
                failures += function(Path(folder), count, chosen.seed)
            print(f"{name}: {(time.monotonic() - began) / 60:.1f} minutes", flush=True)
    return int(failures > 0)


if __name__ == "__main__":
    sys.exit(main())
