"""Classroom mode: the lecturer's question, the students' page, the histogram of predictions that fills live."""

from __future__ import annotations

import secrets
import socket
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import streamlit as st

from certssb_core.figures import teaching
from certssb_core.plain_text import markdown_text
from ui.kit import charts, pages, run_files, text
from ui.lessons.rooms import MOST_ROOMS, Asked, Room, Rooms

HERE = {"localhost", "127.0.0.1", "::1", ""}
ANYWHERE = {"", "0.0.0.0", "::"}
_SCRIPT = Path(__file__).with_name("keep_room.js").read_text(encoding="utf-8")
_keeper = st.components.v2.component("certssb.keep_room", js=_SCRIPT)


@st.cache_resource(show_spinner=False)
def _rooms() -> Rooms:
    return Rooms()


def lectured() -> Room | None:
    """The room whose lecturer this reader is."""
    code, key = st.session_state.get("room", ("", ""))
    room = _rooms().find(code)
    return room if room and secrets.compare_digest(room.key.encode(), key.encode(errors="replace")) else None


def keep(room: Room | None) -> None:
    """Let the lecturer's browser tab remember ``room``; after a reload, return to the room that it remembers.

    The key passes between server and tab only: a class that sees address bar and page does not see it.
    """
    kept = _keeper(key="keep-room", data={"room": f"{room.code} {room.key}" if room else ""}, on_kept_change=_ignore)
    if room or not isinstance(kept.kept, str):
        return
    code, _, key = kept.kept.partition(" ")
    st.session_state["room"] = code, key
    if lectured():
        st.rerun()
    del st.session_state["room"]


def menu(room: Room | None) -> None:
    """Open or close a room."""
    if room:
        st.markdown(f"Room **{room.code}** is open. It ends half an hour after this page is closed.")
        st.caption("A reload in this tab returns to the room. Its key is nowhere on the screen.")
        st.button("Close the room", on_click=_close, args=(room,), icon=":material/door_front:")
        return
    st.markdown(
        "**With a class.** Students predict from their own browsers, without an account. You see how many predicted "
        "what, and then reveal the answer. The server keeps counts in its memory, and nothing else."
    )
    if not run_files.read_only() and not _local_only():
        st.warning(
            "Whoever reaches this server may start and delete runs. Start it with `CERTSSB_READ_ONLY=1` to forbid "
            "that; SECURITY.md has more limits.",
            icon=":material/warning:",
        )
    st.button("Open a room", on_click=_open, type="primary", icon=":material/groups:")
    if st.session_state.pop("rooms-full", False):
        text.failed(f"There are {MOST_ROOMS} open rooms already.", "Try again later.")


def invitation(room: Room) -> None:
    """The address for the students, in large type."""
    address = _address(room)
    with st.container(key="invitation", border=True):
        st.markdown(f"Open **{markdown_text(address)}** and predict", width="stretch")
        if _local_only():
            st.caption(
                "This server answers this machine only. Start it with `--server.address 0.0.0.0` for a local network."
            )


@st.fragment(run_every=1.0)
def watch(room: Room, asked: Asked, reveal: Callable[[], None]) -> None:
    """The lecturer's view of one question: predictions as they come, and the button that reveals the answer."""
    room.stay_open()
    st.markdown(f"**{asked.question}**")
    histogram(asked)
    st.caption(f"Predictions: **{sum(asked.counts)}** · students: **{room.students}**")
    if st.button("Reveal the answer", key="reveal", type="primary", icon=":material/visibility:"):
        asked.revealed = True
        reveal()
        st.rerun()


def histogram(asked: Asked) -> None:
    charts.still(
        teaching.predictions(asked.choices, asked.counts, asked.right if asked.revealed else None),
        key="predictions",
        summary="; ".join(f"{choice}: {count}" for choice, count in zip(asked.choices, asked.counts, strict=True)),
    )


def join(code: str) -> None:
    """The student's page."""
    st.title("Predict with the class", anchor=False)
    _follow(code)


@st.fragment(run_every=2.0)
def _follow(code: str) -> None:
    room = _rooms().find(code)
    if room is None:
        text.empty("This room is closed, or its code is not right. Ask the lecturer for the address.")
        pages.link("lessons", "To the lessons")
        return
    seat = room.take_seat(st.session_state.get("seat") or st.query_params.get("seat"))
    if seat is None:
        text.empty("The room is full, or many join at this moment. This page tries again by itself.")
        return
    st.session_state["seat"] = seat
    if st.query_params.get("seat") != seat:
        st.query_params["seat"] = seat
    asked = room.shown
    if asked is None:
        text.empty("The lecturer has not asked yet. The question appears here by itself.")
        return
    st.markdown(f"#### {asked.title}")
    st.markdown(f"**{asked.question}**")
    mine = st.session_state.get(("prediction", room.code, asked.words))
    if asked.revealed:
        for number, choice in enumerate(asked.choices):
            st.markdown(judged(choice, right=number == asked.right, chosen=number == mine))
        histogram(asked)
    elif seat in asked.seats:
        st.success("Your prediction is counted. The answer comes when the lecturer reveals it.")
    else:
        for number, choice in enumerate(asked.choices):
            st.button(
                choice, key=f"choice-{number}", on_click=_predict, args=(room, seat, asked, number), width="stretch"
            )


def judged(words: str, *, right: bool, chosen: bool) -> str:
    """A choice after the answer, with a mark at the right one and at a wrong prediction."""
    mark = ":green[:material/check_circle:]" if right else ":material/radio_button_unchecked:"
    if chosen and not right:
        mark = ":red[:material/cancel:]"
    said = " — your prediction" if chosen else ""
    return f"{mark} **{words}**{said}" if right else f"{mark} {words}{said}"


def _predict(room: Room, seat: str, asked: Asked, choice: int) -> None:
    room.predict(seat, asked, choice)
    st.session_state["prediction", room.code, asked.words] = choice


def _open() -> None:
    room = _rooms().open()
    if room is None:
        st.session_state["rooms-full"] = True
        return
    st.session_state["room"] = room.code, room.key


def _close(room: Room) -> None:
    _rooms().close(room)
    st.session_state.pop("room", None)


def _ignore() -> None:
    """Streamlit keeps a component's state only where something follows its changes."""


def _local_only() -> bool:
    """True where the server listens to this machine alone, and was not reached through a proxy."""
    listens = st.get_option("server.address") or ""
    return listens in HERE - {""} and _host() in HERE


def _host() -> str:
    return urlsplit(st.context.url or "").hostname or ""


def _address(room: Room) -> str:
    """The students' address: the lecturer's own, but for a name that means another machine on another machine."""
    url = urlsplit(st.context.url or "")
    host = url.hostname or "localhost"
    if host in HERE and (st.get_option("server.address") or "") in ANYWHERE:
        host = _local_network_address() or host
    port = f":{url.port}" if url.port else ""
    return f"{url.scheme or 'http'}://{host}{port}{url.path or '/lessons'}?room={room.code}"


def _local_network_address() -> str | None:
    """This machine's address on its network: of the socket that would be used; nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("10.255.255.255", 1))
            return probe.getsockname()[0]
        except OSError:
            return None
