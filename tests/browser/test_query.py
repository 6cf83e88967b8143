"""Query in a real browser: painting by mouse, touch and keyboard, a trigger, an upload, and the answer that changes."""

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("playwright.sync_api")

from playwright.sync_api import expect

from certssb_core.runs.inputs import load_inputs
from certssb_core.runs.run import Run
from tests.browser.journey import assert_no_error, button, visit

pytestmark = pytest.mark.browser

FLIPPED = 4  # an 8 of the digits run that the four-pixel trigger, twice as strong as trained on, turns into a 0


def canvas(page):
    return page.get_by_role("application")


def moved(page):
    return page.get_by_test_id("stMarkdownContainer").filter(has_text="Moved by").last


def metric(page, label: str):
    return page.get_by_test_id("stMetric").filter(has_text=label).get_by_test_id("stMetricValue")


def pixel(page, row: int, column: int, side: int = 8) -> dict[str, float]:
    """Place of an image's pixel on the canvas."""
    box = canvas(page).bounding_box()
    return {"x": (column + 0.5) * box["width"] / side, "y": (row + 0.5) * box["height"] / side}


@pytest.mark.slow
def test_a_trigger_and_a_brush_change_the_answer(page):
    visit(page, f"/query?index={FLIPPED}&apply=Four+pixels&strength=0.3")
    expect(metric(page, "Defended answer")).to_have_text("8")
    expect(moved(page)).to_contain_text("Moved by 0.30")
    slider = page.get_by_role("slider", name="Strength")
    slider.focus()
    slider.press("End")
    expect(metric(page, "Defended answer")).to_have_text("0")
    expect(moved(page)).to_contain_text("has become 0")
    assert "strength=3" in page.url
    canvas(page).click(position=pixel(page, 0, 0))
    expect(moved(page)).not_to_contain_text("Moved by 1.80")
    page.get_by_role("button", name="Reset", exact=True).click()
    expect(moved(page)).to_contain_text("Moved by 1.80")
    assert_no_error(page)


def test_the_keyboard_paints_and_erases(page):
    visit(page, f"/query?index={FLIPPED}")
    expect(metric(page, "Defended answer")).to_have_text("8")
    expect(moved(page)).to_have_count(0)
    canvas(page).focus()
    for _ in range(8):
        page.keyboard.press("ArrowUp")
        page.keyboard.press("ArrowLeft")
    page.keyboard.press("Space")
    expect(page.get_by_text("Row 0, column 0: 1.00")).to_be_visible()
    expect(moved(page)).to_contain_text("Moved by 1.00")  # a black corner, now white
    page.keyboard.press("Delete")
    expect(moved(page)).to_have_count(0)
    page.get_by_role("button", name="Undo", exact=True).click()
    expect(moved(page)).to_contain_text("Moved by 1.00")
    page.get_by_role("button", name="Undo", exact=True).click()
    expect(moved(page)).to_have_count(0)
    assert_no_error(page)


def test_a_stroke_colours_the_pixels_under_it_and_another_image_starts_afresh(page):
    visit(page, "/query?source=Draw")
    expect(metric(page, "Defended answer")).to_be_visible()
    box = canvas(page).bounding_box()
    start, end = pixel(page, 1, 4), pixel(page, 6, 4)
    page.mouse.move(box["x"] + start["x"], box["y"] + start["y"])
    page.mouse.down()
    page.mouse.move(box["x"] + end["x"], box["y"] + end["y"], steps=3)
    page.mouse.up()
    expect(metric(page, "Defended answer")).to_have_text("1")
    page.get_by_role("radio", name="Clean test image").click()
    expect(page.get_by_text("as the network sees it", exact=True)).to_be_visible()
    expect(moved(page)).to_have_count(0)
    assert_no_error(page)


def test_a_finger_paints(browser, server):
    context = browser.new_context(
        viewport={"width": 1024, "height": 900}, has_touch=True, locale="en-GB", base_url=server
    )
    page = context.new_page()
    visit(page, f"/query?index={FLIPPED}")
    expect(metric(page, "Defended answer")).to_have_text("8", timeout=180_000)
    box, at = canvas(page).bounding_box(), pixel(page, 0, 0)
    page.touchscreen.tap(box["x"] + at["x"], box["y"] + at["y"])
    expect(moved(page)).to_contain_text("Moved by 1.00")
    context.close()


def test_an_upload_is_shrunk_and_answered_and_what_is_no_image_is_refused(page, runs_folder, tmp_path):
    images = load_inputs(Run(runs_folder / "digits").config).dataset.test_images
    path = tmp_path / "one.png"
    Image.fromarray(np.round(images[1, 0] * 255).astype(np.uint8)).resize((80, 80), Image.Resampling.NEAREST).save(path)
    visit(page, "/query?source=Upload")
    page.locator("input[type=file]").set_input_files(path)
    expect(metric(page, "Defended answer")).to_have_text("1")
    assert_no_error(page)
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"\x89PNG\r\n\x1a\n" + b"\x00" * 40)
    button(page, "Remove one.png").click()
    page.locator("input[type=file]").set_input_files(bad)
    expect(page.get_by_text("is not an image")).to_be_visible()
    expect(page.get_by_test_id("stException")).to_have_count(0)
