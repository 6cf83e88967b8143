"""Words that people give a run, to find it again among many: a small file in its folder."""

from __future__ import annotations

import json
from collections.abc import Iterable

from certssb_core.errors import RunError
from certssb_core.plain_text import terminal_text
from certssb_core.runs import files
from certssb_core.runs.run import Run

FILE = "tags.json"
MOST, LONGEST = 20, 40
"""Tags of one run, and characters of one tag, at most."""


def read_tags(run: Run) -> tuple[str, ...]:
    """The run's tags in alphabetical order; none where there is no file, or a damaged one."""
    try:
        found = json.loads((run.path / FILE).read_text(encoding="utf-8"))
        return _checked(found if isinstance(found, list) else [])
    except (OSError, ValueError, RecursionError, RunError):
        return ()


def write_tags(run: Run, tags: Iterable[str]) -> tuple[str, ...]:
    """Replace the run's tags; returns them as they were written.

    Raises:
        RunError: a tag is empty, too long, or holds a comma or a control character; there are too many; or the
            folder cannot be written.
    """
    checked = _checked(tags)
    with files.writing(run.path):
        files.write_json(run.path / FILE, checked)
    return checked


def all_tags(runs: Iterable[Run]) -> list[str]:
    """Every tag of ``runs`` once, in alphabetical order."""
    return sorted({tag for run in runs for tag in read_tags(run)})


def _checked(tags: Iterable[str]) -> tuple[str, ...]:
    plain = sorted({" ".join(tag.split()) for tag in tags if isinstance(tag, str)})
    for tag in plain:
        if not tag or len(tag) > LONGEST or "," in tag or terminal_text(tag) != tag:
            raise RunError(f"{tag!r} is not a tag: 1 to {LONGEST} characters, no comma and no control character")
    if len(plain) > MOST:
        raise RunError(f"{len(plain)} tags: a run takes at most {MOST}")
    return tuple(plain)
