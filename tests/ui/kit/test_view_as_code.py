"""The code that a page shows: its Python draws the page's own chart, its command lines are ones that exist."""

import shlex

import numpy as np
import plotly.graph_objects as go
import pytest
from typer.testing import CliRunner

from certssb_core.cli import app
from certssb_core.config.parse import override
from certssb_core.config.presets import PRESETS
from certssb_core.results import certification, comparison
from certssb_core.results.votes import read_run_votes
from certssb_core.runs.run import Run
from ui.kit import view_as_code
from ui.kit.tables import Choice


@pytest.fixture
def run(small_run, monkeypatch) -> Run:
    monkeypatch.setenv("CERTSSB_RUNS", str(small_run.path.parent))
    monkeypatch.setattr(go.Figure, "show", lambda figure: None)
    return small_run


def drawn(code: view_as_code.Code) -> go.Figure:
    names: dict = {}
    exec(code.python, names)
    return names["figure"]


def accepted(line: str) -> None:
    words = shlex.split(line)
    assert words[:3] == ["python", "-m", "certssb_core"]
    assert CliRunner().invoke(app, [*words[3:], "--help"]).exit_code == 0
    for word in words[4:]:
        if word.startswith("--"):
            assert word in CliRunner().invoke(app, [words[3], "--help"], env={"COLUMNS": "200"}).output


def test_certified_accuracy(run):
    run_votes = read_run_votes(run)
    chosen = []
    for mode in ("uniform", "sample-specific"):
        table = certification.certify_votes(run_votes, mode=mode, bound="hoeffding", alpha=0.05)
        series = comparison.Series(mode, table, run.config.attack, run_votes.classes)
        chosen.append(Choice(mode, run, mode, series, "hoeffding", 0.05))
    code = view_as_code.certified(chosen, bound="hoeffding", alpha=0.05, radius=0.5, unit="L2 pixel units", whole=False)
    shares = comparison.curves([choice.series for choice in chosen])
    lines = {trace.name: trace.y for trace in drawn(code).data if trace.name and trace.mode == "lines"}
    for name in ("uniform", "sample-specific"):
        expected = shares[(shares["series"] == name) & (shares["set"] == "triggered")]["share"]
        assert np.allclose(np.array(lines[name], float), 100 * expected) or np.allclose(
            np.array(lines[name], float), expected
        )
    for line in code.shell.splitlines():
        accepted(line)
    assert "--mode uniform --bound hoeffding --alpha 0.05" in code.shell


@pytest.mark.parametrize(("by", "of"), [("set", "train"), ("class", "clean")])
def test_sigma(run, by, of):
    code = view_as_code.sigma(run, by, of)
    assert len(drawn(code).data) >= 3
    accepted(code.shell)


def test_pairs(run):
    before, after = (drawn(view_as_code.all_pairs(run, moment, "all")) for moment in ("before", "after"))
    assert before.data
    assert after.data
    accepted(view_as_code.all_pairs(run, "after", "different").shell)


def test_the_attack_and_a_run_carry_what_was_changed(run):
    base = PRESETS["digits"]
    changed = override(base, {"attack.norm": "0.5", "attack.trigger": "patch", "data.classes": "1,7"})
    code = view_as_code.attack(changed, "digits", base)
    assert "--set attack.norm=0.5" in code.shell
    assert drawn(code).data
    launched = view_as_code.launch(changed, "digits", base, "two words")
    assert "--name 'two words'" in launched.shell
    accepted(launched.shell)
    compile(launched.python, "launched", "exec")
    assignments = dict(word.split("=", 1) for word in shlex.split(launched.shell) if "=" in word)
    assert override(base, assignments) == changed, "the command line makes the very same settings"


def test_query(run):
    code = view_as_code.query(run)
    accepted(code.shell)
    compile(code.python, "query", "exec")
