"""Read the figures of a run's fixed ensemble from its fixed.json."""

from __future__ import annotations

import json
from typing import Any

from certssb_core.errors import RunError
from certssb_core.runs.run import Run


def fixed_settings(run: Run) -> dict[str, Any] | None:
    """Read fixed.json: ``draws, jury, seed, bound, alpha`` and the parts ``clean`` and ``triggered`` of metrics; None
    where no fixed ensemble has voted.

    Raises:
        RunError: the file is damaged.
    """
    path = run.path / "fixed.json"
    if not path.exists():
        return None
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return found | {"draws": int(found["draws"]), "jury": int(found["jury"])}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(f"{path} is damaged ({error}); draw it again with `python -m certssb_core fixed`") from None
