"""A toy entry of each kind, added while the program runs, is seen by everything that offers or uses entries."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest
from typer.testing import CliRunner

from certssb_core.certify.bounds.registry import BOUNDS
from certssb_core.certify.certificate_kinds import CERTIFICATES
from certssb_core.cli import app
from certssb_core.config.parse import override, parse
from certssb_core.config.schema import RunConfig
from certssb_core.data.datasets import DATASETS, load
from certssb_core.data.poisoning import METHODS
from certssb_core.data.triggers import TRIGGERS, apply_trigger
from certssb_core.errors import ConfigError
from certssb_core.results.certification import certify_votes
from certssb_core.results.votes import read_run_votes
from certssb_core.runs.run import Run
from certssb_core.smoothing.noise import NOISE_LAWS, GaussianNoise
from certssb_core.tuning import ranges
from certssb_core.verification import verify
from ui.kit import pages
from ui.lessons.certificate_views import CertifyView

SHIPPED = Path(__file__).parents[1] / "checkpoints" / "digits"
KEYS = {
    "data.name": DATASETS,
    "attack.trigger": TRIGGERS,
    "attack.method": METHODS,
    "noise.law": NOISE_LAWS,
    "certification.bound": BOUNDS,
    "certification.certificate": CERTIFICATES,
}
"""The settings that name an entry, and the registry that they name it in."""

ALONG = {
    "attack.method": {"attack.label_mode": "clean-label"},
    "noise.law": {"certification.certificate": "toy"},
    "certification.certificate": {"noise.law": "toy"},
}
"""What else a config must say for the toy to fit."""


class ToyLaw(GaussianNoise):
    title = "Toy noise"
    level_setting = "keep"
    one_level = True


@pytest.fixture
def toys(monkeypatch):
    monkeypatch.setitem(DATASETS, "toy", replace(DATASETS["digits"], name="toy", title="Toy digits"))
    monkeypatch.setitem(TRIGGERS, "toy", replace(TRIGGERS["patch"], title="Toy trigger"))
    monkeypatch.setitem(METHODS, "toy", replace(METHODS["sleeper-agent"], title="Toy attack"))
    monkeypatch.setitem(NOISE_LAWS, "toy", ToyLaw())
    monkeypatch.setitem(BOUNDS, "toy", replace(BOUNDS["clopper-pearson"], title="Toy bound"))
    monkeypatch.setitem(CERTIFICATES, "toy", replace(CERTIFICATES["weighted-l2"], title="Toy", law="toy"))


def settings(key: str) -> dict[str, str]:
    uniform = (
        {"noise.train_map": "uniform", "noise.test_map": "uniform"} if "toy" in ALONG.get(key, {}).values() else {}
    )
    return {key: "toy"} | ALONG.get(key, {}) | uniform


@pytest.mark.parametrize("key", KEYS)
def test_without_the_entry_the_config_refuses_its_name(key):
    with pytest.raises(ConfigError, match=f"{key}: choose one of"):
        override(RunConfig(), {key: "toy"})


@pytest.mark.usefixtures("toys")
@pytest.mark.parametrize("key", KEYS)
def test_the_config_takes_it_and_reads_it_again(key):
    config = override(RunConfig(), settings(key))
    assert parse(json.loads(config.model_dump_json())) == config
    group, name = key.split(".")
    schema = RunConfig.model_json_schema()["$defs"][f"{group.capitalize()}Config"]
    assert schema["properties"][name]["enum"] == list(KEYS[key])


@pytest.mark.usefixtures("toys")
@pytest.mark.parametrize("key", KEYS)
def test_the_command_line_lists_it(key):
    listed = json.loads(CliRunner().invoke(app, ["settings", key, "--json"]).output)
    assert listed[key]["choices"].split(", ") == list(KEYS[key])


@pytest.mark.usefixtures("toys")
def test_forms_studies_and_lessons_offer_it():
    def form() -> None:
        from certssb_core.config.schema import RunConfig, flatten
        from ui.kit import forms

        keys = ("data.name", "attack.trigger", "attack.method", "noise.law")
        for key in (*keys, "certification.bound", "certification.certificate"):
            forms.field(key, flatten(RunConfig())[key])

    page = AppTest.from_function(form, default_timeout=120).run()
    assert not page.exception
    for key in KEYS:
        assert "toy" in page.selectbox(key=key).options
        assert "toy" in ranges.options(key)
    assert CertifyView(bound="toy").bound == "toy"


def test_a_page_is_in_the_navigation_and_on_home(monkeypatch, tmp_path):
    """The real path of every page but the toy's, whose file lies elsewhere."""
    file, known = tmp_path / "toy.py", pages.path
    file.write_text("import streamlit as st\n\nst.title('A toy page')\n")
    monkeypatch.setitem(pages.PAGES, "toy", pages.Page("Toy", "toys", "Is this a toy?", "a card for the toy"))
    monkeypatch.setattr(pages, "path", lambda name: str(file) if name == "toy" else known(name))
    app = AppTest.from_file(SHIPPED.parents[1] / "app.py", default_timeout=120).run()
    assert not app.exception
    assert "a card for the toy" in [caption.value for caption in app.caption]
    assert app.switch_page(str(file)).run().title[0].value == "A toy page"


@pytest.mark.usefixtures("toys")
def test_its_properties_are_asked_and_not_its_name():
    config = override(RunConfig(), settings("noise.law") | {"noise.keep": "0.7", "attack.trigger": "toy"})
    assert config.noise.level == 0.7  # the law's level_setting
    assert config.attack.nominal_norm is None  # the trigger's has_norm
    assert override(RunConfig(), settings("attack.method")).attack.crafted
    with pytest.raises(ConfigError, match="one level for all"):
        override(config, {"noise.train_map": "sample-specific"})


@pytest.mark.usefixtures("toys")
def test_data_and_trigger_are_used_by_their_name():
    assert np.array_equal(load("toy", max_test=20).test_images, load("digits", max_test=20).test_images)
    blank = np.zeros((1, 1, 8, 8), np.float32)
    assert np.array_equal(apply_trigger(blank, "toy", norm=1.0), apply_trigger(blank, "patch", norm=1.0))


@pytest.mark.usefixtures("toys")
def test_a_bound_certifies_at_once_and_its_re_verification_is_told_as_not_possible(tmp_path):
    """The shipped run, as if it had been certified with a bound that nobody implemented a second time."""
    votes = read_run_votes(Run(SHIPPED))
    table = certify_votes(votes, mode="uniform", bound="toy", alpha=0.001)
    assert table.equals(certify_votes(votes, mode="uniform", bound="clopper-pearson", alpha=0.001))

    folder = Path(shutil.copytree(SHIPPED, tmp_path / "toy"))
    config = json.loads((folder / "config.json").read_text())
    config["certification"]["bound"] = "toy"
    (folder / "config.json").write_text(json.dumps(config))
    found = {finding.check: finding for finding in verify(Run(folder))}
    assert found["bounds"].outcome == "not possible"
    assert found["bounds"].detail == "the bound toy has no independent re-verification"
    assert found["margins and radii"].outcome == found["vote counts"].outcome == "passed"


@pytest.mark.usefixtures("toys")
def test_a_certificate_without_a_second_implementation_is_told(tmp_path):
    folder = Path(shutil.copytree(SHIPPED, tmp_path / "toy"))
    config = json.loads((folder / "config.json").read_text())
    config["certification"]["certificate"] = config["noise"]["law"] = "toy"
    config["noise"] |= {"train_map": "uniform", "test_map": "uniform"}
    (folder / "config.json").write_text(json.dumps(config))
    found = {finding.check: finding for finding in verify(Run(folder))}
    assert found["margins and radii"].outcome == "not possible"
    assert found["margins and radii"].detail == "the certificate toy has no independent re-verification"
