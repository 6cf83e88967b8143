"""How much memory there is: asked before it is taken, where a setting or a file decides how much that is."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

_CONTAINER = Path("/sys/fs/cgroup/memory.max")


def memory() -> float:
    """Bytes that this machine, or the container around this process, has in all; infinity where nobody says."""
    limits = [float("inf")]
    with suppress(AttributeError, ValueError, OSError):  # not on Windows
        limits.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    with suppress(ValueError, OSError):  # no container, or "max"
        limits.append(float(_CONTAINER.read_text()))
    return min(limits)
