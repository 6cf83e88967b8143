"""Journeys of somebody who explores: two balls collide, a bar opens its images, a lesson is walked through."""

import re

import pytest

pytest.importorskip("playwright.sync_api")

from playwright.sync_api import expect

from tests.browser.journey import at_rest, button, tick, visit

pytestmark = pytest.mark.browser


def metric(page, label: str):
    return page.get_by_test_id("stMetric").filter(has_text=label).get_by_test_id("stMetricValue")


@pytest.mark.slow
def test_two_balls_collide_in_the_sandbox(page):
    visit(page, "/overlaps?view=a+sandbox+in+the+plane&data=points+of+your+own&points=0+0+round;+0.6+0+square")
    expect(metric(page, "Contested")).to_have_text("0.000")
    thumb = page.get_by_role("slider", name=re.compile("Overstate radii"))
    for _ in range(10):
        thumb.press("ArrowRight")
    expect(metric(page, "Contested")).not_to_have_text("0.000")
    expect(page.get_by_text("3a · trim by ball 1").first).to_be_attached()
    expect(page.get_by_text("1 of 2").first).to_be_visible()
    at_rest(page)
    expect(page).to_have_url(re.compile(r"stretch=2"))


@pytest.mark.slow
def test_a_click_in_the_plane_says_who_answers(page):
    visit(page, "/overlaps?view=a+sandbox+in+the+plane")
    plot = page.get_by_test_id("stPlotlyChart").first.locator(".nsewdrag").first
    plot.scroll_into_view_if_needed()
    box = plot.bounding_box()
    plot.click(position={"x": box["width"] * 0.4, "y": box["height"] * 0.4})
    expect(page.get_by_text(re.compile(r"answers (round|square)|No ball holds this point")).first).to_be_visible()
    expect(page).to_have_url(re.compile(r"[?&]x="))
    at_rest(page)


@pytest.mark.slow
def test_the_keyboard_steps_and_the_background_stays_while_it_plays(page):
    visit(page, "/overlaps?view=a+sandbox+in+the+plane&upto=20")
    background = page.locator(".st-key-sandbox .imagelayer image")
    expect(background).to_have_count(1)
    slider = page.get_by_role("slider", name="Inputs that have come")
    slider.press("ArrowLeft")
    expect(page.get_by_text("The first 19 of 25 inputs have come.")).to_be_attached()
    at_rest(page)
    button(page, "Play").click()
    expect(page.get_by_text("The first 19 of 25 inputs have come.")).to_have_count(0)
    expect(background).to_have_count(1)
    expect(button(page, "Play")).to_be_visible()  # it ends with the last input
    expect(slider).to_have_value("25")
    expect(background).to_have_count(1)
    at_rest(page)


@pytest.mark.slow
def test_the_sample_behind_a_histogram_bar(page):
    visit(page, "/noise")
    chart = page.get_by_test_id("stPlotlyChart").first
    expect(chart.locator(".bars").first).to_be_visible()
    at_rest(page)
    tallest = max(chart.locator(".point path").all(), key=lambda bar: bar.bounding_box()["height"])
    box = tallest.bounding_box()
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 3)
    expect(page.get_by_text(re.compile(r"images of \w+ have σ\* from")).first).to_be_visible()
    expect(page).to_have_url(re.compile(r"bar=\d+"))
    at_rest(page)
    before = page.url
    tick(page, "behind", row=1)
    expect(page).not_to_have_url(before)
    expect(page).to_have_url(re.compile(r"[?&](index|set)="))
    at_rest(page)


def predict(page) -> None:
    """Choose the last answer of the step that is shown."""
    expect(page.get_by_text("Predict first")).to_be_visible()
    at_rest(page)
    page.get_by_test_id("stMain").locator("[class*=st-key-predicted]").last.get_by_role("button").click()
    expect(page.get_by_text("your prediction")).to_be_visible()
    at_rest(page)


def test_a_lesson_with_leave_and_return(page):
    visit(page, "/lessons")
    page.get_by_role("button", name="Begin").first.click()
    heading = page.get_by_role("heading", level=1)
    expect(heading).to_have_text("1. Four brighter pixels")
    predict(page)
    page.locator("[data-testid=stMain]").evaluate("main => main.scrollTo(0, 300)")
    page.get_by_role("button", name="Next").click()
    expect(heading).to_have_text("2. How large the change is")
    page.wait_for_function("document.querySelector('[data-testid=stMain]').scrollTop === 0")
    predict(page)
    expect(page).to_have_url(re.compile("step=2.*answers=cc--"))
    link = page.url
    page.get_by_role("link", name="Open on the Poison page").first.click()
    expect(heading).to_have_text("Poison")
    at_rest(page)
    page.get_by_role("link", name="Lessons").click()
    expect(heading).to_have_text("2. How large the change is")
    expect(page.get_by_text("your prediction")).to_be_visible()
    at_rest(page)
    visit(page, link)
    expect(heading).to_have_text("2. How large the change is")
    expect(page.get_by_text("your prediction")).to_be_visible()
    at_rest(page)
    page.get_by_role("button", name="Teach", exact=True).click()
    with page.expect_download() as handout:
        page.get_by_role("button", name="Handout (HTML)").click()
    assert handout.value.suggested_filename == "what-a-backdoor-is.html"
    assert "<h1>Answers</h1>" in handout.value.path().read_text(encoding="utf-8")


@pytest.mark.slow
def test_presenting_hides_the_header_until_it_is_left(page):
    visit(page, "/lessons?lesson=Why+noise+helps&present=1")
    header = page.get_by_test_id("stHeader")
    expect(header).to_be_hidden()
    page.get_by_role("button", name="2", exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_have_text("2. Many copies, one vote")
    expect(page).to_have_url(re.compile("present=1"))
    at_rest(page)
    expect(header).to_be_hidden()
    page.get_by_role("button", name="Leave").click()
    expect(header).to_be_visible()
    at_rest(page)


def test_a_pinned_view_opens_its_page_at_that_view(page):
    visit(page, "/lessons?lesson=What+happens+when+balls+collide&step=3")
    page.get_by_role("link", name="Open on the Overlaps page").first.click()
    expect(page.get_by_role("radio", name="a sandbox in the plane")).to_be_checked()
    expect(page.get_by_role("radio", name="attacker first")).to_be_checked()
    at_rest(page)
