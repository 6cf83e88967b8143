"""Train in a real browser: queue, duplicate, rename, delete."""

import pytest

pytest.importorskip("playwright.sync_api")

from playwright.sync_api import expect

from certssb_core.config.presets import PRESETS
from certssb_core.runs.run import Run
from tests.browser.journey import assert_no_error, button, visit

pytestmark = pytest.mark.browser


def name_field(page):
    return page.get_by_role("textbox", name="Name", exact=True)


def launch(page, name: str, label: str) -> None:
    name_field(page).fill(name)
    name_field(page).press("Tab")
    button(page, label).click()


@pytest.mark.slow
def test_the_second_run_waits_for_the_first_and_starts_by_itself(page, runs_folder):
    visit(page, "/train?preset=digits-quick&training.members=16")
    launch(page, "first", "Start")
    expect(button(page, "Stop")).to_be_visible()
    page.get_by_text("New run").click()
    launch(page, "second", "Queue")
    expect(page.get_by_text("number 1 in the queue")).to_be_visible()
    first, second = Run(runs_folder / "first"), Run(runs_folder / "second")
    assert second.status().state == "queued"
    page.goto("about:blank")  # nobody looks: the worker that ends starts the next one
    with first.lock(timeout=120):
        assert first.status().state == "done"
    visit(page, "/train?run=second")
    expect(button(page, "Duplicate")).to_be_visible()
    expect(page.get_by_text("in the queue")).to_have_count(0)
    done = False
    for _ in range(60):
        with second.lock(timeout=120):  # there is a moment when it waits no more and its worker is not there yet
            done = second.status().state == "done"
        page.reload()
        if done:
            break
    assert done
    assert_no_error(page)
    button(page, "Delete").click()
    page.get_by_role("dialog").get_by_role("button", name="Move to the trash").click()
    expect(page.get_by_role("dialog")).to_have_count(0)
    assert not second.path.exists()


def test_a_dialog_stays_open_while_its_run_changes(page, runs_folder):
    run = Run.create(PRESETS["digits-quick"], "changing", runs_folder)
    visit(page, "/train?run=changing")
    button(page, "Rename").click()
    dialog = page.get_by_role("dialog")
    name = dialog.get_by_role("textbox", name="New name")
    name.fill("named-meanwhile")
    run.log("failed", message="the disk is full")  # as a worker that another page started would
    expect(page.get_by_test_id("stAlert").filter(has_text="the disk is full")).to_have_count(1)
    expect(name).to_have_value("named-meanwhile")
    dialog.get_by_role("button", name="Rename", exact=True).click()
    expect(dialog).to_have_count(0)
    assert (runs_folder / "named-meanwhile").is_dir()


def test_duplicate_and_rename(page, runs_folder):
    visit(page, "/train?run=digits")
    button(page, "Duplicate").click()
    expect(name_field(page)).to_have_value("digits-copy")
    expect(page.get_by_role("spinbutton", name="Members M")).to_have_value("200")
    button(page, "Rename").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("textbox", name="New name").fill("renamed")
    dialog.get_by_role("textbox", name="New name").press("Enter")
    expect(dialog).to_have_count(0)
    assert (runs_folder / "renamed").is_dir()
    Run(runs_folder / "renamed").rename("digits")  # other journeys need it
    assert_no_error(page)
