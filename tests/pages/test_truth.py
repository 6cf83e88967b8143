"""Every page opens on an image that is answered right, and says the true class beside every answer."""

from __future__ import annotations

from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from tests.pages.conftest import made_up_reply

ROOT = Path(__file__).parents[2]


def opened(page: str, **query: str) -> AppTest:
    app = AppTest.from_file(ROOT / "pages" / f"{page}.py", default_timeout=60)
    for name, value in query.items():
        app.query_params[name] = value
    app.run()
    assert not app.exception
    return app


@pytest.fixture
def first_is_wrong(finished_run):
    """Say that the first clean image, and none else, is answered wrong with a certificate."""
    table = finished_run.certificates()
    for row in table.index:
        wrong = (int(table.loc[row, "label"]) + 1) % 3
        table.loc[row, "prediction"] = wrong if row == 0 else int(table.loc[row, "label"])
    table.loc[0, "radius"] = 0.5
    table.to_csv(finished_run.path / "certificates.csv", index=False)
    return finished_run


@pytest.mark.parametrize(("page", "key"), [("query", "index"), ("noise", "index"), ("overlaps", "asked")])
def test_a_page_opens_on_an_image_that_is_answered_right(first_is_wrong, page, key):
    assert opened(page).number_input(key=key).value != 0


@pytest.mark.parametrize(("page", "key"), [("noise", "index"), ("overlaps", "asked")])
def test_a_wrong_certificate_is_called_so_beside_the_true_class(first_is_wrong, page, key):
    table = first_is_wrong.certificates()
    words = " ".join(part.value for part in opened(page, **{key: "0"}).markdown)
    assert f"true class **{table.loc[0, 'label']}**" in words
    if page == "noise":
        assert "certified, but wrong" in words


def test_the_query_page_prints_the_true_class(finished_run, monkeypatch):
    truth = int(finished_run.certificates().loc[0, "label"])
    wrong = (truth + 1) % 3
    reply = made_up_reply(wrong, (40, 0, 0))
    monkeypatch.setattr("ui.query.answers.unable", lambda run: "")
    monkeypatch.setattr("ui.query.answers.ask", lambda run, image: reply)
    words = " ".join(part.value for part in opened("query", index="0").markdown)
    assert f"true class **{truth}**" in words
    assert "certified, but wrong" in words
