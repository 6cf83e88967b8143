from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

from certssb_core.errors import DataError
from certssb_core.runs import files
from tests.pages.conftest import ordinary

ROOT = Path(__file__).parents[2]


@pytest.fixture
def page():
    return AppTest.from_file(ROOT / "pages" / "noise.py", default_timeout=180)


def texts(page):
    return "\n".join(element.value for element in page.markdown)


def test_opens_on_a_finished_run(page, finished_run):
    page.run()
    assert not page.exception
    assert page.title[0].value == "Noise σ*"
    index = ordinary(finished_run, range(0, 60, 3))
    assert f"**clean test image {index}**" in texts(page)
    assert f"σ\\* **{finished_run.arrays('sigma')['clean'][index]:.3f}**" in texts(page)
    assert "The ascent took 6 steps from σ = 0.250" in texts(page)


def test_empty_without_runs(runs_dir):
    app = AppTest.from_file(ROOT / "app.py", default_timeout=180).run().switch_page("pages/noise.py").run()
    assert not app.exception
    assert "no finished run yet" in app.info[0].value


def test_an_image_is_chosen_by_url_or_by_control(page, finished_run):
    page.query_params["index"] = "6"
    page.run()
    assert "**clean test image 6**" in texts(page)
    page.segmented_control(key="set").set_value("train").run()
    page.number_input(key="index").set_value(9).run()
    assert not page.exception
    assert f"σ\\* **{finished_run.arrays('sigma')['train'][9]:.3f}**" in texts(page)


def test_an_image_beyond_the_shorter_set_falls_back(page, finished_run):
    page.run()
    page.segmented_control(key="set").set_value("train").run()
    page.number_input(key="index").set_value(119).run()
    page.segmented_control(key="set").set_value("clean").run()
    assert not page.exception
    assert page.number_input(key="index").value == ordinary(finished_run, range(0, 60, 3))


@pytest.mark.parametrize(("key", "value"), [("index", "9999"), ("index", "x"), ("set", "nonsense"), ("sigma", "nan")])
def test_nonsense_in_the_url_is_not_believed(page, finished_run, key, value):
    page.query_params[key] = value
    page.run()
    assert not page.exception
    assert f"**clean test image {ordinary(finished_run, range(0, 60, 3))}**" in texts(page)


def test_an_image_whose_curve_was_not_kept_gets_it_when_asked(page, finished_run, errands, monkeypatch):
    page.run()
    page.number_input(key="index").set_value(1).run()
    assert "It can be computed now" in page.info[0].value
    next(button for button in page.button if button.label == "Compute the curve").click().run()
    ((key, arguments),) = errands.items()
    assert arguments == ("curve", str(finished_run.path.resolve()), "clean", "1", "--json")
    computed = {"sigma": [0.1, 0.2, 0.4], "radius": [0.3, 0.7, 0.5]}
    monkeypatch.setattr("ui.kit.errand.answer", lambda asked: computed if asked == key else None)
    page.run()
    assert not page.exception
    assert "the best on the grid is r = 0.700 at σ = 0.200" in texts(page)


def behind(page):
    return next(frame.value for frame in page.dataframe if "sigma" in frame.value and "image" in frame.value)


def test_a_bar_opens_the_images_that_it_counts(page, finished_run):
    page.query_params |= {"by": "class", "of": "training"}
    page.run()
    assert "have σ" not in texts(page), "no bar is open at first"
    bins = next(frame.value for frame in page.dataframe if "share" in frame.value)
    row = bins[bins["group"] == "1"].reset_index()["count"].idxmax()
    low, high, count = (bins[bins["group"] == "1"].iloc[row][name] for name in ("low", "high", "count"))
    page.session_state["sigma-histogram"] = {"selection": {"points": [{"customdata": ["bar", int(row), "1"]}]}}
    page.run()
    assert not page.exception
    assert page.number_input(key="bar").value == row
    assert f"**{count}** images of 1 have" in texts(page)
    sigma = finished_run.arrays("sigma")
    inside = (sigma["train"] >= low) & (sigma["train"] < high) & (sigma["train_labels"] == 1)
    assert sorted(behind(page)["index"]) == np.flatnonzero(inside).tolist()
    assert behind(page)["image"].iloc[0].startswith("data:image/png;base64,")


def test_a_tick_opens_the_image_under_the_microscope(page, finished_run):
    page.query_params |= {"bar": "0", "group": "train"}
    page.run()
    wanted = int(behind(page)["index"].iloc[0])
    page.session_state["behind"] = {"selection": {"rows": [0], "columns": [], "cells": []}}
    page.run()
    assert not page.exception
    assert f"**training image {wanted}**" in texts(page)


def test_many_images_come_a_page_at_a_time(page, finished_run, monkeypatch):
    monkeypatch.setattr("ui.noise.sigma_charts.ROWS", 2)
    page.run()
    bins = next(frame.value for frame in page.dataframe if "share" in frame.value)
    page.number_input(key="bar").set_value(int(bins[bins["group"] == "train"]["count"].argmax())).run()
    pages = [behind(page)[["set", "index"]]]
    page.number_input(key="rows").set_value(1).run()
    assert not page.exception
    pages.append(behind(page)[["set", "index"]])
    assert len(pages[0]) == 2
    assert not pd.concat(pages).duplicated().any()


@pytest.mark.parametrize(("key", "value"), [("bar", "9999"), ("bar", "x"), ("group", "nobody"), ("rows", "99")])
def test_nonsense_about_bars_is_not_believed(page, finished_run, key, value):
    page.query_params |= {"bar": "1"} | {key: value}
    page.run()
    assert not page.exception


def test_a_damaged_file_is_told_in_a_sentence(finished_run):
    (finished_run.path / "sigma.safetensors").write_bytes(b"torn")
    app = AppTest.from_file(ROOT / "app.py", default_timeout=180).run().switch_page("pages/noise.py").run()
    assert not app.exception
    assert "sigma.safetensors is missing or damaged" in app.error[0].value


def test_a_click_counts_once():
    def script():
        import streamlit as st

        from ui.kit import charts

        st.session_state["seen"] = charts.clicked("chart")

    app = AppTest.from_function(script)
    app.session_state["chart"] = {"selection": {"points": [{"customdata": ["train", 7]}]}}
    assert app.run().session_state["seen"] == ["train", 7]
    assert app.run().session_state["seen"] is None, "the controls may go their own way afterwards"
    app.session_state["chart"] = {"selection": {"points": [{"customdata": ["clean", 2]}]}}
    assert app.run().session_state["seen"] == ["clean", 2]


def test_without_the_images_everything_else_still_shows(page, finished_run, monkeypatch):
    def missing(run):
        raise DataError("The images are not here.")

    monkeypatch.setattr("ui.kit.run_files.inputs", missing)
    page.run()
    assert not page.exception
    assert any("The images are not here." in caption.value for caption in page.caption)
    assert "The ascent took 6 steps" in texts(page)


@pytest.mark.parametrize("permuted", [0.88, 0.5])
def test_says_what_members_answer_at_exchanged_levels(page, finished_run, permuted):
    found = {"inputs": 60, "same_answer": 0.6, "accuracy": 0.9, "accuracy_permuted": permuted}
    files.write_json(finished_run.path / "metrics.json", finished_run.metrics | {"permuted_levels": found})
    page.run()
    assert not page.exception
    told = f"{permuted:.1%} are right \\(90.0% with their own\\)"
    warned = [one.value for one in page.warning if "gives the class away" in one.value]
    if permuted == 0.5:
        (words,) = warned
        assert told in words
    else:
        assert warned == []
        assert any(told in one.value for one in page.caption)
