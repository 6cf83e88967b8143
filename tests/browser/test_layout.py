"""What a reader sees is whole: a chart's tools cover no words, and a narrow screen cuts none off."""

import pytest

pytest.importorskip("playwright.sync_api")

from tests.browser.journey import drawn

pytestmark = pytest.mark.browser

COVERED = """() => [...document.querySelectorAll('.js-plotly-plot')].flatMap(chart => {
  const box = element => element.getBoundingClientRect()
  const meet = (a, b) => a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom
  const tools = [...chart.querySelectorAll('.modebar-group')].map(box).filter(one => one.width)
  if (!tools.length) return ['a chart without tools']
  const words = [...chart.querySelectorAll('.legendtext, .annotation-text, [class^="g-"] text')]
  const outside = [...document.querySelectorAll('[data-testid=stMain] :is(h1, h2, h3, p, label)')]
  return [...words, ...outside].filter(one => one.checkVisibility() && one.textContent.trim())
    .filter(one => tools.some(tool => meet(tool, box(one))))
    .map(one => one.textContent.trim().slice(0, 60))
})"""
"""Words that a chart's tools lie upon, in any chart of the page."""

CUT = """() => {
  const cut = [], main = document.querySelector('[data-testid=stMain]')
  const texts = document.createTreeWalker(main, NodeFilter.SHOW_TEXT)
  while (texts.nextNode()) {
    const text = texts.currentNode, words = text.textContent.trim()
    if (!words || !text.parentElement.checkVisibility({visibilityProperty: true, opacityProperty: true})) continue
    const range = document.createRange()
    range.selectNodeContents(text)
    const at = range.getBoundingClientRect()
    if (!at.width) continue
    if (text.parentElement.closest('svg, style, script, pre, canvas, [data-testid=stIconMaterial]')) continue
    for (let box = text.parentElement; box !== document.body; box = box.parentElement) {
      const edges = box.getBoundingClientRect(), {display, overflowX: overflow} = getComputedStyle(box)
      if (display === 'contents') continue  // no box of its own
      if (edges.width < 2) break  // read aloud only
      if (overflow !== 'visible' && at.right > edges.right + 1) cut.push(words.slice(0, 60))
    }
  }
  return cut
}"""
"""Words that end beyond a box that shows no more than fits into it, the page itself among these."""


SETTLED = """() => new Promise(done => {
  let before = '', times = 0
  const look = () => {
    const boxes = [...document.querySelectorAll('[data-testid=stMain] *')].map(one => one.getBoundingClientRect())
    const now = boxes.map(box => [box.left, box.top, box.width].map(Math.round)).join()
    times = now === before ? times + 1 : 0
    before = now
    times > 20 ? done() : setTimeout(look, 50)
  }
  look()
})"""
"""Resolves once nothing on the page has moved for a second: charts are laid out after they were sent."""


def settled(page, path: str) -> None:
    page.goto(path)
    page.locator("h1").first.wait_for()
    drawn(page)
    page.evaluate(SETTLED)


@pytest.mark.parametrize("path", ["/certify", "/noise", "/overlaps"])
def test_the_tools_of_a_chart_cover_no_words_and_all_options_are_seen(page, path):
    settled(page, path)
    assert page.locator(".modebar-group").count()
    assert page.evaluate(COVERED) == []
    assert page.evaluate(CUT) == []


@pytest.mark.slow
@pytest.mark.parametrize("path", ["/", "/lessons", "/lessons?lesson=1&step=2", "/query"])
def test_a_narrow_screen_cuts_no_words(page, path):
    page.set_viewport_size({"width": 390, "height": 844})
    settled(page, path)
    assert page.get_by_test_id("stButtonGroup").or_(page.get_by_test_id("stMarkdown")).count()
    assert page.evaluate(CUT) == []
