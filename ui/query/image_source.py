"""Choose the image that a run is asked about: picked, uploaded or drawn, painted on, under a trigger."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import streamlit as st

from certssb_core.data.image_file import LARGEST_FILE, read_image
from certssb_core.data.triggers import TRIGGERS
from certssb_core.figures.images import picture
from certssb_core.query import edit_image as core
from certssb_core.runs.inputs import SETS, Inputs
from certssb_core.runs.run import Run
from ui.kit import canvas, controls, tables, text

SOURCES = {"clean": "Clean test image", "triggered": "Triggered test image", "upload": "Upload", "draw": "Draw"}
NO_TRIGGER = "none"
AS_SEEN = "as the network sees it"
PREVIEW = 66  # pixels


@dataclass(frozen=True, eq=False)
class Question:
    """The image ``picked`` ``(C, H, W)``, and what it has become: the one ``asked`` about."""

    name: str
    picked: np.ndarray
    asked: np.ndarray
    truth: int | None = None  # class number of the picked image, where it is known

    @property
    def moved(self) -> float:
        return core.distance(self.picked, self.asked)


def choose(run: Run, inputs: Inputs) -> Question | None:
    """Let the reader pick an image; None where there is none yet."""
    left, right = st.columns([7, 2])
    with left:
        source = controls.choose("Image", SOURCES, "clean", key="source")
    shape = inputs.dataset.test_images.shape[1:]
    with right:
        if source in SETS:
            count = len(inputs.dataset.test_labels)
            start = tables.ordinary(run, source)
            index = controls.position(f"Number (0 to {count - 1:,})", count, key="index", start=start)
            pixels = inputs.test_images(source)[index]
            return Question(f"{source} {index}", pixels, pixels, int(inputs.dataset.test_labels[index]))
        if source == "draw":
            st.markdown("Paint on the black image below.")
            return Question("drawing", black := np.zeros(shape, np.float32), black)
        file = st.file_uploader(
            f"Picture, at most {LARGEST_FILE // 10**6} MB; its middle is scaled to {shape[2]}×{shape[1]} pixels",
            key="upload",
            help="Prepared as the training files are: turned upright, transparent parts on white, cut to the middle.",
        )
    if file is None:
        text.empty("Upload a picture, and the members vote on it.")
        return None
    pixels = read_image(file.getvalue(), shape)
    return Question(f"upload {file.file_id}", pixels, pixels)


def change(run: Run, chosen: Question, beside: st.delta_generator.DeltaGenerator) -> Question:
    """Let the reader paint on the picked image and, in the container ``beside``, set a trigger on it."""
    name, picked, attack = chosen.name, chosen.picked, run.config.attack
    painted = canvas.paint(picked, label=f"Canvas, {name}", version=f"{run.name}/{name}", key="canvas")
    titles = {NO_TRIGGER: "None"} | {key: trigger.title for key, trigger in TRIGGERS.items()}
    with beside:
        left, middle, right = st.columns([3, 4, 3])
        trigger = left.selectbox(
            "Trigger",
            list(titles),
            list(titles).index(attack.trigger),
            format_func=titles.get,
            key="apply",
            bind="query-params",
            help=f"The run was attacked with: {titles[attack.trigger].lower()}, norm {attack.norm:g}.",
        )
        strength = middle.slider(
            "Strength",
            0.0,
            max(3.0, 2 * attack.norm),
            0.0,
            0.05,
            key="strength",
            bind="query-params",
            disabled=trigger == NO_TRIGGER,
            help="L2 norm of the change, pixels in [0, 1]; of a patch, its pixels' value.",
        )
        asked = painted if trigger == NO_TRIGGER else core.triggered(painted, attack, trigger, strength)
        question = Question(name, painted if name == "drawing" else picked, asked, chosen.truth)
        with right.container(horizontal=True, vertical_alignment="center", gap="xsmall"):
            st.image(picture(asked, side=PREVIEW), alt=AS_SEEN, width=PREVIEW)
            st.caption(AS_SEEN, width=76)
    return question
