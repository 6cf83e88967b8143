from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from certssb_core.errors import DataError
from certssb_core.store.store import Store
from tests.pages.conftest import make_run
from ui.kit import run_files

ROOT = Path(__file__).parents[2]


@pytest.fixture
def page():
    return AppTest.from_file(ROOT / "pages" / "overlaps.py", default_timeout=180)


def texts(page):
    return "\n".join(element.value for element in page.markdown)


def ledger(page):
    return next(frame.value for frame in page.dataframe if "radius_before" in frame.value and "partner" in frame.value)


def test_counts_agree_with_the_run(page, finished_run):
    page.run()
    assert not page.exception
    store = finished_run.metrics["store"]
    assert f"**{store['stored']}** of 120 inputs became balls" in texts(page)
    assert "after it: **0**" in texts(page), "the store's invariant"
    assert "(a conflict)" in texts(page), "the first pair shown is one that the storage-update changed"


def test_empty_without_runs(runs_dir):
    app = AppTest.from_file(ROOT / "app.py", default_timeout=180).run().switch_page("pages/overlaps.py").run()
    assert not app.exception
    assert "no finished run yet" in app.info[0].value


def test_the_ledger_is_filtered_by_case(page, finished_run):
    page.run()
    assert len(ledger(page)) == 120
    page.button_group(key="case").set_value(["trimmed"]).run()
    assert not page.exception
    assert len(ledger(page)) == finished_run.metrics["store"]["trimmed"] > 0


def test_any_two_balls_are_opened_from_the_url(page, finished_run):
    page.query_params["ball"], page.query_params["other"] = "3", "0"
    page.run()
    assert not page.exception
    headings = [value for value in texts(page).splitlines() if ", predicted" in value]
    assert [heading.partition(",")[0] for heading in headings] == ["**clean 3**", "**clean 0**"]


@pytest.mark.parametrize(("key", "value"), [("ball", "9999"), ("ball", "x"), ("other", "-1"), ("case", "nonsense")])
def test_nonsense_in_the_url_is_not_believed(page, finished_run, key, value):
    page.query_params[key] = value
    page.run()
    assert not page.exception
    assert len(ledger(page)) == 120


def test_an_input_that_was_not_stored_has_no_picture(page, finished_run):
    page.run()
    table = finished_run.certificates()
    page.number_input(key="ball").set_value(int(table.index[table["store_case"] == "none"][0])).run()
    assert not page.exception
    assert "has no ball" in page.info[0].value


def test_a_torn_store_is_told_in_a_sentence(finished_run):
    finished_run.store_path.write_bytes(b"torn" * 999)
    app = AppTest.from_file(ROOT / "app.py", default_timeout=180).run().switch_page("pages/overlaps.py").run()
    assert not app.exception
    assert "store" in app.error[0].value


def test_without_the_images_everything_else_still_shows(page, finished_run, monkeypatch):
    def missing(run):
        raise DataError("The images are not here.")

    monkeypatch.setattr("ui.kit.run_files.inputs", missing)
    page.run()
    assert not page.exception
    assert any("The images are not here." in caption.value for caption in page.caption)
    assert "(a conflict)" in texts(page)


def test_the_store_is_asked_about_an_image_and_its_ball_opened(page, finished_run):
    table = finished_run.certificates()
    stored = table[(table["store_radius"] > 0) & (table["set"] == "clean")].iloc[0]
    page.query_params["asked"] = str(stored["index"])
    page.run()
    answer = next(line for line in texts(page).splitlines() if "answers: " in line)
    ball = int(answer.split()[1])
    with Store.open(finished_run.store_path) as store:
        image = run_files.inputs(finished_run).dataset.test_images[stored["index"]]
        assert store.query(image.ravel()).ball == ball
    next(button for button in page.button if button.label == f"Open ball {ball} above").click().run()
    assert not page.exception
    assert page.number_input(key="ball").value == ball


def test_an_image_outside_all_balls_is_left_to_the_members(page, finished_run):
    table = finished_run.certificates()
    outside = table[(table["store_case"] == "none") & (table["store_prediction"] == -1)].iloc[0]
    page.query_params |= {"asked-set": f"{outside['set']} test", "asked": str(outside["index"])}
    page.run()
    assert not page.exception
    assert "**No ball holds this image**" in texts(page)


def test_a_run_without_a_ball_says_why_and_does_not_crash(page, runs_dir):
    """Ten members that all agree certify nothing at α = 0.001."""
    make_run(runs_dir, "tiny", **{"training.members": "10"})
    page.run()
    assert not page.exception
    assert "holds no ball" in page.info[0].value
    assert "**No ball holds this image**" in texts(page)
