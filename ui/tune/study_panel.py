"""Studies on the page: what to vary, how far a study has come, and what its trials show."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import streamlit as st

from certssb_core.config.presets import PRESETS
from certssb_core.config.schema import RunConfig, flatten
from certssb_core.errors import ConfigError, RunError
from certssb_core.figures import tuning as figures
from certssb_core.jobs import forecast
from certssb_core.plain_text import markdown_text
from certssb_core.runs.run import Run, State
from certssb_core.tuning import ranges
from certssb_core.tuning.study import OBJECTIVES, Study, StudyConfig, describe, pareto, table
from ui.kit import charts, controls, forms, job_panel, jobs, manage, run_files, text

FIRST_PRESET = "digits-quick"
FIRST_VARIED = ["noise.sigma", "training.epochs"]
_FIELDS = StudyConfig.model_fields


# -- a new study ------------------------------------------------------------------------------------


def new_study() -> None:
    """The form; Start makes the study and its worker."""
    bases = PRESETS | {
        f"as the run {run.name}": run.config for run in run_files.own_runs() if run.config.origin == "trained"
    }
    left, right = st.columns([1, 2])
    chosen = left.selectbox(
        "What the trials share",
        list(bases),
        index=list(bases).index(FIRST_PRESET),
        key="base",
        bind="query-params",
        help="A preset, or the settings of a run; every other setting can be had by a run made on Train.",
        on_change=lambda: _reset(bases[st.session_state["base"]]),
    )
    base = bases[chosen]
    kinds = ranges.tunable()
    varied = right.multiselect(
        "What they differ in",
        list(kinds),
        FIRST_VARIED,
        max_selections=ranges.MOST_RANGES,
        format_func=lambda key: f"{key.partition('.')[0].capitalize()}: {forms.label(key)}",
        key="vary",
        bind="query-params",
    )
    if any(key.startswith(("data.", "attack.")) or key == "certification.alpha" for key in varied):
        st.caption(
            ":orange[:material/warning:] Data, attack and α are the question, not the answer: trials that differ in "
            "them are not better or worse than each other."
        )
    found = {key: _range(key, base) for key in varied}
    columns = st.columns([2, 4, 1, 1])
    name = columns[0].text_input(
        "Name of the study", placeholder="study-…", key="study-name", help="Its runs are NAME-001 …; empty: made up."
    )
    objectives = columns[1].multiselect(
        "What to improve",
        list(OBJECTIVES),
        list(_FIELDS["objectives"].default),
        format_func=lambda objective: OBJECTIVES[objective].title.partition(" (")[0],
        key="improve",
        bind="query-params",
    )
    number = _FIELDS["trials"].default
    trials = columns[2].number_input("Trials", 1, 10_000, number, key="trials", bind="query-params")
    seed = columns[3].number_input("Seed", 0, 2**31 - 1, 0, key="study-seed", bind="query-params")
    config = _validated(base=base, ranges=found, objectives=tuple(objectives), trials=trials, seed=seed)
    if config and (
        one := forecast.forecast(base, run_files.own_runs(), forecast.read_calibration(base, run_files.runs_dir()))
    ):
        st.markdown(
            f"A run with the settings they share takes about **{jobs.duration(one.seconds)}** and "
            f"**{one.disk_bytes / 1e6:,.0f} MB**; {trials} of them about **{jobs.duration(trials * one.seconds)}** and "
            f"**{trials * one.disk_bytes / 1e6:,.0f} MB**."
        )
    if st.button(
        "Start",
        key="start-study",
        type="primary",
        icon=":material/play_arrow:",
        disabled=not config or run_files.read_only(),
    ):
        try:
            study = Study.create(config, name or None, run_files.runs_dir())
        except RunError as error:
            text.failed(str(error))
        else:
            st.session_state["study"] = study.name
            job_panel.start(study)


def _range(key: str, base: RunConfig) -> ranges.Range | str:
    """Controls for the range of one setting; what is wrong with it, in words, where it is none."""
    kind, title = ranges.tunable()[key], forms.label(key)
    try:
        if kind == "choice":
            options = list(ranges.options(key))
            among = st.multiselect(f"{title}: one of", options, options, key=f"among.{key}", bind="query-params")
            return ranges.Choices(choices=tuple(among))
        low, high = _first_range(key, base)
        columns = st.columns([2, 2, 2])
        common: dict[str, Any] = {"format": "%d" if kind == "whole number" else "%g", "bind": "query-params"}
        start = columns[0].number_input(f"{title} from", value=low, key=f"from.{key}", **common)
        end = columns[1].number_input(f"{title} to", value=high, key=f"to.{key}", **common)
        with columns[2]:
            st.space("small")
            log = st.toggle("log scale", key=f"log.{key}", bind="query-params")
        return ranges.Interval(low=start, high=end, log=log)
    except ValueError as error:
        return f"{title}: {ranges.problem(error)}"


def _first_range(key: str, base: RunConfig) -> tuple[float, float]:
    """Half to double of what the base has, inside what the setting accepts."""
    kind = int if ranges.tunable()[key] == "whole number" else float
    noise = base.noise
    if key == "noise.sigma":
        return noise.sigma_min, noise.sigma_max
    least, most = forms.limits(key)
    least = noise.sigma if key == "noise.sigma_max" else least
    most = noise.sigma if key == "noise.sigma_min" else most
    value = flatten(base)[key] or least or 1
    low, high = (kind(float(f"{number:.3g}")) for number in (value / 2, value * 2))
    return max(low, kind(least or low)), min(high, kind(most or high))


def _reset(base: RunConfig) -> None:
    """Set the ends of all ranges to what fits ``base``."""
    for key in st.session_state["vary"]:
        if f"from.{key}" in st.session_state:
            st.session_state[f"from.{key}"], st.session_state[f"to.{key}"] = _first_range(key, base)


def _validated(*, ranges: dict[str, Any], **values: Any) -> StudyConfig | None:
    """The description, or None after saying what does not fit."""
    if problems := [problem for problem in ranges.values() if isinstance(problem, str)]:
        message = "\n".join(problems)
    else:
        try:
            return describe(ranges=ranges, **values)
        except ConfigError as error:
            message = str(error)
    st.error("\n".join(f"- {markdown_text(line)}" for line in message.splitlines()), icon=":material/error:")
    return None


# -- how far it has come ----------------------------------------------------------------------------


def panel(study: Study) -> None:
    """Show the state of the study, live while a worker is on it."""
    job_panel.panel(study, unit="trials", at_rest=lambda at: _at_rest(study, at))


def _at_rest(study: Study, at: State) -> None:
    made = study.config.trials
    trials = st.number_input(
        "Trials in all", made, 10_000, made, key=f"more-{study.name}", width=170, help="More of them go on from here."
    )
    idle = at == "done" and trials == made
    if st.button("Continue", key=f"continue-{study.name}", icon=":material/play_circle:", disabled=idle):
        try:
            if trials != made:
                study.extend(trials)
        except RunError as error:
            text.failed(str(error))
        else:
            job_panel.start(study)
    manage.delete(study, "study", "The runs that it made stay.")


# -- what the trials show ---------------------------------------------------------------------------


def trials(study: Study) -> pd.DataFrame:
    """:func:`certssb_core.tuning.study.table`, with a column ``about`` that says what a trial was set to."""
    modified = [(study.path / name).stat().st_mtime_ns for name in ("study.json", "events.jsonl", "journal.log")
                if (study.path / name).exists()]  # fmt: skip
    return _trials(str(study.path.resolve()), tuple(modified))


@st.cache_resource(max_entries=16, show_spinner="Reading the study …")
def _trials(path: str, modified: tuple[int, ...]) -> pd.DataFrame:
    study = Study(Path(path))
    made = table(study, study.trials())
    words = [
        "<br>".join(f"{forms.label(key)} {_short(row[key])}" for key in study.config.ranges)
        for row in made.to_dict("records")
    ]
    return made.assign(about=words)


@st.cache_resource(max_entries=16, show_spinner="Asking what matters …")
def _importance(path: str, finished: int) -> pd.DataFrame:
    from certssb_core.tuning.optimise import importance  # Optuna takes half a second to load

    return importance(Study(Path(path)))


def open_clicked(study: Study) -> None:
    """Open the run of a point that was clicked, or of a row that was ticked, on Certify."""
    made = trials(study)
    click, row = charts.clicked("pareto"), charts.ticked("all-trials")
    name = click[0] if click else made["run"].iloc[row] if row is not None and row < len(made) else None
    if name is None:
        return
    try:
        run = Run.open(name, run_files.runs_dir())
    except RunError as error:
        text.failed(str(error), "It was renamed or deleted after its trial.")
        return
    if run.status().state == "done":
        manage.compare([run])
    text.failed(f"{name} has not finished: there is nothing to certify yet.")


def trade(study: Study, made: pd.DataFrame) -> pd.DataFrame:
    """The Pareto front of two of the objectives; the trials with this ``front``."""
    st.subheader("What is given up for what", anchor=False)
    x, y = study.config.objectives[:2]
    if len(study.config.objectives) > 2:
        pairs = {f"{one}-{other}": (one, other) for one, other in (("radius", "accuracy"), ("seconds", "accuracy"),
                                                                    ("seconds", "radius"))}  # fmt: skip
        chosen = controls.choose(
            "Weigh", {key: " and ".join(pair) for key, pair in pairs.items()}, next(iter(pairs)), key="weigh"
        )
        x, y = pairs[chosen]
    made = made.assign(front=pareto(made, (x, y)))
    best = made[made["front"]].sort_values(y, ascending=not OBJECTIVES[y].maximise)
    named = ", ".join(f"**{row['run']}** ({row[y]:.3g}, {row[x]:.3g})" for row in best.head(5).to_dict("records"))
    charts.show(
        figures.pareto(
            made,
            x=x,
            y=y,
            x_title=OBJECTIVES[x].title,
            y_title=OBJECTIVES[y].title,
            x_maximised=OBJECTIVES[x].maximise,
        ),
        key="pareto",
        summary=f"{len(best)} of {len(made)} finished trials are not beaten in {OBJECTIVES[y].title} and "
        f"{OBJECTIVES[x].title} at once: {named}{' …' if len(best) > 5 else ''}. Click on a point to open its run.",
        table=made[["run", *study.config.ranges, x, y, "front"]],
        selection=True,
    )
    alpha = study.config.base.certification.alpha
    st.caption(
        f"The points are measured on the same test images by which you would choose among them. A certificate of a run "
        f"fails with probability at most α = {alpha:g}. That of the run you pick out of {len(made)} "
        f"fails with at most {len(made)} · α = {min(1.0, len(made) * alpha):.3g}, per input."
    )
    return made


def what_matters(study: Study, made: pd.DataFrame) -> None:
    """Importance of the settings."""
    st.subheader("Which setting matters", anchor=False)
    found = _importance(str(study.path.resolve()), len(made))
    if found.empty:
        text.empty("Nothing can be said from so few trials, or from trials that all come out the same.")
        return
    titles = {name: OBJECTIVES[name].title.partition(" (")[0] for name in study.config.objectives}
    top = found.loc[found.groupby("objective", sort=False)["share"].idxmax()]
    named = found.assign(setting=found["setting"].map(forms.label))
    words = "; ".join(
        f"{titles[row['objective']]} **{forms.label(row['setting'])}** ({row['share']:.0%})"
        for row in top.to_dict("records")
    )
    charts.show(
        figures.importance(named, titles=titles),
        key="importance",
        summary=f"Most of the variance over {len(made)} trials is explained by, for {words} (fANOVA). It is about the "
        "ranges of this study, and rough below some twenty trials.",
        table=found,
    )


def how_the_good_are_set(study: Study, made: pd.DataFrame) -> None:
    """Parallel coordinates."""
    st.subheader("How the good ones are set", anchor=False)
    settings, objectives = study.config.ranges, study.config.objectives
    front = made[made["front"]]
    spans = [
        f"{forms.label(key)} {front[key].min():.3g} to {front[key].max():.3g}"
        if pd.api.types.is_numeric_dtype(front[key])
        else f"{forms.label(key)} {' or '.join(sorted(front[key].unique()))}"
        for key in settings
    ]
    charts.show(
        figures.parallel(
            made,
            axes=[*settings, *objectives],
            titles={key: forms.label(key) for key in settings} | {name: name for name in objectives},
            log=[key for key, values in settings.items() if getattr(values, "log", False)],
        ),
        key="parallel",
        summary=f"The trials on the front above, {len(front)}, have {', '.join(spans)}.",
        table=made[["run", *settings, *objectives, "front"]],
    )


def all_trials(made: pd.DataFrame) -> None:
    st.subheader("All trials", anchor=False)
    st.caption("Tick one to open its run on Certify.")
    st.dataframe(
        made.drop(columns=["trial", "about"]),
        hide_index=True,
        key="all-trials",
        on_select="rerun",
        selection_mode="single-row",
        column_config={"front": "on the front", "message": "what happened"}
        | {name: st.column_config.NumberColumn(name, format="%.4f") for name in OBJECTIVES},
    )


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
