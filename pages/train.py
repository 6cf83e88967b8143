"""Train: from a preset to a finished run."""

import streamlit as st

from certssb_core.config.presets import PRESETS
from certssb_core.errors import RunError
from certssb_core.jobs import queue
from certssb_core.results.enough_members import too_few_members
from certssb_core.runs import tags
from certssb_core.runs.run import Run
from ui.kit import attack_check, data_check, forms, headline, jobs, manage, run_files, run_list, text, view_as_code
from ui.train import forecast, preset_choice

text.page_header(
    "train",
    r"""
Member $m$ of $M$ is trained on one noisy copy of the poisoned set: image $i$ becomes $x_i + \sigma_i z_{m,i}$. The
noise $z \sim \mathcal N(0, I)$ is drawn once per member and image and held fixed for all epochs. $\sigma_i$ maximises

$$r(x, \sigma) = \tfrac{\sigma}{2}\left[\Phi^{-1}(\bar p_A(\sigma)) - \Phi^{-1}(\bar p_B(\sigma))\right].$$
""",
    ("2504.21730", "2003.08904"),
)

if run_files.read_only():
    text.looking_only()
queue.start_next(run_files.runs_dir())  # where the worker that should have done it was killed
runs = run_files.runs()
own = run_files.own_runs(runs)
active = [run for run in runs if not run.is_done() and run.status().state == "running"] + queue.waiting(
    run_files.runs_dir()
)
for run in active:
    jobs.panel(run)

unfolded = not (active or run_files.read_only()) or st.session_state.pop("new-run", False)
with st.expander("New run", expanded=unfolded, icon=":material/add_circle:"):
    preset = preset_choice.choose()
    defaults = PRESETS[preset]
    st.caption(f"Name of the preset, on the command line too: {preset}")
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
        secret = st.toggle(
            "Secret noise",
            True,
            key="secret-noise",
            help="The system draws the seed of the noise when the run starts, so nobody can aim at it. Turned off, the "
            "noise follows from the seed: the run can be made again, and its certificates hold for inputs chosen "
            "without it.",
        )

    config = forms.validated(values, defaults)
    if config:
        config = forms.retitled(config, preset)
        seeded = config.model_copy(update={"noise_seed": "secret" if secret else "public"})
        here = data_check.present(config.data)
        forecast.show(config, preset, own, quiet=bool(active) or not here)
        if few := too_few_members(
            config,
            len(config.data.classes or run_files.class_names(config.data.name, config.data.root, config.data.size)),
        ):
            st.warning(few, icon=":material/warning:")
        attack_check.warn(config)
    with st.container(horizontal=True, vertical_alignment="center"):
        words, icon = ("Queue", ":material/schedule:") if active else ("Start", ":material/play_arrow:")
        shut = config is None or not here or run_files.read_only()
        start = st.button(words, key="start", type="primary", icon=icon, disabled=shut)
    if config:
        view_as_code.show(view_as_code.launch(seeded, preset, defaults, name))
    if start and config:
        try:
            run = Run.create(seeded, name or None, run_files.runs_dir(), stem=preset)
        except RunError as error:
            text.failed(str(error))
        else:
            st.session_state["started"] = run.name
            jobs.start(run)

st.subheader("All runs", anchor=False)
for name, problem in run_files.damaged_runs().items():
    text.failed(f"The run {name} cannot be shown: {problem}", "Put config.json back from a copy.")
if not runs:
    text.empty("There is no run yet. Choose a preset above and press Start.")
    manage.trash(run_files.runs_dir())
    st.stop()
by_name = {run.name: run for run in runs}
ticked = [by_name[name] for name in run_list.choose(runs, own)]
if st.button("Compare on Certify", key="compare", icon=":material/compare_arrows:", disabled=not ticked):
    manage.compare(ticked)
names = list(by_name)
held = st.session_state.get("run")
if text.arrived():
    held = st.query_params.get("run") or run_files.current() or held
# Not under the control's own key: what the browser says beside a panel that refreshes would overwrite it there.
held = st.session_state.pop("started", held)
st.session_state["run"] = held if held in names else names[0]
left, right = st.columns(2)
chosen = by_name[left.selectbox("Run", names, key="run", bind="query-params")]
with right:
    run_list.tag(chosen, tags.all_tags(runs))
if chosen.is_done():
    run_files.make_current(chosen.name)
    headline.show(chosen)
if chosen.name not in [run.name for run in active]:
    jobs.panel(chosen)
manage.trash(run_files.runs_dir())
