"""A run that came as a capsule, without weights: every page opens on it."""

from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from certssb_core.capsule import export, import_capsule
from certssb_core.errors import RunError
from certssb_core.query.ensemble import ask

PAGES = sorted((Path(__file__).parents[2] / "pages").glob("*.py"))


@pytest.fixture
def guest(small_run, runs_dir, tmp_path_factory):
    return import_capsule(export(small_run, tmp_path_factory.mktemp("capsules") / "small.capsule"), "guest", runs_dir)


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)
def test_every_page_opens_on_an_imported_run(guest, page):
    app = (
        AppTest.from_file(PAGES[0].parents[1] / "app.py", default_timeout=180)
        .run()
        .switch_page(f"pages/{page.name}")
        .run()
    )
    assert not app.exception
    assert not app.error
    assert app.title


def test_it_has_nobody_to_ask(guest):
    with pytest.raises(RunError, match="without its members"):
        ask(guest, None)
