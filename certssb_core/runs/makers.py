"""Find the runs that a study or a measurement made for itself: no page's default, and no forecast's source."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

STUDIES, MEASUREMENTS = ".studies", ".measurements"
"""Their folders, in the folder of the runs."""


def makers(runs_dir: Path) -> dict[str, str]:
    """Maker of each run that a study or measurement made: ``"study sweep"``, ``"measurement compare-digits"``.

    A run that was there before the measurement, and was only taken up by it, is not among them.
    """
    made = {}
    for folder in sorted((runs_dir / STUDIES).glob("*/")):
        for run in runs_dir.glob(f"{folder.name}-[0-9][0-9][0-9]*"):
            made[run.name] = f"study {folder.name}"
    for file in sorted((runs_dir / MEASUREMENTS).glob("*/measurement.json")):
        began = _first_time(file.parent)
        for name in _planned(file):
            if _first_time(runs_dir / name) >= began:
                made[name] = f"measurement {file.parent.name}"
    return made


def _planned(file: Path) -> list[str]:
    """The names of the runs in a measurement's description; none where it is damaged."""
    with contextlib.suppress(OSError, ValueError, TypeError, KeyError, RecursionError):
        return [name for name in json.loads(file.read_text(encoding="utf-8"))["runs"] if isinstance(name, str)]
    return []


def _first_time(job: Path) -> str:
    """Time at which a job's log begins, as written there; empty if there is none."""
    try:
        with (job / "events.jsonl").open(encoding="utf-8") as log:
            return str(json.loads(log.readline())["time"])
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return ""
