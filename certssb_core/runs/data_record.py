"""Record the data that a run was made from, and refuse other data afterwards.

``data.json`` holds the dataset's fingerprint (:attr:`certssb_core.data.datasets.Dataset.fingerprint`), written when the
run first loads its data. The folder that it came from is in the run's log only, which does not leave the machine.
"""

from __future__ import annotations

import json
from typing import Any

from certssb_core.data.datasets import DATASETS, Dataset, data_root
from certssb_core.errors import DataError, RunError
from certssb_core.runs import files, integrity
from certssb_core.runs.files import DATA
from certssb_core.runs.run import Run

LOADED = "data"
"""Kind of the event that says where the data came from, and which files were not read."""

_RESULTS = ("poison.safetensors", "undefended.safetensors", "sigma.safetensors")


def recorded(run: Run) -> dict[str, Any] | None:
    """The fingerprint of the run's data; None where an earlier version made the run and recorded none.

    Raises:
        RunError: the file is damaged.
    """
    path = run.path / DATA
    if not path.exists():
        return None
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        whole = all(isinstance(name, str) for name in found["classes"]) and all(
            isinstance(found[split]["images"], int) and isinstance(found[split]["sha256"], str)
            for split in ("train", "test")
        )
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        whole = False
    if not whole:
        raise RunError(f"{path} is damaged: put the run back from a copy, or resume it")
    return found


def record(run: Run, dataset: Dataset) -> None:
    """Write the fingerprint of the data that a run starts from; only the run's worker does this.

    A run that has results already, made by an earlier version, stays without: nobody knows what they were made from.
    """
    if (run.path / DATA).exists() or any((run.path / name).exists() for name in _RESULTS):
        return
    files.write_json(run.path / DATA, dataset.fingerprint)
    integrity.note(run, DATA)
    run.log(LOADED, root=_root(run), message=dataset.passed_over)


def check(run: Run, dataset: Dataset) -> None:
    """See that ``dataset`` is the data that the run was made from.

    Raises:
        DataError: it is not; the message says which part changed.
        RunError: the record is damaged.
    """
    before = recorded(run)
    if before is None or before == dataset.fingerprint:
        return
    raise DataError(
        f"These are not the images that {run.name} was made from: {'; '.join(_changes(run, before, dataset))}. "
        "Put the old images back, or start a new run."
    )


def _changes(run: Run, before: dict[str, Any], dataset: Dataset) -> list[str]:
    now, changes = dataset.fingerprint, []
    if before["classes"] != now["classes"]:
        changes.append(f"classes {', '.join(before['classes'])} became {', '.join(now['classes'])}")
    for split, name in (("train", "training"), ("test", "test")):
        had, has = before[split]["images"], now[split]["images"]
        if had != has:
            changes.append(f"{had:,} {name} images became {has:,}")
        elif before[split]["sha256"] != now[split]["sha256"]:
            changes.append(f"there are {had:,} {name} images as before, but their pixels or labels differ")
    old = next((event.get("root") for event in reversed(run.events()) if event["kind"] == LOADED), None)
    if old and old != _root(run):
        changes.append(f"they came from {old}, now from {_root(run)}")
    return changes


def _root(run: Run) -> str:
    """The folder that holds the run's dataset; empty for a dataset that is built in."""
    data = run.config.data
    return str(data_root(data.root).resolve()) if DATASETS[data.name].needs_files else ""
