"""Server limits, from environment variables, which are read only here.

    CERTSSB_READ_ONLY=1          nothing is launched, changed, deleted or written
    CERTSSB_MAX_RUNS=2           workers of runs at once in one folder, and of studies
    CERTSSB_MAX_HOURS=1          forecast of one launch: hours, GiB of memory, GB on disk
    CERTSSB_MAX_MEMORY_GIB=8
    CERTSSB_MAX_DISK_GB=2
    CERTSSB_DOWNLOADS=0          a dataset that is not there is missing; nothing is fetched
    CERTSSB_QUERY_INSERT=1       a query stores its certificate, so that later images in the ball get its answer

Processes that a server starts inherit them. Every function that starts, changes or writes something checks them here,
so a button that a page forgot to hide does nothing.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from certssb_core.config.schema import Group
from certssb_core.errors import ConfigError, LockedError, RunError
from certssb_core.runs import locks

_PREFIX, _OTHERS = "CERTSSB_", ("DATA", "RUNS")

READ_ONLY = "This dashboard is read-only: nothing can be started, changed or deleted here."


class Limits(Group):
    """The limits of a server; by default nothing is limited."""

    read_only: bool = Field(False, description="Nothing is launched, changed, deleted or written.")
    max_runs: int | None = Field(None, ge=1, le=256, description="Workers of runs at once, and of studies.")
    max_hours: float | None = Field(None, gt=0, description="Most hours a launch may be forecast to take.")
    max_memory_gib: float | None = Field(None, gt=0, description="Most GiB of memory, likewise.")
    max_disk_gb: float | None = Field(None, gt=0, description="Most GB on disk, likewise.")
    downloads: bool = Field(True, description="Whether a run may fetch a dataset that is not there.")
    query_insert: bool = Field(False, description="Whether a query stores its certificate, for good.")

    @property
    def costs(self) -> bool:
        """Tell whether a launch must be forecast first."""
        return (self.max_hours, self.max_memory_gib, self.max_disk_gb) != (None, None, None)


def current() -> Limits:
    """The limits of this process.

    Raises:
        ConfigError: a variable has a value that does not fit; nothing may be done until it is put right.
    """
    given: dict[str, Any] = {}
    for name in Limits.model_fields:
        if text := os.environ.get(f"{_PREFIX}{name.upper()}", "").strip():
            given[name] = text
    try:
        return Limits.model_validate(given)
    except ValidationError as error:
        raise ConfigError(f"a limit of this server does not fit: {_problems(error)}") from None


def misspelt() -> list[str]:
    """A sentence on every ``CERTSSB_…`` variable of the environment that no part of the program reads."""
    known = [*_OTHERS, *(name.upper() for name in Limits.model_fields)]
    given = sorted(name.removeprefix(_PREFIX) for name in os.environ if name.startswith(_PREFIX))
    sentences = []
    for name in given:
        if name not in known:
            likely = next(iter(difflib.get_close_matches(name, known, n=1)), None)
            rest = f": did you mean {_PREFIX}{likely}?" if likely else f"; known are {_PREFIX}… {', '.join(known)}"
            sentences.append(f"the environment variable {_PREFIX}{name} is not read{rest}")
    return sentences


def check_writable() -> None:
    """Raises:
    RunError: this process may read only.
    """
    if current().read_only:
        raise RunError(READ_ONLY)


def check_cost(seconds: float, memory_bytes: float, disk_bytes: float) -> None:
    """Check the forecast cost of a launch against the limits.

    Raises:
        RunError: it is more than whoever started this server allows.
    """
    limits = current()
    for limit, asked, unit, of in (
        (limits.max_hours, seconds / 3600, "h", "time"),
        (limits.max_memory_gib, memory_bytes / 2**30, "GiB", "memory"),
        (limits.max_disk_gb, disk_bytes / 1e9, "GB", "disk space"),
    ):
        if limit is not None and asked > limit:
            raise RunError(
                f"this would take about {asked:.2g} {unit} of {of}, and whoever runs this server allows {limit:g} "
                f"{unit} per launch: ask for less"
            )


@contextmanager
def a_place_at_work(folder: Path) -> Iterator[None]:
    """Hold one of the places that ``folder`` has for workers; the system frees it when the process ends.

    Raises:
        RunError: all are taken.
    """
    most = current().max_runs
    if most is None:
        yield
        return
    with ExitStack() as held:
        for number in range(most):
            try:
                held.enter_context(locks.hold(folder / f".place-{number}.lock", held=""))
                break
            except LockedError:
                continue
        else:
            raise RunError(f"{most} of at most {most} workers are at work on this server: try again when one has ended")
        yield


def _problems(error: ValidationError) -> str:
    return "; ".join(f"CERTSSB_{str(one['loc'][0]).upper()}={one['input']}: {one['msg']}" for one in error.errors())
