"""Work that is done in chunks, in smaller ones where the memory does not hold one."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TypeVar

Result = TypeVar("Result")


def out_of_memory(error: BaseException) -> bool:
    """True if Python, torch on the CPU or torch on a GPU ran out of memory."""
    return isinstance(error, MemoryError) or any(
        words in str(error) for words in ("can't allocate memory", "out of memory")
    )


def halving(work: Callable[[int], Result], chunk: int) -> Result:
    """``work(chunk)``, with half the chunk as long as that runs out of memory; one at a time has to fit.

    The result may not depend on the chunk beyond rounding.
    """
    while True:
        try:
            return work(chunk)
        except (MemoryError, RuntimeError) as error:
            if chunk <= 1 or not out_of_memory(error):
                raise
        chunk //= 2  # outside: the error holds on to what was computed
        _give_back()


def _give_back() -> None:
    """Let torch return what it holds of a GPU's memory, so that smaller chunks find it in one piece."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.empty_cache()
