"""What the journeys share: how a reader gets about."""

from collections.abc import Iterator

from playwright.sync_api import Browser, Page, expect

expect.set_options(timeout=60_000)


def session(browser: Browser, server: str) -> Iterator[Page]:
    """A reader's session of its own, closed afterwards."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, locale="en-GB", base_url=server)
    opened = context.new_page()
    opened.set_default_timeout(60_000)
    yield opened
    context.close()


def assert_no_error(page: Page) -> None:
    expect(page.get_by_test_id("stException")).to_have_count(0)
    expect(page.get_by_test_id("stAlertContentError")).to_have_count(0)


def at_rest(page: Page) -> None:
    expect(page.get_by_test_id("stStatusWidget")).to_have_count(0)
    assert_no_error(page)


def button(page: Page, name: str):
    """A button of the page itself; Streamlit has a Stop of its own in the header."""
    return page.get_by_test_id("stMain").get_by_role("button", name=name, exact=True)
