"""Rooms in which a class predicts. They live in the server's memory, hold counts, and expire by themselves."""

from __future__ import annotations

import secrets
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

LETTERS = "ABCDEFGHJKMNPQRSTUVWXYZ23456789"
"""Letters and digits that nobody takes for one another when they are projected."""
CODE_LENGTH = 6
MOST_ROOMS = 20
MOST_SEATS = 400
JOINS_PER_SECOND = 40
IDLE_SECONDS = 30 * 60
"""A room ends so long after the lecturer's page was open last."""

Clock = Callable[[], float]


@dataclass
class Asked:
    """One question as a class sees it.

    Attributes:
        title, question, choices: in words; right: number of the right choice.
        counts: predictions of each choice.
        seats: those that have predicted, without what.
        revealed: True once the class may see counts and answer.
    """

    title: str
    question: str
    choices: tuple[str, ...]
    right: int
    counts: list[int] = field(init=False)
    seats: set[str] = field(default_factory=set)
    revealed: bool = False

    def __post_init__(self) -> None:
        self.counts = [0] * len(self.choices)

    def forget(self) -> None:
        """Take all predictions back, and the reveal."""
        self.counts, self.seats, self.revealed = [0] * len(self.choices), set(), False

    @property
    def words(self) -> tuple[str, tuple[str, ...]]:
        return self.question, self.choices


class Room:
    """One class: the lecturer shows a question, every seat predicts once.

    Attributes:
        code: random; whoever knows it takes a seat. key: random; whoever knows it is the lecturer.
        shown: the question on screen; None before the first.
    """

    def __init__(self, clock: Clock) -> None:
        self.code = "".join(secrets.choice(LETTERS) for _ in range(CODE_LENGTH))
        self.key = secrets.token_urlsafe(9)
        self.shown: Asked | None = None
        self._questions: dict[str, Asked] = {}
        self._seats: set[str] = set()
        self._joins: deque[float] = deque(maxlen=JOINS_PER_SECOND)
        self._clock, self._lock = clock, threading.Lock()
        self._seen = clock()

    @property
    def students(self) -> int:
        return len(self._seats)

    @property
    def over(self) -> bool:
        return self._clock() - self._seen > IDLE_SECONDS

    def show(self, place: str, asked: Asked) -> Asked:
        """Put a question on screen; one that was shown before keeps its counts. The room lives on."""
        self.stay_open()
        with self._lock:
            known = self._questions.get(place)
            if known is None or known.words != asked.words:
                self._questions[place] = known = asked
            self.shown = known
            return known

    def stay_open(self) -> None:
        """Note that the lecturer's page is still open."""
        self._seen = self._clock()

    def take_seat(self, seat: str | None = None) -> str | None:
        """Take a seat, or the one that ``seat`` names; None where the room is full or too many come at once."""
        with self._lock:
            if seat in self._seats:
                return seat
            now = self._clock()
            crowded = len(self._joins) == JOINS_PER_SECOND and now - self._joins[0] < 1
            if crowded or len(self._seats) >= MOST_SEATS:
                return None
            self._joins.append(now)
            seat = secrets.token_urlsafe(6)
            self._seats.add(seat)
            return seat

    def predict(self, seat: str, asked: Asked, choice: int) -> None:
        """Count a prediction; a second one of the same seat, one after the reveal, or a stranger's, is not counted."""
        with self._lock:
            fits = seat in self._seats and seat not in asked.seats and 0 <= choice < len(asked.choices)
            if fits and not asked.revealed and asked is self.shown:
                asked.seats.add(seat)
                asked.counts[choice] += 1


class Rooms:
    """All rooms of a server."""

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self._rooms: dict[str, Room] = {}
        self._clock, self._lock = clock, threading.Lock()

    def open(self) -> Room | None:
        """Open a room; None where there are :data:`MOST_ROOMS`."""
        with self._lock:
            self._sweep()
            if len(self._rooms) >= MOST_ROOMS:
                return None
            room = Room(self._clock)
            return self._rooms.setdefault(room.code, room)

    def find(self, code: str) -> Room | None:
        """The room of this code, in capitals or not; None where it has ended or never was."""
        with self._lock:
            self._sweep()
            return self._rooms.get(code.strip().upper())

    def close(self, room: Room) -> None:
        with self._lock:
            self._rooms.pop(room.code, None)

    def _sweep(self) -> None:
        self._rooms = {code: room for code, room in self._rooms.items() if not room.over}
