"""Journeys of a newcomer: from the first start to a first insight, and from a preset to a finished run."""

import pytest

pytest.importorskip("playwright.sync_api")

from playwright.sync_api import expect

from certssb_core.runs.run import Run
from tests.browser.journey import assert_no_error, button, visit

pytestmark = pytest.mark.browser


def go(page, title: str) -> None:
    """Through the navigation, as a reader does."""
    page.get_by_test_id("stTopNavLink").filter(has_text=title).click()
    expect(page.get_by_role("heading", level=1)).to_have_text(title)
    expect(page.get_by_test_id("stStatusWidget")).to_have_count(0)


def test_first_start_to_first_insight(page, runs_folder):
    visit(page, "/")
    metrics = Run(runs_folder / "digits").metrics
    expect(page.get_by_text(f"{metrics['clean']['accuracy']:.1%}").first).to_be_visible()
    assert_no_error(page)
    for title in ("Poison", "Noise σ*", "Certify", "Overlaps", "Query"):
        go(page, title)
        expect(page.get_by_test_id("stPlotlyChart").first).to_be_visible()
        assert_no_error(page)
        if title == "Overlaps":
            expect(page.get_by_text(str(metrics["store"]["disjoint"])).first).to_be_attached()


def test_a_link_opens_the_same_view_in_a_fresh_session(page):
    visit(page, "/certify?bound=Hoeffding+on+mean+softmax")
    expect(page.get_by_role("heading", level=1)).to_have_text("Certify")
    expect(page.get_by_role("combobox", name="Bound on the votes")).to_have_value("Hoeffding on mean softmax")
    assert_no_error(page)


@pytest.mark.slow
def test_launch_reload_stop_resume_and_finish(page, runs_folder):
    visit(page, "/train?preset=digits-quick&training.members=24")
    page.get_by_role("textbox", name="Name").fill("journey")
    page.get_by_role("textbox", name="Name").press("Tab")
    button(page, "Start").click()
    expect(button(page, "Stop")).to_be_visible()
    page.reload()
    button(page, "Stop").click()
    expect(button(page, "Resume")).to_be_visible()
    run = Run(runs_folder / "journey")
    assert run.status().state == "stopped"
    button(page, "Resume").click()
    expect(page.get_by_text("Attack success rate").first).to_be_visible(timeout=120_000)
    assert run.status().state == "done"
    assert len(run.certificates()) == 2 * 108
    assert_no_error(page)
