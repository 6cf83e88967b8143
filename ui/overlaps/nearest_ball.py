"""The section of the Overlaps page that asks the store about one image of the run, and names the ball that answers."""

from __future__ import annotations

import streamlit as st

from certssb_core.figures.images import picture
from certssb_core.plain_text import markdown_text
from certssb_core.results import store_ledger as core
from certssb_core.runs.run import Run
from ui.kit import controls, run_files, tables
from ui.noise import one_image
from ui.overlaps import one_pair

COLUMNS = {
    "position": "ball",
    "input": "certified around",
    "answered": "answers",
    "distance": st.column_config.NumberColumn("distance", format="%.3f"),
    "radius": st.column_config.NumberColumn("radius", format="%.3f"),
    "gap": st.column_config.NumberColumn("to its edge", format="%+.3f", help="Negative: inside, so it answers."),
}


def section(run: Run) -> None:
    """The image in the URL's ``asked-set`` and ``asked``."""
    st.subheader("Who answers for an image?", anchor=False)
    left, right = st.columns([3, 1])
    with left:
        name = controls.choose("Image from", one_image.set_names(run), "clean", key="asked-set")
    count = int((tables.samples(run)["set"] == name).sum())
    with right:
        index = controls.position(f"Image (0 to {count - 1:,})", count, key="asked", start=tables.ordinary(run, name))
    pixels = tables.picture_of(run, name, index)
    if pixels is None:
        return
    nearest = core.nearest_balls(run_files.balls_and_ledger(run)[0], tables.ledger(run), pixels.ravel())
    left, right = st.columns([1, 3])
    left.image(picture(pixels, side=200), alt="the image that is asked about", width=200)
    with right:
        if len(nearest) and nearest["gap"].iloc[0] < 0:
            first = nearest.iloc[0]
            st.markdown(
                f"**Ball {first['position']} answers: {markdown_text(first['answered'])}.** "
                f"It was certified around {first['input']}; the image lies {first['distance']:.3f} from its centre, "
                f"{-first['gap']:.3f} inside its edge. "
                "Nobody votes any more: within the ball this is the answer for ever."
            )
            ball = int(first["position"])
            label = tables.ledger(run).set_index("position").loc[ball, "label"]
            st.markdown(f"The image: {tables.judged(run, name, index, int(label))}")
            st.button(f"Open ball {ball} above", on_click=one_pair.show, args=(ball,), icon=":material/join_inner:")
        else:
            st.markdown(f"The image: {tables.judged(run, name, index)}")
            st.markdown(
                "**No ball holds this image**, so the members vote, and their certificate would become a new ball."
            )
        st.dataframe(nearest, hide_index=True, column_config=COLUMNS, column_order=list(COLUMNS))
