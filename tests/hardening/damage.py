"""A damaged file in a finished run: whoever reads a number of it is told, and no number is another one."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

from certssb_core.errors import ConfigError, RunError, StoreError
from certssb_core.runs import integrity
from certssb_core.runs.run import Run
from certssb_core.verification import verify
from tests.hardening.faults import DAMAGE
from ui.kit import run_files

READ = {
    "config.json": lambda run: run_files.run_votes(run),
    "poison.safetensors": lambda run: run_files.arrays(run, "poison"),
    "sigma.safetensors": lambda run: run_files.arrays(run, "sigma"),
    "votes.safetensors": lambda run: run_files.run_votes(run),
    "certificates.csv": lambda run: run_files.certificates(run),
    "metrics.json": lambda run: run_files.metrics(run),
    "store.sqlite": lambda run: run_files.balls_and_ledger(run),
}
"""The dashboard's reader of each file. The query process reads the other files, and checks all of them first."""


def after(reference: Run, path: Path, kind: str, way: str, draws: random.Random) -> str:
    """Damage ``kind`` in a copy of a finished run, in a ``way`` of :data:`DAMAGE`, and read what the pages show.

    Returns:
        ``told``: reading it, and verifying the run, says so. ``harmless``: the log of a run is no result; what it
        says of the run's state is that it finished, or that it has to be resumed. ``wrong``: a number was shown.
    """
    if path.exists():
        shutil.rmtree(path)
    run = Run(shutil.copytree(reference.path, path))
    DAMAGE[way](run.path / kind, draws)
    if kind == "events.jsonl":
        return "harmless" if run.status().state in ("done", "failed", "stopped", "new") else "wrong"
    if (run.path / kind).exists() and (run.path / kind).read_bytes() == (reference.path / kind).read_bytes():
        return "harmless"  # nothing was cut off
    try:
        READ.get(kind, integrity.check)(run)
    except (ConfigError, RunError, StoreError):
        return "told"
    if kind == "manifest.json":  # it holds no number that is shown, and has its own hash
        failed = {finding.check for finding in verify(run) if finding.outcome == "failed"}
        return "told" if failed & {"manifest", "files"} else "wrong"
    return "wrong"
