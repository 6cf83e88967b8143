"""axe-core on every page, light and dark: nothing serious or critical that Streamlit itself does not cause."""

import pytest

pytest.importorskip("playwright.sync_api")
pytest.importorskip("axe_playwright_python.sync_playwright")

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from tests.browser.journey import at_rest, visit

pytestmark = pytest.mark.browser

PAGES = ("/", "/lessons", "/poison", "/train", "/noise", "/certify", "/overlaps", "/query", "/compare", "/tune")
STREAMLITS_OWN: dict[str, tuple[str, ...]] = {"color-contrast": ("<p>Strength: L2 norm",)}
"""Per rule of axe what selectors or HTML of Streamlit's own contain that break it: labels of disabled widgets."""


def violations(page) -> list[str]:
    """Findings of axe once the page is still, a sentence each."""
    at_rest(page)
    expect(page.get_by_test_id("stSkeleton")).to_have_count(0)
    page.wait_for_function("document.getAnimations().every(one => one.playState !== 'running')", timeout=180_000)
    found = Axe().run(page).response["violations"]
    return [
        f"{violation['id']} ({violation['impact']}): {node['target']} {node['html'][:200]} {node['failureSummary']}"
        for violation in found
        if violation["impact"] in ("serious", "critical")
        for node in violation["nodes"]
        if not any(own in str(node["target"]) + node["html"] for own in STREAMLITS_OWN.get(violation["id"], ()))
    ]


VIEWS = (*PAGES, "/overlaps?view=a+sandbox+in+the+plane", "/lessons?lesson=Why+noise+helps")
FIRST = (("/", "light"), ("/certify", "dark"))
"""These have all kinds of controls and texts; the others are among the slow tests."""


@pytest.mark.parametrize(
    ("path", "theme"),
    [
        pytest.param(path, theme, marks=() if (path, theme) in FIRST else pytest.mark.slow)
        for path in VIEWS
        for theme in ("light", "dark")
    ],
)
def test_no_serious_violation(browser, server, path, theme):
    context = browser.new_context(
        viewport={"width": 1280, "height": 900},
        color_scheme=theme,
        reduced_motion="reduce",
        locale="en-GB",
        base_url=server,
    )
    page = context.new_page()
    visit(page, path)
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    serious = violations(page)
    for _ in range(4):  # what is still fading in is taken for faint: a violation is one that stays
        if not serious:
            break
        page.wait_for_load_state("networkidle")
        serious = violations(page)
    context.close()
    assert not serious, "\n".join(serious)
