"""Tune: a search over settings, its trials ordinary runs."""

import streamlit as st

from certssb_core.tuning.study import Study, require_optuna
from ui.kit import run_files, text
from ui.tune import study_panel

text.page_header(
    "tune",
    r"""
A trial **dominates** another if it is better in one objective and at least as good in all. The trials that none
dominates are the **Pareto front**: whoever wants more of one number there gives up some of another.

Trials are proposed by the tree-structured Parzen estimator of Optuna: settings like those of good trials, unlike those
of bad ones. Proposal $n$ is seeded by the study's seed and $n$ alone. Importance is the share of an objective's
variance that a setting explains in a random forest fitted to the trials (fANOVA).
""",
)
require_optuna()

if run_files.read_only():
    text.looking_only()
studies = Study.all(run_files.runs_dir())
with st.expander("New study", expanded=not studies, icon=":material/add_circle:"):
    study_panel.new_study()
if not studies:
    text.empty("There is no study yet. Say above what to vary, and press Start: the trials appear here one by one.")
    st.stop()
names = [study.name for study in studies]
if st.session_state.get("study", names[0]) not in names:
    st.session_state["study"] = names[0]
study = studies[names.index(st.selectbox("Study", names, key="study", bind="query-params"))]
study_panel.panel(study)
study_panel.open_clicked(study)
made = study_panel.trials(study)
finished = made[made["state"] == "done"]
if finished.empty:
    text.empty("No trial has finished yet.")
else:
    finished = study_panel.trade(study, finished)
    study_panel.what_matters(study, finished)
    study_panel.how_the_good_are_set(study, finished)
if not made.empty:
    study_panel.all_trials(made)
