"""Links and sessions: a link is a view, runs are compared, two readers at once keep to themselves."""

import re
import shutil

import pytest

pytest.importorskip("playwright.sync_api")

from playwright.sync_api import expect

from certssb_core.runs.run import Run
from tests.browser.journey import assert_no_error, at_rest, button, session, tick, visit

pytestmark = pytest.mark.browser


@pytest.fixture
def another_page(browser, server):
    """A second reader: a session of its own, at the same time."""
    yield from session(browser, server)


@pytest.fixture
def twin(runs_folder):
    """A second finished run."""
    path = runs_folder / "twin"
    shutil.copytree(runs_folder / "digits", path)
    yield Run(path)
    shutil.rmtree(path)


def metric(page, label: str):
    return page.get_by_test_id("stMetric").filter(has_text=label).get_by_test_id("stMetricValue")


@pytest.mark.slow
def test_a_link_to_certify_opens_the_same_view_in_a_fresh_session(page, another_page):
    visit(page, "/certify")
    page.get_by_role("button", name="uniform", exact=True).click()
    slider = page.get_by_role("slider", name=re.compile("Read at r "))
    for _ in range(3):
        slider.press("ArrowRight")
    expect(page).to_have_url(re.compile(r"r=0\.28"))
    expect(page).to_have_url(re.compile(r"modes="))
    expect(page.get_by_text("Certified at r = 0.28").first).to_be_visible()
    at_rest(page)
    seen = page.get_by_text("Certified at r = 0.28").first.inner_text()
    visit(another_page, page.url)
    expect(another_page.get_by_text("Certified at r = 0.28").first).to_have_text(seen)
    assert "uniform" not in seen
    at_rest(another_page)


@pytest.mark.slow
def test_a_link_to_the_sandbox_opens_the_same_view_in_a_fresh_session(page, another_page):
    visit(page, "/overlaps?view=a+sandbox+in+the+plane")
    expect(metric(page, "Area claimed")).to_be_visible()
    default = metric(page, "Area claimed").inner_text()
    page.get_by_role("radio", name="blobs").click()
    expect(page).to_have_url(re.compile(r"data=blobs"))
    expect(metric(page, "Area claimed")).not_to_have_text(default)
    at_rest(page)
    areas = [metric(page, label).inner_text() for label in ("Area claimed", "Contested", "Area answered")]
    visit(another_page, page.url)
    for label, area in zip(("Area claimed", "Contested", "Area answered"), areas, strict=True):
        expect(metric(another_page, label)).to_have_text(area)
    expect(another_page.get_by_role("radio", name="blobs")).to_be_checked()
    at_rest(another_page)


@pytest.mark.slow
def test_two_runs_ticked_on_train_arrive_on_certify(page, twin):
    visit(page, "/train")
    tick(page, "all-runs", row=0)
    expect(button(page, "Compare on Certify")).to_be_enabled()
    button(page, "Compare on Certify").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Certify")
    summary = page.get_by_text(re.compile(r"^Certified at r = .*digits .*twin |^Certified at r = .*twin .*digits "))
    expect(summary.first).to_be_visible()
    expect(page).to_have_url(re.compile(r"runs=.*digits"))
    expect(page).to_have_url(re.compile(r"runs=.*twin"))
    at_rest(page)


@pytest.mark.slow
def test_two_sessions_keep_their_selections_and_leave_each_others_runs_alone(page, another_page, runs_folder):
    visit(page, "/overlaps?view=a+sandbox+in+the+plane&data=blobs")
    visit(another_page, "/train?preset=digits-quick&training.members=20")
    another_page.get_by_role("textbox", name="Name", exact=True).fill("theirs")
    another_page.get_by_role("textbox", name="Name", exact=True).press("Tab")
    button(another_page, "Start").click()
    expect(button(another_page, "Stop")).to_be_visible()
    expect(page.get_by_role("radio", name="blobs")).to_be_checked()
    page.get_by_role("radio", name="attacker first").click()
    expect(page).to_have_url(re.compile(r"order=attacker"))
    visit(page, "/certify?r=0.5")
    expect(page.get_by_text("Certified at r = 0.5").first).to_be_visible()
    visit(another_page, "/certify")
    expect(another_page.get_by_text("Certified at r = 0.25").first).to_be_visible()
    expect(page.get_by_text("Certified at r = 0.5").first).to_be_visible()
    theirs = Run(runs_folder / "theirs")
    with theirs.lock(timeout=180):
        assert theirs.status().state == "done"  # neither leaving nor the other reader has stopped it
    assert_no_error(page)
    assert_no_error(another_page)
    theirs.delete()


def test_a_link_from_before_compare_had_its_name_opens_the_same_view(page):
    visit(page, "/field?topic=Feature+flips&beta=0.85")
    expect(page.get_by_role("heading", level=1)).to_have_text("Compare")
    expect(page).to_have_url(re.compile(r"/compare\?.*beta=0.85"))
    expect(page.get_by_role("slider", name="β")).to_have_value("0.85")
