"""Tune in a real browser: from the ranges to a study, from its trial to Certify, and away with it."""

import pytest

pytest.importorskip("playwright.sync_api")
pytest.importorskip("optuna")

from playwright.sync_api import expect

from certssb_core.tuning.study import Study
from tests.browser.journey import at_rest, button, tick, visit

pytestmark = pytest.mark.browser

FORM = "vary=training.members&from.training.members=2&to.training.members=4&trials=1"


@pytest.mark.slow
def test_a_study_from_its_ranges_to_a_run_on_certify_and_its_end(page, runs_folder):
    visit(page, f"/tune?{FORM}")
    name = page.get_by_role("textbox", name="Name of the study")
    name.fill("sweep")
    name.press("Tab")
    button(page, "Start").click()
    expect(page.get_by_text("1 of 1 trials")).to_be_visible(timeout=300_000)
    expect(page.get_by_role("heading", name="What is given up for what")).to_be_visible()
    tick(page, "all-trials", row=1)
    expect(page.get_by_role("heading", name="Certify", exact=True)).to_be_visible()
    at_rest(page)  # the newest run is Certify's default, which its address does not name
    expect(page.get_by_test_id("stMultiSelect").filter(has_text="Runs")).to_contain_text("sweep-001")
    visit(page, "/tune")
    study = Study(runs_folder / ".studies" / "sweep")
    with study.lock(timeout=180):
        assert study.status().done == 1
    button(page, "Delete").click()
    page.get_by_role("dialog").get_by_role("button", name="Move to the trash").click()
    expect(page.get_by_text("There is no study yet")).to_be_visible()
    assert not study.path.exists()
    assert (runs_folder / "sweep-001").is_dir(), "the runs stay"
