"""The time that a try of a GPU machine may take, and what is left of it."""

from __future__ import annotations

import time

LEAST = 0.01
"""Share of the whole time; a part that has less left is not begun."""

NO_TIME = "no time is left"


class Clock:
    """Time left of the whole, and of the part at hand."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._end = time.perf_counter() + seconds
        self._part_end = self._end

    def begin(self, share: float) -> None:
        """Give the next part a share of the whole time, and no more than is left."""
        self._part_end = min(self._end, time.perf_counter() + share * self.seconds)

    @property
    def left(self) -> float:
        """Seconds left of the part."""
        return self._part_end - time.perf_counter()

    @property
    def over(self) -> bool:
        return self.left < LEAST * self.seconds

    @property
    def gone(self) -> float:
        """Seconds since the beginning of the whole."""
        return self.seconds - (self._end - time.perf_counter())
