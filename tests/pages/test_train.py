"""Train: from the form to a run, and the list of runs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from certssb_core.config.presets import DEFAULT_PRESET, PRESETS
from certssb_core.errors import RunError
from certssb_core.jobs import forecast
from certssb_core.runs.run import Run
from certssb_core.runs.tags import read_tags, write_tags
from tests.jobs.test_forecast import TIMED

APP = str(Path(__file__).parents[2] / "app.py")


class Worker:
    """A worker process that has ended."""

    def poll(self) -> int:
        return 0


@pytest.fixture
def started(monkeypatch) -> list[str]:
    """Names of the runs that were started; their workers end at once."""
    names: list[str] = []

    def start(run: Run) -> Worker:
        run.leave_queue()
        names.append(run.name)
        return Worker()

    monkeypatch.setattr("certssb_core.jobs.queue.start", start)
    return names


@pytest.fixture
def page(runs_dir) -> AppTest:
    return AppTest.from_file(APP, default_timeout=180).switch_page("pages/train.py")


def start(page: AppTest) -> AppTest:
    return page.button(key="start").click().run()


def test_without_runs_it_says_so(page):
    page.run()
    assert not page.exception
    assert "no run yet" in page.info[0].value


def secret(config):
    """The same settings, the seed of the noise drawn by the system: the page's default."""
    return config.model_copy(update={"noise_seed": "secret"})


def test_start_makes_the_preset_a_run_and_starts_it(page, runs_dir, started):
    start(page.run())
    assert not page.exception
    (run,) = Run.all(runs_dir)
    assert started == [run.name]
    assert run.name.startswith(DEFAULT_PRESET)
    assert run.config == secret(PRESETS[DEFAULT_PRESET])


def test_choosing_a_preset_sets_every_control(page, runs_dir, started):
    page.run()
    page.number_input(key="training.members").set_value(7).run()
    page.selectbox(key="preset").select("digits-01-cert-ssbd").run()
    page.text_input(key="run-name").set_value("mine").run()
    start(page)
    assert Run.open("mine", runs_dir).config == secret(PRESETS["digits-01-cert-ssbd"])


def test_presets_are_offered_by_title_the_first_ones_on_top(page, runs_dir):
    page.run()
    offered = page.selectbox(key="preset").options
    assert len(offered) == len(PRESETS)
    assert offered[0] == f"Start here · {PRESETS[DEFAULT_PRESET].title}"
    groups = [option.partition(" · ")[0] for option in offered]
    assert sorted(groups, key=groups.index) == groups, "a group stands together"
    page.selectbox(key="preset").select("digits-quick").run()
    assert page.query_params["preset"] in ("digits-quick", ["digits-quick"]), "links name the preset as before"
    page.selectbox(key="preset").select(DEFAULT_PRESET).run()
    assert "preset" not in page.query_params


def test_a_link_to_no_preset_opens_the_first(page, runs_dir):
    page.query_params["preset"] = "nonsense"
    page.run()
    assert not page.exception
    assert page.selectbox(key="preset").value == DEFAULT_PRESET


def test_a_link_changes_single_settings_of_a_preset(page, runs_dir, started):
    page.query_params["preset"] = "digits-quick"
    page.query_params["training.members"] = "12"
    start(page.run())
    config = Run.all(runs_dir)[0].config
    assert config.training.members == 12
    assert config.data == PRESETS["digits-quick"].data


def test_settings_that_do_not_fit_stop_the_start(page, runs_dir, started):
    page.run()
    page.number_input(key="noise.sigma_max").set_value(0.1).run()
    assert page.button(key="start").disabled
    assert "must lie between" in page.error[0].value


@pytest.mark.parametrize("name", ["../outside", "finished"])
def test_a_name_that_cannot_be_used_is_said_in_words(page, started, finished_run, name):
    page.run()
    page.text_input(key="run-name").set_value(name).run()
    start(page)
    assert not page.exception
    assert name in page.error[0].value
    assert not started


def test_a_finished_run_shows_its_figures_and_what_another_would_cost(page, finished_run):
    page.query_params["run"] = "finished"
    page.query_params["data.classes"] = ["0", "1", "2"]
    page.query_params["data.max_train"] = "120"
    page.query_params["data.max_test"] = "60"
    page.run()
    assert not page.exception
    assert "Clean accuracy" in [metric.label for metric in page.metric]


def test_a_running_run_comes_first(page, finished_run):
    run = Run.create(PRESETS["digits-quick"], "busy", finished_run.path.parent)
    run.log("stage", stage="members")
    with run.lock():
        page.run()
        assert next(button.key for button in page.button if button.key) == "stop-busy"
    assert not page.exception


def test_while_a_run_is_at_work_the_next_one_waits(page, finished_run, started):
    busy = Run.create(PRESETS["digits-quick"], "busy", finished_run.path.parent)
    busy.log("stage", stage="members")
    with busy.lock():
        page.run()
        assert page.button(key="start").label == "Queue"
        page.text_input(key="run-name").set_value("later").run()
        start(page)
        later = Run.open("later", finished_run.path.parent)
        assert later.status().state == "queued"
        assert not started
        page.button(key="withdraw-later").click().run()
        assert later.status().state == "new"
    assert not page.exception


def test_the_page_starts_a_run_whose_turn_has_come(page, runs_dir, started):
    Run.create(PRESETS["digits-quick"], "left-over", runs_dir).enter_queue()
    page.run()
    assert not page.exception
    assert started == ["left-over"]


def test_duplicate_fills_the_form_with_the_settings_of_a_run(page, finished_run, runs_dir, started):
    page.run()
    page.button(key="duplicate-finished").click().run()
    assert not page.exception
    assert page.text_input(key="run-name").value == "finished-copy"
    page.number_input(key="training.members").set_value(41).run()
    start(page)
    copy = Run.open("finished-copy", runs_dir).config
    training = copy.training.model_copy(update={"members": finished_run.config.training.members})
    assert copy.training.members == 41
    assert copy.model_copy(update={"training": training}) == secret(finished_run.config)


def test_delete_and_rename_ask_first(page, finished_run):
    page.run()
    page.button(key="delete-finished").click().run()
    assert "moves to the trash" in " ".join(element.value for element in page.markdown)
    page.button(key="rename-finished").click().run()
    assert page.text_input(key="new-name").value == "finished"
    assert not page.exception
    assert finished_run.path.is_dir()


def test_the_shipped_run_can_be_duplicated_but_neither_renamed_nor_deleted(page, finished_run):
    (finished_run.path / "protected").touch()
    page.run()
    keys = {button.key for button in page.button}
    assert "duplicate-finished" in keys
    assert not {"delete-finished", "rename-finished"} & keys
    with pytest.raises(RunError, match="protected"):
        finished_run.delete()
    with pytest.raises(RunError, match="protected"):
        finished_run.rename("other")
    with pytest.raises(RunError, match="protected"):
        finished_run.discard()


def test_a_discarded_run_is_put_back_and_emptying_the_trash_asks_first(page, finished_run, runs_dir):
    finished_run.discard()
    page.run()
    page.button(key="restore-finished").click().run()
    assert not page.exception
    assert finished_run.metrics
    finished_run.discard()
    page.run()
    page.button(key="empty-trash").click().run()
    assert not page.exception
    assert "will be deleted permanently" in " ".join(element.value for element in page.markdown)
    assert Run.all(runs_dir) == []


def test_ticked_runs_are_compared_on_certify(page, finished_run, monkeypatch):
    opened = []
    monkeypatch.setattr("ui.kit.manage.compare", lambda runs: opened.append([run.name for run in runs]))
    page.run()
    assert page.button(key="compare").disabled
    page.session_state["all-runs"] = {"selection": {"rows": [0], "columns": [], "cells": []}}
    page.run()
    page.button(key="compare").click().run()
    assert opened == [["finished"]]


def listed(page):
    return next(frame.value for frame in page.dataframe if "state" in frame.value)


def test_the_list_has_figures_tags_and_changed_settings_and_is_filtered(page, finished_run):
    write_tags(finished_run, ["thesis"])
    Run.create(PRESETS["digits-quick"], "other", finished_run.path.parent)
    page.run()
    row = listed(page).set_index("run").loc["finished"]
    assert row["accuracy"] == pytest.approx(100 * finished_run.metrics["clean"]["accuracy"])
    assert row["tags"] == ("thesis",)
    assert "Members" in row["changed"]
    assert set(listed(page)["run"]) == {"finished", "other"}
    page.text_input(key="find").set_value("THESIS").run()
    assert list(listed(page)["run"]) == ["finished"]
    page.text_input(key="find").set_value("nothing like it").run()
    assert "No run fits the filter" in " ".join(box.value for box in page.info)
    assert not page.exception


def test_tags_are_written_from_the_page(page, finished_run):
    page.query_params["run"] = "finished"
    page.run()
    page.multiselect(key="tags-finished").set_value(["a word"]).run()
    assert read_tags(finished_run) == ("a word",)
    page.multiselect(key="tags-finished").set_value(["a,b"]).run()
    assert not page.exception
    assert "no comma" in " ".join(box.value for box in page.error)
    assert read_tags(finished_run) == ("a word",)


def test_this_machine_is_timed_by_itself_where_nothing_tells_the_cost(page, runs_dir, errands):
    page.run()
    assert any("not known yet" in element.value for element in page.markdown)
    ((_, arguments),) = errands.items()
    assert arguments[:2] == ("forecast", DEFAULT_PRESET)
    forecast.write_calibration(PRESETS[DEFAULT_PRESET], TIMED, runs_dir)
    errands.clear()
    page.run()
    assert not page.exception
    assert any("From timing this network" in element.value for element in page.markdown)
    assert not errands


def test_a_run_tells_the_cost_until_the_settings_are_others(page, finished_run, errands):
    (finished_run.path / "config.json").write_text(PRESETS[DEFAULT_PRESET].model_dump_json())
    page.run()
    assert not errands, "the finished run tells it"
    page.number_input(key="training.members").set_value(250).run()
    ((_, arguments),) = errands.items()
    assert "training.members=250" in arguments


@pytest.mark.parametrize(
    ("key", "value", "words"), [("training.members", 0, "must be at least 1"), ("attack.norm", -1, "must be")]
)
def test_a_number_out_of_range_is_said_in_words_and_nothing_starts(page, runs_dir, started, key, value, words):
    page.run()
    page.number_input(key=key).set_value(value).run()
    assert not page.exception
    assert page.button(key="start").disabled
    assert any(words in caption.value and "Input" not in caption.value for caption in page.caption)
    assert Run.all(runs_dir) == []


def test_a_run_that_can_certify_nothing_is_told_before_the_start(page, runs_dir):
    """Ten classes at α 0.001: log2(20,000) = 14.3 votes that all agree."""
    page.query_params["training.members"] = "10"
    page.run()
    assert any("Nothing can be certified" in one.value and "at least 15 members" in one.value for one in page.warning)
    page.number_input(key="training.members").set_value(15).run()
    assert not any("Nothing can be certified" in one.value for one in page.warning)


def test_missing_data_is_said_before_the_start(page, runs_dir, monkeypatch, tmp_path, errands):
    monkeypatch.setenv("CERTSSB_DATA", str(tmp_path / "nothing"))
    page.query_params["preset"] = "mnist-10"
    page.run()
    assert not page.exception
    assert "MNIST is not in" in page.error[0].value
    assert page.button(key="start").disabled
    assert "Download MNIST" in [button.label for button in page.button]
    assert not errands, "nothing can be timed"


def test_an_attack_that_is_known_to_fail_is_told_before_the_start(page, finished_run):
    metrics = finished_run.metrics
    metrics["undefended"] = {"clean_accuracy": 1.0, "attack_success_rate": 0.03, "attack_works": False}
    (finished_run.path / "metrics.json").write_text(json.dumps(metrics))
    data, attack = finished_run.config.data, finished_run.config.attack
    page.query_params |= {"data.classes": list(data.classes), "attack.rate": str(attack.rate)}
    page.query_params |= {"data.max_train": str(data.max_train), "data.max_test": str(data.max_test)}
    page.query_params |= {"attack.trigger": attack.trigger, "attack.norm": str(attack.norm)}
    page.run()
    assert not page.exception
    assert any("defends against nothing" in box.value and "measured in finished" in box.value for box in page.warning)
    page.number_input(key="attack.rate").set_value(0.0).run()
    assert any("The poisoning rate is 0" in box.value for box in page.warning)
