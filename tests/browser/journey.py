"""Steps that the browser journeys share."""

from collections.abc import Iterator

from playwright.sync_api import Browser, Page, expect

expect.set_options(timeout=180_000)


def session(browser: Browser, server: str) -> Iterator[Page]:
    """A reader's session of its own, closed afterwards."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, locale="en-GB", base_url=server)
    opened = context.new_page()
    opened.set_default_timeout(180_000)
    yield opened
    context.close()


def assert_no_error(page: Page) -> None:
    expect(page.get_by_test_id("stException")).to_have_count(0)
    expect(page.get_by_test_id("stAlertContentError")).to_have_count(0)


def visit(page: Page, address: str) -> None:
    """Open ``address`` and wait until it has been drawn: what is clicked while it is drawn may move away."""
    page.goto(address)
    at_rest(page)


def drawn(page: Page) -> None:
    """The page has been drawn to its end: nothing of the last time stands beside what is new."""
    expect(page.get_by_test_id("stApp")).to_have_attribute("data-test-script-state", "notRunning")
    expect(page.locator('[data-stale="true"]')).to_have_count(0)
    expect(page.get_by_test_id("stStatusWidget")).to_have_count(0)


def at_rest(page: Page) -> None:
    """The page has been drawn to its end, and shows no error."""
    drawn(page)
    assert_no_error(page)


def tick(page: Page, key: str, *, row: int) -> None:
    """Choose the row of the table keyed ``key`` by its tick; 0 is the head, which chooses all of them."""
    at_rest(page)
    table = page.locator(f".st-key-{key} canvas").first
    table.click(position={"x": 18, "y": 18 + 35 * row}, force=True)  # a canvas under the table's own layer


def button(page: Page, name: str):
    """A button of the page itself, as it is drawn now: while a page is drawn again, its last buttons stand beside it.

    Streamlit has a Stop of its own in the header.
    """
    now = page.get_by_test_id("stMain").locator('[data-testid="stElementContainer"]:not([data-stale="true"])')
    return now.get_by_role("button", name=name, exact=True)
