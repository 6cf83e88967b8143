"""The table of pages: every page has its file, its header and an explanation of the terms it uses."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from tests.reading import length, sentences
from ui.kit.glossary import TERMS
from ui.kit.pages import PAGES, path

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module", params=PAGES)
def page(request):
    app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=180).run()
    return request.param, app if request.param == "home" else app.switch_page(path(request.param)).run()


def texts(app: AppTest) -> list[str]:
    """Everything that a person reads on the page: texts, labels, help, choices; no code, no explanations of terms."""
    found: list[str] = []
    for node in (*app.main, *app.sidebar):
        if node.type == "code":
            continue
        parts = [getattr(node, name, "") for name in ("label", "value", "help", "placeholder")]
        parts += list(getattr(node, "options", []) or [])
        parts += [getattr(getattr(node, "proto", None), name, "") for name in ("body", "label", "help", "placeholder")]
        found += [part for part in parts if isinstance(part, str) and part]
    meanings = [entry.meaning for entry in TERMS.values()]
    return [one for one in dict.fromkeys(found) if not any(meaning in one for meaning in meanings)]


def words(app: AppTest) -> str:
    return "\n".join(texts(app))


def test_every_file_is_a_page_and_every_page_a_file():
    assert {file.stem for file in (ROOT / "pages").glob("*.py")} == set(PAGES)


def test_every_page_has_its_header_and_no_error(page):
    name, app = page
    assert not app.exception
    assert app.title[0].value == (PAGES[name].heading or PAGES[name].title)
    assert PAGES[name].question in words(app)


def test_every_term_of_the_glossary_is_explained_where_it_is_used(page):
    name, app = page
    said = words(app)
    used = {term for term, entry in TERMS.items() if re.search(entry.words, said, re.IGNORECASE)}
    assert used <= set(PAGES[name].terms), f"{name} uses {used - set(PAGES[name].terms)}"
    explained = " ".join(part.value for part in app.markdown)
    assert all(TERMS[term].meaning in explained for term in PAGES[name].terms)


def test_no_sentence_on_a_page_is_longer_than_thirty_words(page):
    name, app = page
    read = [sentence for text in texts(app) if not text.lstrip().startswith("<") for sentence in sentences(text)]
    assert len(read) > 20
    assert not [sentence for sentence in read if length(sentence) > 30], name


def test_no_explanation_is_a_long_sentence():
    for term, entry in TERMS.items():
        assert len(entry.meaning.split()) <= 30, term


def test_former_addresses_are_no_page_s_own():
    assert PAGES["compare"].formerly == "field"
    assert not {page.formerly for page in PAGES.values()} & set(PAGES)
