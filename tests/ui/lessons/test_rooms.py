"""Rooms of a class, with a clock of their own: every seat counts once, nothing is endless."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from ui.lessons import rooms
from ui.lessons.rooms import Asked, Rooms


class Clock:
    """A clock that stands until it is set."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def room(clock):
    opened = Rooms(clock).open()
    assert opened is not None
    return opened


def asked() -> Asked:
    return Asked("A step", "Which?", ("this", "that", "neither"), right=1)


def test_every_seat_counts_once(room):
    question = room.show("step 1", asked())
    seats = [room.take_seat() for _ in range(3)]
    assert len({*seats, room.code, room.key}) == 5
    room.predict(seats[0], question, 1)
    room.predict(seats[0], question, 2)
    room.predict(seats[1], question, 1)
    room.predict("a stranger", question, 0)
    room.predict(seats[2], question, 3)
    room.predict(seats[2], question, -1)
    assert question.counts == [0, 2, 0]
    assert question.seats == set(seats[:2])


def test_nothing_is_counted_after_the_reveal_or_for_another_step(room):
    seat, first = room.take_seat(), room.show("step 1", asked())
    second = room.show("step 2", asked())
    room.predict(seat, first, 0)
    second.revealed = True
    room.predict(seat, second, 0)
    assert first.counts == second.counts == [0, 0, 0]


def test_a_question_keeps_its_counts_until_it_is_asked_again_or_says_something_else(room):
    seat, question = room.take_seat(), room.show("step 1", asked())
    room.predict(seat, question, 0)
    room.show("step 2", asked())
    assert room.show("step 1", asked()) is question
    assert question.counts == [1, 0, 0]
    question.forget()
    room.predict(seat, question, 2)
    assert question.counts == [0, 0, 1]
    other = room.show("step 1", Asked("A step", "Who?", ("this", "that"), right=0))
    assert other.counts == [0, 0]


def test_a_seat_is_kept_and_a_seat_of_another_room_is_not(room, clock):
    seat = room.take_seat()
    assert room.take_seat(seat) == seat
    assert room.students == 1
    assert room.take_seat("made up") not in (None, "made up")


def test_seats_are_limited_at_once_and_in_all(room, clock, monkeypatch):
    monkeypatch.setattr(rooms, "MOST_SEATS", rooms.JOINS_PER_SECOND + 3)
    first = [room.take_seat() for _ in range(rooms.JOINS_PER_SECOND)]
    assert None not in first
    assert room.take_seat() is None
    assert room.take_seat(first[0]) == first[0], "who has a seat keeps it in the crowd"
    clock.now = 1.5
    later = [room.take_seat() for _ in range(5)]
    assert [seat is None for seat in later] == [False, False, False, True, True]


def test_a_room_ends_when_the_lecturer_has_gone(clock):
    all_rooms = Rooms(clock)
    room = all_rooms.open()
    clock.now = rooms.IDLE_SECONDS - 1
    assert all_rooms.find(room.code.lower() + " ") is room
    room.stay_open()
    clock.now += rooms.IDLE_SECONDS
    assert all_rooms.find(room.code) is room
    room.take_seat()  # students alone do not keep it open
    clock.now += 1
    assert all_rooms.find(room.code) is None


def test_rooms_are_limited_and_closing_one_makes_place(clock):
    all_rooms = Rooms(clock)
    opened = [all_rooms.open() for _ in range(rooms.MOST_ROOMS)]
    assert all_rooms.open() is None
    all_rooms.close(opened[0])
    assert all_rooms.find(opened[0].code) is None
    assert all_rooms.open() is not None


def test_many_predict_at_the_same_time(room, monkeypatch):
    monkeypatch.setattr(rooms, "JOINS_PER_SECOND", 10_000)
    room = Rooms().open()
    question = room.show("step 1", asked())
    seats = [room.take_seat() for _ in range(300)]
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda number: room.predict(seats[number % 300], question, number % 3), range(900)))
    assert question.counts == [100, 100, 100]
