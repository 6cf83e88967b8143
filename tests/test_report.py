"""The report: one file, the run's own numbers, its promises and conditions, and nothing from the network."""

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from typer.testing import CliRunner

from certssb_core.cli import app
from certssb_core.config.parse import override
from certssb_core.errors import RunError
from certssb_core.report import report
from certssb_core.results import certification
from certssb_core.runs.run import Run
from tests.conftest import make_small_run


class Page(HTMLParser):
    """The words of a page, and the addresses that it would load."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.words, self.loaded, self._inside = [], [], ""
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        self._inside = tag
        self.loaded += [value for name, value in attributes if name in ("src", "href")]

    def handle_data(self, data):
        if self._inside not in ("script", "style"):
            self.words.append(data.strip())

    @property
    def text(self) -> str:
        return " ".join(self.words)


def test_it_states_the_run_s_numbers_with_promise_and_condition(small_run):
    html = report([small_run])
    page, metrics = Page(html), small_run.metrics
    assert page.loaded == []
    assert f"{metrics['clean']['accuracy']:.1%} (" in page.text
    promise = certification.promise(small_run.config, "sample-specific")
    for sentence in (promise.test_radius, promise.joint_budget, promise.condition):
        assert sentence in page.text
    assert "outside the theorem" in page.text
    assert "Seeds." in page.text, "the inspector's checklist"
    assert len(re.findall(r"Plotly\.newPlot", html)) >= 4
    assert report([small_run]) == html, "the same runs and settings give the same file"


def test_modes_are_compared_and_the_release_s_is_labelled(small_run):
    page = Page(report([small_run], modes=["uniform", "release"], alpha=0.01))
    assert "original paper's code (not a certificate)" in page.text
    assert "α = 0.01" in page.text
    assert "at least 0.99" in page.text
    assert "at least 0.9." not in page.text, "the promise is of the α that was asked for, not of the run's"


def test_hostile_words_stay_words(small_run, tmp_path):
    run = make_small_run(tmp_path, "hostile")
    config = override(small_run.config, {"title": "<script>alert(1)</script>"})
    for path in small_run.path.iterdir():
        if path.is_file() and path.suffix != ".lock":
            (run.path / path.name).write_bytes(path.read_bytes())
    (run.path / "config.json").write_text(config.model_dump_json())
    html = report([run])
    assert "<script>alert(1)" not in html
    assert "&lt;script&gt;alert(1)" in html


def test_what_cannot_be_reported_is_said(small_run, tmp_path):
    with pytest.raises(RunError, match="at least one"):
        report([])
    with pytest.raises(RunError, match="not finished"):
        report([make_small_run(tmp_path, "new")])
    with pytest.raises(RunError, match="no run has votes in mode voted"):
        report([small_run], modes=["voted"])


def test_on_the_command_line(small_run, tmp_path):
    target = tmp_path / "r.html"
    done = CliRunner().invoke(app, ["report", str(small_run.path), "--output", str(target), "--alpha", "0.05"])
    assert done.exit_code == 0, done.output
    assert "α = 0.05" in target.read_text(encoding="utf-8")
    assert CliRunner().invoke(app, ["report", str(small_run.path), "--bound", "nonsense"]).exit_code == 2


def test_the_shipped_subset_run_is_mapped_against_its_planted_attack():
    run = Run(Path("checkpoints/subset-digits-01"))
    planted = run.metrics["planted_attack"]
    page = report([run])
    assert "If training images are replaced" in page
    assert f"the planted attack: {planted['images']:,} images, norm {planted['norm']:.3g}" in page
    row = [f"{planted['images']}", f"{planted['norm']:.4g}", f"{planted['clean']['certified']}"]
    assert "".join(f"\n      <td>{cell}</td>" for cell in row) in page
