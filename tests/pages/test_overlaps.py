import re
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
    assert re.findall(r"^\*\*Ball (\d+)\*\*:", texts(page), re.M)[-2:] == ["3", "0"]


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
    assert any("has no ball" in info.value for info in page.info)


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
    inputs = run_files.inputs(finished_run)
    with Store.read(finished_run.store_path) as store:  # a ball that came later may hold what abstained
        outside = next(
            row
            for _, row in table[table["store_prediction"] == -1].iterrows()
            if store.query(inputs.test_images(row["set"])[row["index"]].ravel()) is None
        )
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


@pytest.fixture
def shipped(page, monkeypatch):
    monkeypatch.setenv("CERTSSB_RUNS", str(ROOT / "checkpoints"))
    page.query_params["run"] = "digits"
    return page


def test_it_opens_on_a_real_conflict_that_the_store_resolved(shipped):
    shipped.run()
    assert not shipped.exception
    assert "whose promise is older" in texts(shipped)
    assert "97 images on the way from one answer to another" in "".join(one.value for one in shipped.caption)


def test_the_next_conflict_comes_by_a_button_and_starts_over_after_the_last(shipped):
    shipped.query_params["arrival"] = "97"
    shipped.run()
    next(button for button in shipped.button if button.label == "Next conflict").click().run()
    assert not shipped.exception
    first = shipped.slider(key="arrival").value
    assert "**3a · trim.**" in texts(shipped) or "**3b · align.**" in texts(shipped)
    next(button for button in shipped.button if button.label == "Next conflict").click().run()
    assert shipped.slider(key="arrival").value > first


def test_stretched_radii_are_called_claims_and_at_one_nothing_meets(shipped):
    shipped.query_params["meet"] = "the run's own balls, stretched"
    shipped.run()
    assert "2.00 times too far apart" in shipped.success[0].value
    assert "right, certified" in texts(shipped)
    shipped.slider(key="stretched").set_value(2.5).run()
    assert not shipped.exception
    assert "Nobody certified these claims" in shipped.warning[0].value
    assert "**3a · trim.**" in texts(shipped)


def test_more_members_are_an_extrapolation_that_nobody_certified(shipped):
    shipped.query_params["meet"] = "with more members"
    shipped.run()
    assert "These radii are as certified" in shipped.success[0].value
    shipped.select_slider(key="voters").set_value(200_000).run()
    assert not shipped.exception
    assert "**200,000** members would have to vote" in shipped.warning[0].value
    assert "Nobody certified these claims" in shipped.warning[0].value
    assert "changes **1** of" in shipped.warning[0].value


@pytest.mark.parametrize(
    ("key", "value"), [("arrival", "99999"), ("arrival", "x"), ("stretched", "9"), ("voters", "7"), ("meet", "x")]
)
def test_nonsense_about_conflicts_is_not_believed(shipped, key, value):
    shipped.query_params[key] = value
    shipped.run()
    assert not shipped.exception
    assert "whose promise is older" in texts(shipped)


def test_a_run_without_a_stream_offers_one_if_its_members_can_vote(page, finished_run, monkeypatch):
    page.query_params["meet"] = "a stream of queries"
    page.run()
    assert any("answers no new image" in info.value for info in page.info), "it has no members"
    monkeypatch.setattr("ui.query.answers.unable", lambda run: "")
    page.query_params["meet"] = "a stream of queries"
    page.run()
    assert not page.exception
    assert any("No stream of queries" in info.value for info in page.info)
    assert any(button.label == "Send a stream" for button in page.button)
