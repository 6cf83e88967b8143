"""A workspace of many runs in a real browser: wrong numbers, the list of runs, and the comparison of twenty."""

import shutil

import pytest

pytest.importorskip("playwright.sync_api")

from playwright.sync_api import expect

from certssb_core.runs.run import Run
from certssb_core.runs.tags import write_tags
from tests.browser.journey import assert_no_error, at_rest, button, drawn, visit

pytestmark = pytest.mark.browser


def copy(runs_folder, name: str) -> Run:
    shutil.copytree(runs_folder / "digits", runs_folder / name)
    return Run(runs_folder / name)


def test_a_number_out_of_range_is_said_and_nothing_can_be_started(page):
    visit(page, "/train")
    members = page.get_by_role("spinbutton", name="Members M")
    members.fill("0")
    members.press("Tab")
    expect(page.get_by_text("Members M must be at least 1.")).to_be_visible()
    drawn(page)
    expect(button(page, "Start")).to_be_disabled()
    members.fill("200")
    members.press("Tab")
    expect(page.get_by_text("Members M must be at least 1.")).to_have_count(0)
    at_rest(page)
    expect(button(page, "Start")).to_be_enabled()


@pytest.mark.slow
def test_twenty_runs_are_filtered_and_compared_with_a_baseline(page, runs_folder):
    names = [copy(runs_folder, f"run-{number:02d}").name for number in range(20)]
    write_tags(Run(runs_folder / "run-07"), ["thesis"])
    visit(page, "/train?find=thesis")
    expect(page.get_by_text("1 of 21 runs")).to_be_visible()
    visit(page, "/certify?" + "&".join(f"runs={name}" for name in names))
    expect(page.get_by_text("for 0 of 19 runs the interval leaves out 0")).to_be_visible()
    page.get_by_test_id("stSelectbox").filter(has_text="Baseline").get_by_role("combobox").click()
    page.get_by_role("option", name="run-07").click()
    expect(page.get_by_text("certified accuracy at r = 0.25 to run-07")).to_be_visible()
    at_rest(page)
    height = page.evaluate("document.querySelector('[data-testid=stMain]').scrollHeight")
    assert height < 6000, "the page does not grow with every run"
    assert_no_error(page)
