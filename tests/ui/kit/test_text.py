"""What every page says at its head and when something is wrong."""

from __future__ import annotations

import pytest
from streamlit.testing.v1 import AppTest

from certssb_core.errors import DataError, RunError
from ui.kit.glossary import TERMS
from ui.kit.pages import PAGES
from ui.kit.text import SOURCES, plain_errors


def show(error) -> None:
    from ui.kit import text

    text.page_header("certify", "$x$", ("2504.21730",))
    with text.plain_errors():
        if error:
            raise error


@pytest.mark.parametrize("error", [DataError("MNIST is not there."), RunError("metrics.json cannot be read")])
def test_expected_errors_are_one_sentence_on_the_page(error):
    app = AppTest.from_function(show, args=(error,)).run()
    assert not app.exception
    assert [box.value for box in app.error] == [str(error)]


def test_a_bug_is_not_hidden():
    with pytest.raises(ZeroDivisionError), plain_errors():
        _ = 1 / 0


def test_the_head_has_title_question_and_sources():
    app = AppTest.from_function(show, args=(None,)).run()
    assert app.title[0].value == PAGES["certify"].title
    text = " ".join(part.value for part in app.markdown)
    assert PAGES["certify"].question in text
    assert f"**joint budget**: {TERMS['joint budget'].meaning}" in text
    assert "arxiv.org/abs/2504.21730" in text


def test_sources_are_arxiv_numbers():
    assert all(len(number) == 10 and number.replace(".", "").isdigit() for number in SOURCES)
