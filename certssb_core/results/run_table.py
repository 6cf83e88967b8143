"""One row per run, for lists: its figures, its settings that differ from a preset, tags, date, duration, size."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

import pandas as pd

from certssb_core.config.differences import changes, closest_preset
from certssb_core.config.schema import setting
from certssb_core.errors import ConfigError, RunError
from certssb_core.results.attack_verdict import caution
from certssb_core.runs.makers import makers
from certssb_core.runs.run import Run
from certssb_core.runs.tags import FILE, read_tags

_FILES = ("config.json", "metrics.json", "events.jsonl", FILE)
"""The files that a row is made of: it is kept until one of them changes."""


@dataclass(frozen=True)
class RunRow:
    """A run in a list. Figures are None where they are not known.

    Attributes:
        run: its name.
        state: of its worker.
        tags: words that people gave it.
        accuracy: share of the clean test images with the right certified answer.
        radius: mean certified radius of the clean test images, in ``unit``; 0 where wrong or abstained.
        unit: that the radius counts in.
        planted: share of the clean test images certified against the attack as it was planted.
        attack_success: share of the triggered test images answered as the attacker wants.
        undefended: the same of the model without a defence.
        network: of the members.
        members: number of networks that vote.
        epochs: passes of one member over its data.
        sigma: σ₀, at which the search for σ* starts, or the uniform σ.
        preset: the one with the closest settings.
        changed: settings that differ from it, in words.
        dataset: name of the data set.
        trigger: name of the trigger.
        started: time of the first line of its log.
        seconds: duration of the run.
        megabytes: its size on disk.
        maker: the study or measurement that made it; empty for a run that a person started.
        title: its title.
        caution: its gravest caveat in a few words.
    """

    run: str
    state: str
    tags: tuple[str, ...] = ()
    accuracy: float | None = None
    radius: float | None = None
    unit: str = ""
    planted: float | None = None
    attack_success: float | None = None
    undefended: float | None = None
    network: str = ""
    members: int | None = None
    epochs: int | None = None
    sigma: float | None = None
    preset: str = ""
    changed: str = ""
    dataset: str = ""
    trigger: str = ""
    started: datetime | None = None
    seconds: float | None = None
    megabytes: float = 0.0
    maker: str = ""
    title: str = ""
    caution: str = ""


def rows(runs: Sequence[Run]) -> list[RunRow]:
    """A row per run, in their order."""
    made_by = makers(runs[0].path.parent) if runs else {}
    return [_row(run, made_by.get(run.name, "")) for run in runs]


def table(found: Iterable[RunRow]) -> pd.DataFrame:
    """The rows as a table, with the fields of :class:`RunRow` as columns."""
    return pd.DataFrame([asdict(row) for row in found], columns=[field.name for field in fields(RunRow)])


def matching(found: Iterable[RunRow], words: str) -> list[RunRow]:
    """The rows that hold each of ``words``, whatever their case, in name, tags, title, settings or state."""
    wanted = words.casefold().split()
    return [row for row in found if all(word in _text(row) for word in wanted)]


def _text(row: RunRow) -> str:
    parts = (row.run, row.state, *row.tags, row.title, row.preset, row.changed, row.dataset, row.trigger)
    return " ".join((*parts, row.network, row.maker, row.caution)).casefold()


def _row(run: Run, maker: str) -> RunRow:
    if not run.is_done():
        return _made(run, run.status().state, maker)
    return _finished(str(run.path.absolute()), _stamp(run.path), maker)


@lru_cache(maxsize=8192)
def _finished(path: str, stamp: tuple, maker: str) -> RunRow:
    # ``stamp`` is only part of the key.
    return _made(Run(Path(path)), "done", maker)


def _stamp(path: Path) -> tuple[tuple[int, int] | None, ...]:
    return tuple(_version(path / name) for name in _FILES)


def _version(path: Path) -> tuple[int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size


def _made(run: Run, state: str, maker: str) -> RunRow:
    common: dict[str, Any] = {
        "run": run.name,
        "state": state,
        "tags": read_tags(run),
        "started": _started(run),
        "megabytes": run.size() / 1e6,
        "maker": maker,
    }
    try:
        config = run.config
    except ConfigError as error:
        return RunRow(**common, title=f"(unreadable: {str(error).splitlines()[0]})")
    preset = closest_preset(config)
    told = (f"{setting(key).title or key} {_short(value)}" for key, value in changes(config, preset).items())
    return RunRow(
        **common,
        **(_figures(run) if state == "done" else {}),
        network=config.training.model,
        members=config.training.members,
        epochs=config.training.epochs,
        sigma=config.noise.sigma,
        preset=preset,
        changed=", ".join(told),
        dataset=config.data.name,
        trigger=config.attack.trigger,
        title=config.title,
    )


def _figures(run: Run) -> dict[str, Any]:
    """Read the figures from metrics.json; only a caution where it is damaged, or of another form."""
    try:
        metrics = run.metrics
        clean, planted = metrics["clean"], metrics.get("planted_attack")
        return {
            "accuracy": clean["accuracy"],
            "radius": clean["average_certified_radius"],
            "unit": metrics.get("unit", "L2 pixel units"),
            "planted": planted["clean"]["certified"] / planted["clean"]["n"] if planted else None,
            "attack_success": metrics["triggered"]["attack_success_rate"],
            "undefended": (metrics.get("undefended") or {}).get("attack_success_rate"),
            "seconds": (metrics.get("seconds") or {}).get("total"),
            "caution": caution(run),
        }
    except (RunError, KeyError, TypeError, ZeroDivisionError):
        return {"caution": "metrics.json is damaged"}


def _started(run: Run) -> datetime | None:
    """Time of the log's first line, in local time."""
    try:
        return datetime.fromisoformat(run.first_event()["time"]).astimezone().replace(tzinfo=None)
    except (KeyError, ValueError):
        return None


def _short(value: Any) -> str:
    if isinstance(value, list | tuple):
        return "/".join(map(_short, value))
    return f"{value:g}" if isinstance(value, float) else str(value)
