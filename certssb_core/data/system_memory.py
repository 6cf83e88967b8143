"""Total memory of the machine or container, to refuse a request before it fills the memory."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

_CONTAINER = Path("/sys/fs/cgroup/memory.max")


def memory() -> float:
    """Total bytes of this machine or of the container around this process; infinity if unknown."""
    limits = [float("inf")]
    with suppress(AttributeError, ValueError, OSError):  # not on Windows
        limits.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    with suppress(ValueError, OSError):  # no container, or "max"
        limits.append(float(_CONTAINER.read_text()))
    return min(limits)
