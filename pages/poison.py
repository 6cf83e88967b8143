"""Poison: what the attacker does to the training data."""

import pandas as pd
import streamlit as st

from certssb_core.experiment.presets import DEFAULT_PRESET, PRESETS
from certssb_core.figures.attack import flow_counts, label_map, norm_histogram
from certssb_core.figures.images import magnification, trigger_gallery
from ui import charts, forms, state, text

SHOWN = 6  # columns of images; more would be too small from the back of a lecture hall

text.page_header(
    "Poison",
    "What does the attacker plant in the training data, how small is it, and does it work?",
    r"""
A trigger $T$ changes an image; pixels are clamped to $[0, 1]$, which shrinks the change. What counts is the
*actual* norm $\lVert T(x) - x \rVert_2$ of each image. $\lfloor \text{rate} \cdot n \rfloor$ training images are
poisoned. All-to-one relabels images of other classes as the target; all-to-all relabels $y$ as
$(y + 1) \bmod C$; clean-label keeps the label and uses images of the target class only.

**Attack success rate** (ASR): share of the triggered test images, true class not the target, that are predicted
as the attacker wants.
""",
    ("2003.08904", "2504.21730"),
)

defaults = PRESETS[DEFAULT_PRESET]
with st.container(border=True):
    basic = [key for key in forms.BASIC if key.startswith(("data.", "attack."))]
    values = forms.fields(basic, defaults, brief=True)
    with st.expander("Sizes, patch and pattern", icon=":material/tune:"):
        rest = [*forms.keys("data"), *forms.keys("attack")]
        values |= forms.fields([key for key in rest if key not in basic], defaults, brief=True)

config = forms.validated(values, defaults)
if config is None:
    st.stop()
with text.plain_errors():
    inputs = state.inputs_of(config)
dataset, poisoned = inputs.dataset, inputs.poisoned
count, total = len(poisoned.indices), len(dataset.train_labels)
clean = dataset.train_images[poisoned.indices]
triggered, labels = poisoned.images[poisoned.indices], poisoned.labels[poisoned.indices]

run = state.run_with_attack(config)
first, second, third, fourth = st.columns(4)
first.metric("Poisoned images", f"{count:,}", help=f"of {total:,} training images, chosen by the seed")
second.metric("Share of training set", f"{count / total:.2%}")
third.metric("Triggered test images", f"{int(inputs.counts.sum()):,}", help="that measure the attack")
if run:
    undefended = state.metrics(run)["undefended"]
    fourth.metric("Undefended model's ASR", f"{undefended['attack_success_rate']:.1%}", help=f"measured in {run.name}")
    if not undefended["attack_works"]:
        st.warning("The attack fails already against an undefended model: a certificate defends against nothing here.")
else:
    fourth.metric("Undefended model's ASR", "–", help="not measured yet")
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown("Whether the attack works is measured as soon as a run with these choices has finished.")
        if st.button("Train with this attack", key="carry", icon=":material/model_training:"):
            st.switch_page("pages/train.py", query_params=forms.carry(config))
if not count:
    text.empty("No image is poisoned at this rate: the first one comes at a rate of one over the number of images.")
    st.stop()

st.subheader("What the trigger looks like", anchor=False)
picked = range(0, count, max(1, count // SHOWN))[:SHOWN]
titles = [f"{dataset.classes[poisoned.original_labels[at]]} → {dataset.classes[labels[at]]}" for at in picked]
shown = list(picked)
charts.show(
    trigger_gallery(clean[shown], triggered[shown], titles=titles),
    key="trigger-images",
    summary=f"{len(shown)} of the {count:,} poisoned training images, headed by their label before → after; "
    f"the change is magnified {magnification(clean[shown], triggered[shown]):.3g} times about mid-grey.",
    table=pd.DataFrame(
        {"training image": poisoned.indices[shown], "label change": titles, "actual norm": poisoned.norms[shown]}
    ),
)

left, right = st.columns(2, gap="large")
with left:
    st.subheader("How large the change really is", anchor=False)
    nominal = None if config.attack.trigger == "patch" else config.attack.norm
    norms = pd.Series(poisoned.norms)
    charts.show(
        norm_histogram(poisoned.norms, nominal=nominal),
        key="norms",
        summary=f"Actual norms run from {norms.min():.3f} to {norms.max():.3f}, median {norms.median():.3f} "
        f"({count:,} images); clamping to [0, 1] only ever shrinks them.",
        table=pd.DataFrame({"training image": poisoned.indices, "actual norm": poisoned.norms}),
    )
with right:
    st.subheader("What becomes of the labels", anchor=False)
    flows = flow_counts(poisoned.original_labels, labels, classes=len(dataset.classes))
    charts.show(
        label_map(poisoned.original_labels, labels, classes=dataset.classes),
        key="labels",
        summary=f"Left the true class, right the label that the trainer sees, for the {count:,} poisoned images.",
        table=pd.DataFrame(flows, columns=dataset.classes).assign(true_class=dataset.classes),
    )
