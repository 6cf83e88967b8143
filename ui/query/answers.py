"""Ask a run about an image, through one query process per run that all sessions share."""

from __future__ import annotations

import contextlib
from pathlib import Path

import numpy as np
import streamlit as st

from certssb_core.errors import RunError
from certssb_core.query.client import Answerers
from certssb_core.query.reply import Reply, check_can_answer
from certssb_core.runs.run import Run


def unable(run: Run) -> str:
    """Why the members of ``run`` cannot vote on a new image; empty where they can."""
    try:
        check_can_answer(run)
    except RunError as error:
        return str(error)
    return ""


def prepare(run: Run) -> None:
    """Start the run's query process, so that it loads while the page is drawn; a run that cannot answer has none."""
    with contextlib.suppress(RunError):
        _answerers().of(run)


def ask(run: Run, image: np.ndarray, *, fixed: bool = False) -> Reply:
    """The run's reply to ``image`` ``(C, H, W)`` float32 in [0, 1].

    Args:
        fixed: the fixed ensemble votes, too; that takes ten times as long.

    Raises:
        RunError: the run's members cannot vote, or their process died.
    """
    rests_on = (run.path / "votes.safetensors", run.asked_path)
    modified = tuple(path.stat().st_mtime_ns if path.exists() else 0 for path in rests_on)
    return _reply(str(run.path.resolve()), modified, image.shape, image.tobytes(), fixed)


@st.cache_data(max_entries=512, show_spinner="The members vote (the first time they have to be loaded) …")
def _reply(path: str, modified: tuple[int, ...], shape: tuple[int, ...], pixels: bytes, fixed: bool) -> Reply:
    # ``modified`` is only part of the key.
    return _answerers().ask(Run(Path(path)), np.frombuffer(pixels, np.float32).reshape(shape), fixed=fixed)


@st.cache_resource
def _answerers() -> Answerers:
    return Answerers()
