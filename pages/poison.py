"""Poison: what the attacker does to the training data."""

import streamlit as st

from certssb_core.config.presets import DEFAULT_PRESET, PRESETS
from certssb_core.data.poisoning import METHODS
from certssb_core.results.attack_verdict import attack_caveats
from ui.kit import attack_check, data_check, forms, run_files, text, view_as_code
from ui.kit.pages import path
from ui.poison import attack_charts

text.page_header(
    "poison",
    r"""
A trigger $T$ changes an image; pixels are clamped to $[0, 1]$, which shrinks the change. What counts is the
*actual* norm $\lVert T(x) - x \rVert_2$ of each image. $\lfloor \text{rate} \cdot n \rfloor$ training images are
poisoned. All-to-one relabels images of other classes as the target; all-to-all relabels $y$ as
$(y + 1) \bmod C$; clean-label keeps the label and uses images of the target class only.

Apart from a stamped trigger, poisons can be crafted by gradient, on models of the attacker's. Images of the target
class are changed by at most a budget in L2, so that a model trained on them answers as the attacker wants. Some attacks
aim at single *victims* (feature collision, convex and bullseye polytope, gradient matching). Others aim at all
triggered images (sleeper agent, hidden trigger, clean-label backdoor). A victim needs no trigger: the victims are
measured as they are.

**Attack success rate** (ASR): share of the triggered test images, true class not the target, that are predicted
as the attacker wants.
""",
    ("2003.08904", "2504.21730", *(method.source for method in METHODS.values())),
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
if not data_check.present(config.data):
    st.stop()
with text.plain_errors():
    inputs = run_files.inputs_of(config)
dataset, poisoned = inputs.dataset, inputs.poisoned
if dataset.passed_over:
    st.warning(dataset.passed_over)
count, total = len(poisoned.indices), len(dataset.train_labels)

run = run_files.run_with_attack(config)
crafted = config.attack.crafted
if crafted and run:
    inputs = run_files.inputs(run)
    poisoned = inputs.poisoned
first, second, third, fourth = st.columns(4)
first.metric("Poisoned images", f"{count:,}", help=f"of {total:,} training images, chosen by the seed")
second.metric("Share of training set", f"{count / total:.2%}")
third.metric("Triggered test images", f"{int(inputs.measures_attack.sum()):,}", help="that measure the attack")
measured = attack_check.known(config)
if measured:
    success = measured.undefended["attack_success_rate"]
    fourth.metric("Undefended model's ASR", f"{success:.1%}", help=measured.where)
    for caveat in attack_caveats(measured.undefended):
        st.warning(caveat, icon=":material/warning:")
else:
    fourth.metric("Undefended model's ASR", "–", help="not measured yet")
with st.container(horizontal=True, vertical_alignment="center"):
    if not measured:
        st.markdown("Nobody has measured yet whether this attack works.", width="content")
        attack_check.offer(config)
    if run is None and st.button("Train with this attack", key="carry", icon=":material/model_training:"):
        st.switch_page(path("train"), query_params=forms.carry(config))
if count and crafted and not run:
    text.empty(
        "These poisons are crafted by gradient at the start of a run; they are shown as soon as one has finished."
    )
    st.stop()
if not count:
    text.empty("No image is poisoned at this rate: the first one comes at a rate of one over the number of images.")
    st.stop()

st.subheader("What the trigger looks like", anchor=False)
attack_charts.gallery(inputs)
left, right = st.columns(2, gap="large")
with left:
    st.subheader("How large the change really is", anchor=False)
    attack_charts.norms(config, inputs)
with right:
    st.subheader("What becomes of the labels", anchor=False)
    attack_charts.labels(inputs)
view_as_code.show(view_as_code.attack(config, DEFAULT_PRESET, defaults))
