"""The live stage and the opening of Overlaps in a real browser: what a reader sees before the first click."""

import shutil

import pytest

pytest.importorskip("playwright.sync_api")

from playwright.sync_api import expect

from tests.browser.journey import assert_no_error, at_rest, button, visit

pytestmark = pytest.mark.browser


def metric(page, label: str):
    found = page.get_by_test_id("stMetric").filter(has=page.get_by_text(label, exact=True))
    return found.get_by_test_id("stMetricValue")


def drag_until_the_undefended_network_obeys(page):
    """The trigger to its full strength, on the digit 6: the ensemble does not obey."""
    slider = page.get_by_role("slider", name="Strength of the trigger")
    slider.focus()
    for _ in range(20):
        slider.press("ArrowRight")
    expect(metric(page, "Undefended network")).to_have_text("0")
    expect(metric(page, "Defended answer")).to_have_text("6")
    at_rest(page)


@pytest.mark.slow
def test_the_trigger_flips_the_undefended_network_and_not_the_ensemble(page):
    visit(page, "/?stage-image=197")
    expect(metric(page, "Undefended network")).to_have_text("6")
    expect(metric(page, "Defended answer")).to_have_text("6")
    drag_until_the_undefended_network_obeys(page)
    expect(page.get_by_text("true class 6").first).to_be_visible()
    assert "stage-strength=1" in page.url
    assert_no_error(page)


@pytest.mark.slow
def test_in_the_lesson_the_trigger_is_dragged_until_the_undefended_network_obeys(page):
    visit(page, "/lessons?lesson=Why+noise+helps&step=3")
    expect(metric(page, "Undefended network")).to_have_text("6")
    drag_until_the_undefended_network_obeys(page)
    button(page, "On fewer than 5 %").click()
    expect(page.get_by_text("Each member saw other noise on the four pixels")).to_be_in_viewport()
    expect(metric(page, "Undefended network")).to_have_text("0")
    at_rest(page)


@pytest.mark.slow
@pytest.mark.parametrize("address", ["/?stage-strength=1", "/query?strength=1.5"])
def test_image_slider_and_all_answers_fit_one_screen(page, address):
    page.set_viewport_size({"width": 1280, "height": 720})
    visit(page, address)
    shown = [metric(page, name) for name in ("Undefended network", "Defended answer", "Certified radius", "Store")]
    shown += [page.get_by_text("Defended answer: true class"), page.get_by_text("Moved by")]
    shown += [page.get_by_text("of 200 members vote"), page.get_by_test_id("stSlider")]
    for one in shown:
        expect(one).to_be_in_viewport(ratio=1)
    assert_no_error(page)


def test_a_real_conflict_is_on_screen_and_resolved_without_a_click(page):
    page.set_viewport_size({"width": 1280, "height": 720})
    visit(page, "/overlaps")
    chart = page.locator(".st-key-conflict-plane")
    expect(chart.get_by_text("as they came", exact=True)).to_be_in_viewport()
    expect(page.get_by_text("3b · align, r")).to_be_in_viewport()
    red = chart.locator("path.js-line[style*='rgb(213, 94, 0)']")
    expect(red).to_have_count(1)  # before; after it there is none
    expect(red).to_be_in_viewport()
    slider = page.get_by_role("slider", name="Query")
    expect(slider).to_have_value("63")
    button(page, "Next conflict").click()
    expect(slider).not_to_have_value("63")
    at_rest(page)


@pytest.mark.slow
def test_a_stream_is_sent_and_its_first_conflict_shown(page, runs_folder):
    """A run without a stream of its own: its members answer, and the page goes on by itself."""
    made = shutil.copytree(runs_folder / "digits", runs_folder / "without-stream")
    (made / "stream.sqlite").unlink()
    visit(page, "/overlaps?run=without-stream&meet=a+stream+of+queries")
    button(page, "Send a stream").click()
    expect(page.get_by_text("The members answer a stream of about a hundred images")).to_be_visible()
    expect(page.get_by_role("slider", name="Query")).to_have_value(
        "63", timeout=400_000
    )  # members answer a hundred images
    expect(page.get_by_text("whose promise is older")).to_be_visible()
    at_rest(page)
    assert (made / "stream.sqlite").exists()


def test_a_ball_that_is_opened_below_comes_into_view(page):
    visit(page, "/overlaps?asked=23")
    button(page, "Open ball 23 above").click()
    expect(page.get_by_role("heading", name="Two balls, drawn exactly")).to_be_in_viewport()
    at_rest(page)
