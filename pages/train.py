"""Train: from a preset to a finished run."""

import streamlit as st

from certssb_core.experiment.cost import estimate
from certssb_core.experiment.presets import DEFAULT_PRESET, PRESETS
from certssb_core.experiment.run import Run, RunError, free_name
from ui import forms, headline, jobs, state, text

text.page_header(
    "Train",
    "How is a certified ensemble made, and what does it cost?",
    r"""
Member $m$ of $M$ is trained on one noisy copy of the poisoned set: image $i$ becomes $x_i + \sigma_i z_{m,i}$,
$z \sim \mathcal N(0, I)$, drawn once per member and image and held fixed for all epochs. $\sigma_i$ maximises

$$r(x, \sigma) = \tfrac{\sigma}{2}\left[\Phi^{-1}(\bar p_A(\sigma)) - \Phi^{-1}(\bar p_B(\sigma))\right].$$
""",
    ("2504.21730", "2003.08904"),
)

runs = state.runs()
active = [run for run in runs if run.status().state == "running"]
for run in active:
    jobs.panel(run)

with st.expander("New run", expanded=not active, icon=":material/add_circle:"):
    preset = st.selectbox(
        "Preset",
        list(PRESETS),
        index=list(PRESETS).index(DEFAULT_PRESET),
        key="preset",
        bind="query-params",
        help="A complete, sensible setting to start from; choosing one sets every control below.",
        on_change=lambda: forms.reset(PRESETS[st.session_state.preset]),
    )
    defaults = PRESETS[preset]
    st.caption(defaults.title)
    values = forms.fields(forms.BASIC, defaults)
    with st.expander("All other settings", icon=":material/tune:"):
        groups = forms.groups()
        for tab, (group, kind) in zip(st.tabs([name.capitalize() for name in groups]), groups.items(), strict=True):
            with tab:
                st.caption(kind.__doc__)
                values |= forms.fields([key for key in forms.keys(group) if key not in forms.BASIC], defaults)
    name_column, title_column, seed_column = st.columns([1, 2, 1])
    with name_column:
        name = st.text_input(
            "Name", placeholder=f"{preset}-…", key="run-name", help="Folder of the run; empty: made up."
        )
    with title_column:
        values["title"] = forms.field("title", defaults.title)
    with seed_column:
        values["seed"] = forms.field("seed", defaults.seed)

    config = forms.validated(values, defaults)
    with st.container(horizontal=True, vertical_alignment="center"):
        start = st.button("Start", key="start", type="primary", icon=":material/play_arrow:", disabled=config is None)
        if config:
            st.markdown(jobs.cost_text(estimate(config, runs)))
    if start and config:
        try:
            run = Run.create(config, name or free_name(preset, state.runs_dir()), state.runs_dir())
        except RunError as error:
            text.failed(str(error))
        else:
            st.session_state["run"] = run.name
            jobs.start(run)

st.subheader("All runs", anchor=False)
if not runs:
    text.empty("There is no run yet. Choose a preset above and press Start.")
    st.stop()
st.dataframe(jobs.table(runs), hide_index=True)
names = [run.name for run in runs]
chosen = runs[names.index(st.selectbox("Run", names, key="run", bind="query-params"))]
if chosen.status().state == "done":
    headline.show(chosen)
if chosen.name not in [run.name for run in active]:
    jobs.panel(chosen)
