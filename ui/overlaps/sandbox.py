"""The sandbox of the Overlaps page: a real classifier in the plane, its certificates, and the store's rules on them."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd
import streamlit as st

from certssb_core.errors import DataError
from certssb_core.figures import orders, pairs
from certssb_core.figures import sandbox as discs
from certssb_core.plain_text import markdown_text
from certssb_core.sandbox import plane_data
from certssb_core.sandbox import scene as core
from certssb_core.sandbox.scene import Certified, Scene
from ui.kit import charts, controls, text

TITLE = "a sandbox in the plane"
DATA = {"moons": "moons", "blobs": "blobs", "own": "points of your own"}
CLICKS = {"ask": "ask who answers there", **{kind: f"add a point: {kind}" for kind in plane_data.KINDS}}
EXAMPLE = (
    "-1 0 round; -0.3 0.2 round; 0.1 -0.3 round; 0.5 0.1 square; 1 0 square; 0.3 0.6 square; -0.6 -0.5 round; "
    "-0.35 -0.1 attacker"
)
SECONDS = 1.0  # between two insertions while it plays
TOO_BOLD = (
    "Every radius is overstated **{stretch:g} times**: these discs are claims and **no certificates**. The store keeps "
    "its answers free of contradiction all the same."
)


@dataclass(frozen=True)
class Setting:
    """Everything that decides what the sandbox shows; the fields are the names in the URL."""

    data: str = "moons"
    points: str = ""
    discs: int = 24
    seed: int = 1
    level: float = 0.25
    spread: float = 3.0
    stretch: float = 1.0
    order: str = "given"
    shuffle: int = 0


def section() -> None:
    """The sandbox with its controls; it steps by itself while it plays."""
    playing = st.session_state.get("playing", False)
    st.fragment(_section, run_every=SECONDS if playing else None)()


def _section() -> None:
    _take_click()
    setting = _controls()
    try:
        inputs, scene = scene_of(setting)
    except DataError as error:
        text.empty(f"{markdown_text(error)}.")
        _place_first_points(setting)
        return
    if setting.data == "own":
        controls.choose("A click will", CLICKS, "ask", key="click")
    with st.container(horizontal=True, vertical_alignment="bottom"):
        upto = _steps_control(len(scene.entries))
        point = _asked_point()
    if point:  # above the plane: what a click answers must not fall below the fold
        _explain(setting, inputs, scene.first(upto), point)
    elif st.session_state.get("click", "ask") == "ask":
        st.markdown("Click anywhere in the plane to ask who answers there.")
    play(setting, upto=upto, point=point, clickable=True)
    st.caption(
        "The rules are the store's, where conflicts are frequent. A nearest-neighbour classifier of the plane is "
        "trained on data with a planted backdoor. Each input is certified by 1,000 noisy votes at its own σ\\*."
    )
    over_orders(setting)


def _steps_control(count: int) -> int:
    """Number of insertions shown: by slider, by keyboard, or playing on from where it is."""
    state = st.session_state
    if state.get("upto", count) > count:
        state["upto"] = count
    if state.get("playing"):
        state["upto"] = min(count, state.get("upto", 0) + 1)
        if state["upto"] == count:
            state["playing"] = False
            st.rerun()
    label, icon = ("Pause", "pause") if state.get("playing") else ("Play", "play_arrow")
    if st.button(label, icon=f":material/{icon}:", key="play"):
        state["playing"] = not state.get("playing", False)
        state["restart"] = state["playing"] and state.get("upto", count) == count
        st.rerun()
    if state.pop("restart", False):
        state["upto"] = 0
    return st.slider("Inputs that have come", 0, count, count, key="upto", bind="query-params")


def scene_of(setting: Setting) -> tuple[Certified, Scene]:
    """The certified inputs and what the store makes of them.

    Raises:
        DataError: points of one's own that cannot be read, or of one label only.
    """
    inputs = _certified(setting.data, setting.points, setting.discs, setting.seed, *_noise(setting))
    return inputs, core.scene(inputs, order=setting.order, shuffle=setting.shuffle)


def play(
    setting: Setting, *, upto: int | None = None, point: tuple[float, float] | None = None, clickable: bool = False
) -> None:
    """Draw the store after its first ``upto`` insertions, by default all, and the areas that came of them."""
    if setting.stretch > 1:
        st.warning(TOO_BOLD.format(stretch=setting.stretch), icon=":material/warning:")
    inputs, whole = scene_of(setting)
    count = len(whole.entries)
    upto = count if upto is None else min(upto, count)
    scene = whole.first(upto)
    came = f"The first **{upto} of {count}** inputs have come. " if upto < count else ""
    charts.show(
        discs.drawn(whole, inputs.classifier, upto=upto, point=point, clickable=clickable),
        key="sandbox",
        summary=f"{came}**{scene.changed} of {upto}** inputs had their answer or radius changed by the store; "
        f"**{scene.wrong}** honest inputs are answered wrong. Red and hatched: the area claimed for both labels. "
        "Dashed: the newest disc as it came. The star is the attacker's input.",
        table=_steps(scene),
        selection=clickable,
    )
    if clickable or upto == count:  # a lesson asks what is to come
        _areas(scene)


def _areas(scene: Scene) -> None:
    areas = scene.areas
    told = {
        "Area claimed": (areas.claimed, "Covered by at least one certificate as it came."),
        "Contested": (areas.contested, "Claimed for both labels at once: here certificates contradict each other."),
        "Area answered": (areas.answered, "Covered by the balls in the store."),
        "Trimmed away": (areas.trimmed, "Claimed, and no longer answered."),
    }
    for column, (label, (value, words)) in zip(st.columns(4), told.items(), strict=True):
        column.metric(
            label,
            f"{value:.3f}",
            _share(label, value, areas.claimed),
            delta_color="off",
            delta_arrow="off",
            help=f"{words} Exact, in squared units of the plane.",
            border=True,
        )


def _share(label: str, value: float, claimed: float) -> str:
    if label == "Area claimed":
        return "squared units"
    return f"{value / claimed:.1%} of claimed" if claimed else "nothing claimed"


def over_orders(setting: Setting) -> None:
    """The same inputs in every order."""
    st.markdown("#### The same discs in another order")
    table = _over_orders(setting.data, setting.points, setting.discs, setting.seed, *_noise(setting))
    shuffled = table[table["order"] == core.ORDERS["shuffled"]]
    low, high = shuffled["answered"].min(), shuffled["answered"].max()
    wrong = table.set_index("order")["wrong"]
    charts.show(
        orders.spread(table),
        key="sandbox-orders",
        summary=f"Over {len(shuffled)} shuffles the area answered runs from **{low:.3f}** to **{high:.3f}**, and the "
        f"honest inputs answered wrong from **{shuffled['wrong'].min()}** to **{shuffled['wrong'].max()}**. "
        f"With the attacker last they are {wrong.loc[core.ORDERS['given']]}, with the attacker first "
        f"{wrong.loc[core.ORDERS['attacker-first']]}.",
        table=table.rename(columns=pairs.CASES),
    )


def _controls() -> Setting:
    known = Setting()
    left, right = st.columns(2)
    with left:
        data = controls.choose("Data", DATA, known.data, key="data")
    with right, st.container(horizontal=True, vertical_alignment="bottom"):
        order = controls.choose("Order of arrival", core.ORDERS, known.order, key="order")
        shuffle = 0
        if order == "shuffled":
            shuffle = st.number_input("Shuffle number", 0, 9999, 0, key="shuffle", bind="query-params", width=130)
            st.button("Shuffle again", on_click=_shuffle_again, icon=":material/shuffle:")
    first, second, third, fourth, fifth = st.columns([2, 2, 2, 1, 1])
    level = first.slider(
        "σ", 0.05, 0.8, known.level, 0.05, key="level", bind="query-params", help="Middle of the range of σ*."
    )
    spread = second.slider(
        "σ* may differ by the factor",
        1.0,
        5.0,
        known.spread,
        0.25,
        key="spread",
        bind="query-params",
        help="σ* is sought between σ divided by this factor and σ times this factor; at 1 there is one σ for all.",
    )
    stretch = third.slider(
        "Overstate radii by the factor",
        1.0,
        3.0,
        known.stretch,
        0.1,
        key="stretch",
        bind="query-params",
        help="Above 1 the discs are larger than what the votes certify.",
    )
    if data == "own":
        count, seed, points = known.discs, known.seed, _typed_points()
    else:
        points = ""
        count = fourth.number_input("Honest inputs", 4, 40, known.discs, key="discs", bind="query-params")
        seed = fifth.number_input("Seed", 0, 9999, known.seed, key="seed", bind="query-params")
    return Setting(data, points, count, seed, level, spread, stretch, order, shuffle)


def _shuffle_again() -> None:
    st.session_state["shuffle"] = (st.session_state.get("shuffle", 0) + 1) % 10_000


def _typed_points() -> str:
    return st.text_input(
        "Your points",
        EXAMPLE,
        key="points",
        bind="query-params",
        help="x y kind; x y kind; …, where kind is round, square or attacker. Or choose below what a click adds.",
    )


def _asked_point() -> tuple[float, float] | None:
    """The point that is asked about: clicked or typed."""
    limit = {"bind": "query-params", "placeholder": "click", "format": "%.3f", "step": 0.05, "width": 130}
    x = st.number_input("Ask at x", -plane_data.FARTHEST, plane_data.FARTHEST, None, key="x", **limit)
    y = st.number_input("and y", -plane_data.FARTHEST, plane_data.FARTHEST, None, key="y", **limit)
    return None if x is None or y is None else (x, y)


def _explain(setting: Setting, inputs: Certified, scene: Scene, point: tuple[float, float]) -> None:
    reply = core.ask(inputs, scene, point, sigma=setting.level, spread=setting.spread)
    answer = plane_data.LABELS[reply.label] if reply.label >= 0 else "ABSTAIN"
    members = (
        f"The vote alone, at σ\\* = {reply.sigma:.2f}: the probability of *square* is {reply.probability:.1%}, exactly."
    )
    if reply.ball is None:
        edge = f"The nearest edge is {reply.gap:.3f} away. " if reply.gap < float("inf") else ""
        st.markdown(
            f"**No ball holds this point**: the members answer **{answer}**, within {reply.radius:.3f}. {edge}{members}"
        )
        return
    st.markdown(
        f"**Ball {reply.ball + 1} answers {answer}**: the point is {reply.distance:.3f} from its centre, "
        f"{reply.radius:.3f} inside its edge. How that ball came in: {discs.in_words(scene, reply.ball)}. {members}"
    )


def _take_click() -> None:
    """A click on the plane asks, or adds a point; before the controls that it sets are drawn."""
    if not (click := charts.clicked("sandbox")) or click[0] != "at":
        return
    x, y = float(click[1]), float(click[2])
    kind = st.session_state.get("click", "ask")
    if kind in plane_data.KINDS and st.session_state.get("data") == "own":
        written = st.session_state.get("points", "").strip(" ;")
        st.session_state["points"] = "; ".join(filter(None, [written, str(plane_data.Point(x, y, kind))]))
    else:
        st.session_state["x"], st.session_state["y"] = x, y


def _place_first_points(setting: Setting) -> None:
    if setting.data == "own":
        st.button("Start from an example", on_click=_write_example, icon=":material/edit:")


def _write_example() -> None:
    st.session_state["points"] = EXAMPLE


def _steps(scene: Scene) -> pd.DataFrame:
    """One row per insertion."""
    answers = [plane_data.LABELS[entry.label] if entry.label >= 0 else "none" for entry in scene.entries]
    return pd.DataFrame(
        {
            "arrival": range(1, len(answers) + 1),
            "sender": [entry.key.set for entry in scene.entries],
            "x": scene.points[:, 0],
            "y": scene.points[:, 1],
            "σ*": scene.sigma,
            "case": [pairs.CASES[entry.case] for entry in scene.entries],
            "true label": [plane_data.LABELS[label] for label in scene.labels],
            "answered": answers,
            "r before": [entry.radius_before for entry in scene.entries],
            "r after": [entry.radius_after for entry in scene.entries],
        }
    )


def _noise(setting: Setting) -> tuple[float, float, float]:
    return setting.level, setting.spread, setting.stretch


@st.cache_resource(max_entries=64, show_spinner=False)
def _certified(data: str, points: str, count: int, seed: int, level: float, spread: float, stretch: float) -> Certified:
    drawn = plane_data.own(plane_data.parse(points), seed) if data == "own" else plane_data.DATASETS[data](seed, count)
    return core.certified(drawn, sigma=level, spread=spread, stretch=stretch, seed=seed)


@st.cache_resource(max_entries=64, show_spinner=False)
def _over_orders(
    data: str, points: str, count: int, seed: int, level: float, spread: float, stretch: float
) -> pd.DataFrame:
    return pd.DataFrame(core.over_orders(_certified(data, points, count, seed, level, spread, stretch)))
