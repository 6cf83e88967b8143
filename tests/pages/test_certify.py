import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from certssb_core.audit import inspection
from certssb_core.results import certification
from certssb_core.results.votes import read_run_votes
from certssb_core.runs.run import Run

ROOT = Path(__file__).parents[2]


@pytest.fixture
def page():
    return AppTest.from_file(ROOT / "pages" / "certify.py", default_timeout=180)


def texts(page):
    return "\n".join(element.value for element in page.markdown)


def rates(page):
    return page.dataframe[-2].value.set_index("measure")


def test_agrees_with_the_run_s_own_figures(page, finished_run):
    page.run()
    assert not page.exception
    metrics = finished_run.metrics
    table = next(frame.value for frame in page.dataframe if "measure" in frame.value).set_index("measure")
    clean = metrics["clean"]["accuracy"]
    assert table.loc["Clean accuracy", "sample-specific"].startswith(f"{clean:.1%} (")
    certified = metrics["clean"]["certified_accuracy"]["0.25"]
    assert f"sample-specific **{certified:.1%}**" in texts(page)
    assert "outside the theorem" in texts(page), "the condition is always said"


def test_empty_without_runs(runs_dir):
    app = AppTest.from_file(ROOT / "app.py", default_timeout=180).run().switch_page("pages/certify.py").run()
    assert not app.exception
    assert "no finished run yet" in app.info[0].value


def test_a_stricter_alpha_certifies_no_more(page, finished_run):
    def share():
        row = next(frame.value for frame in page.dataframe if "measure" in frame.value).set_index("measure")
        return float(row.loc["Certified accuracy at r = 0.25", "sample-specific"].partition("%")[0])

    page.run()
    usual = share()
    page.select_slider(key="alpha").set_value(0.0001).run()
    assert not page.exception
    strict = share()
    page.select_slider(key="alpha").set_value(0.1).run()
    assert strict < usual < share()


def test_the_budget_shrinks_as_the_norm_grows(page, finished_run):
    page.run()
    page.slider(key="n").set_value(1).run()
    near = texts(page)
    page.slider(key="tau").set_value(1.0).run()
    assert not page.exception
    assert "τ = 0.05" in near
    assert "sample-specific **0 of 60**" in texts(page)
    assert "sample-specific **0 of 60**" not in near


def test_images_that_become_anything_are_set_beside_those_that_move(page, finished_run):
    """Members that see a tenth of the images: 6 replaced ones leave (9/10)^6 = .53 of them alone, 7 ones .48."""
    config = json.loads((finished_run.path / "config.json").read_text())
    config["training"]["share"] = 0.1
    config["noise"] |= {"train_map": "uniform", "test_map": "uniform"}
    shared = shutil.copytree(finished_run.path, finished_run.path.parent / "shared")
    (shared / "config.json").write_text(json.dumps(config))
    page.query_params["runs"] = ["shared"]
    page.query_params["mode"] = "uniform"
    page.run()
    assert not page.exception
    assert page.slider(key="n1").max == 6

    def standing() -> int:
        return int(texts(page).rpartition("right answer for ")[2].split("**")[1].split()[0])

    page.slider(key="n").set_value(0).run()
    counted = [standing()]
    page.slider(key="n1").set_value(5).run()
    assert not page.exception
    assert "Besides, 5 further training images become anything, labels included." in texts(page)
    counted.append(standing())
    run_votes = read_run_votes(Run(shared))
    table = certification.certify_votes(run_votes, mode="uniform")
    right = (table["set"] == "clean") & (table["prediction"] == table["label"])
    budgets = [certification.joint_budget(run_votes, table, norm=0.05, replaced=number) for number in (0, 5)]
    assert counted == [int((right & (images >= 0)).sum()) for images in budgets]
    assert counted[1] < counted[0]


def test_the_images_that_stand_are_listed_with_their_pictures(page, finished_run):
    page.query_params["n"] = "0"
    page.run()
    assert not [frame for frame in page.dataframe if "image" in frame.value]
    page.toggle(key="which").set_value(True).run()
    assert not page.exception
    (table,) = [frame.value for frame in page.dataframe if "image" in frame.value]
    assert table["image"].str.startswith("data:image/png").all()
    assert (table["prediction"] == table["label"]).all()
    assert list(table["images"]) == sorted(table["images"], reverse=True)
    said = next(words.value for words in page.caption if "those that bear the most first" in words.value)
    counted = int(said.partition(": ")[2].split()[0])
    assert f"**{counted} of 60**" in texts(page), "as many as the sentence counts"


def test_nothing_chosen_is_said(page, finished_run):
    page.run()
    page.multiselect(key="runs").set_value([]).run()
    assert not page.exception
    assert "Choose at least one run" in page.info[0].value


@pytest.mark.parametrize(
    ("key", "value"), [("alpha", "7"), ("runs", "nowhere"), ("r", "-3"), ("tau", "nan"), ("bound", "x")]
)
def test_nonsense_in_the_url_is_not_believed(page, finished_run, key, value):
    page.query_params[key] = value
    page.run()
    assert not page.exception


def test_a_weak_attack_is_called_one(page, finished_run):
    page.run()
    assert not page.warning
    metrics = finished_run.metrics
    metrics["undefended"] = {"clean_accuracy": 1.0, "attack_success_rate": 0.03, "attack_works": False}
    (finished_run.path / "metrics.json").write_text(json.dumps(metrics))
    page.run()
    assert "defends against nothing" in page.warning[0].value
    assert "3.0%" in page.warning[0].value


def test_a_damaged_file_is_told_in_a_sentence(finished_run):
    (finished_run.path / "votes.safetensors").write_bytes(b"torn")
    app = AppTest.from_file(ROOT / "app.py", default_timeout=180).run().switch_page("pages/certify.py").run()
    assert not app.exception
    assert "votes.safetensors is missing or damaged" in app.error[0].value


def choose_modes(page, *modes):
    (control,) = [group for group in page.get("button_group") if group.key == "modes"]
    control.set_value(list(modes)).run()
    assert not page.exception


def test_the_three_modes_are_one_click_apart_and_release_is_labelled(page, finished_run):
    page.run()
    assert "NOT A CERTIFICATE" not in texts(page)
    choose_modes(page, "uniform", "sample-specific", "release")
    assert "original paper's code (not a certificate) **" in texts(page), "in the summary"
    assert "**Test radius of original paper's code (not a certificate).** NOT A CERTIFICATE." in texts(page)
    columns = {str(column) for frame in page.dataframe for column in frame.value.columns}
    assert "original paper's code (not a certificate)" in columns
    assert "release" not in columns
    series = {name for frame in page.dataframe if "series" in frame.value for name in frame.value["series"]}
    assert "original paper's code (not a certificate)" in series
    assert "release" not in series


def test_a_pasted_link_to_the_release_s_mode_says_what_it_is(page, finished_run):
    page.query_params["modes"] = ["uniform", "original paper's code (not a certificate)"]
    page.run()
    assert not page.exception
    assert page.session_state["modes"] == ["uniform", "release"]


def test_release_has_no_joint_budget(page, finished_run):
    page.run()
    choose_modes(page, "sample-specific", "release")
    budget = texts(page).rpartition("Up to n =")[2]
    assert "sample-specific **" in budget
    assert "release" not in budget
    choose_modes(page, "release")
    assert "Nothing is certified about changes of the training images" in page.info[-1].value


def test_every_choice_has_its_checklist(page, finished_run):
    page.run()
    found = inspection.counts(inspection.inspect(finished_run))
    assert found["red"] == 0
    caveats = "caveat" if found["amber"] == 1 else "caveats"
    summary = f"sample-specific: {found['amber']} {caveats}, {found['green']} checks pass"
    assert summary in [box.label for box in page.expander]
    assert "**Choice of the class.**" in texts(page)
    choose_modes(page, "release")
    assert any("original paper's code (not a certificate): 5 checks fail" in box.label for box in page.expander)
    assert "α is not split" in texts(page)


def test_the_steps_end_at_the_certificate_of_the_bound_chosen(page, finished_run):
    page.run()
    assert not [frame for frame in page.dataframe if "step" in frame.value]
    choose_modes(page, "release")
    (steps,) = [frame.value for frame in page.dataframe if "step" in frame.value]
    assert steps["mean_radius"].iloc[-1] == pytest.approx(finished_run.metrics["clean"]["average_certified_radius"])
    assert steps["step"].iloc[0] == "original paper's code (not a certificate)"


@pytest.fixture
def twenty(finished_run):
    names = ["finished"]
    for number in range(1, 20):
        names.append(f"run-{number:02d}")
        shutil.copytree(finished_run.path, finished_run.path.parent / names[-1])
    return names


def test_twenty_runs_are_twenty_rows_in_one_mode_beside_a_pinned_baseline(page, twenty):
    page.query_params["runs"] = twenty
    page.run()
    assert not page.exception
    assert page.selectbox(key="mode").value == "own", "one mode at a time"
    page.selectbox(key="baseline").set_value("run-07").run()
    assert not page.exception
    (table,) = [frame.value for frame in page.dataframe if "interval" in frame.value]
    assert sorted(table["series"]) == sorted(twenty)
    assert table["series"][0] == "run-07"
    assert table["interval"][0] == ""
    assert (table["difference"][1:] == 0).all(), "they are copies"
    assert "for 0 of 19 runs the interval leaves out 0. For 19 of them the images are the same" in texts(page)
    assert max(len(frame.value.columns) for frame in page.dataframe) < 15
    checklists = [box.label for box in page.expander if "checks pass" in box.label]
    assert len(checklists) == 1, "the checks of one run at a time"
    assert "The other 14 runs are the thin grey curves" in " ".join(words.value for words in page.caption)


def test_the_checks_of_another_run_are_one_choice_away(page, twenty):
    page.query_params["runs"] = twenty[:2]
    page.run()
    (before,) = [box.label for box in page.expander if "checks pass" in box.label]
    page.selectbox(key="details").set_value("run-01").run()
    (after,) = [box.label for box in page.expander if "checks pass" in box.label]
    assert (before.partition(":")[0], after.partition(":")[0]) == ("finished", "run-01")


def test_an_old_link_to_several_modes_of_several_runs_opens_one(page, twenty):
    page.query_params["runs"] = twenty[:2]
    page.query_params["modes"] = ["uniform", "sample-specific"]
    page.run()
    assert not page.exception
    assert page.selectbox(key="mode").value in ("uniform", "sample-specific")


def test_what_an_attack_found_is_told_or_that_there_was_none(page, finished_run):
    page.run()
    assert any("Nobody yet" in notice.value for notice in page.info)
    part = {"title": "test radius", "trials": 200, "flips": 5, "violations": 3, "rate": 0.015, "rate_upper": 0.04}
    report = {"mode": "sample-specific", "label": "sample-specific", "alpha": 0.001, "confidence": 0.95}
    report |= {"claims": 90, "minutes": 1.5, "parts": [part | {"allowed": 0.001}]}
    path = finished_run.path / "falsification.json"
    path.write_text(json.dumps(report))
    page.run()
    assert not page.exception
    assert "found out" not in texts(page)
    rows = [{"factor": factor, "found": factor == 1.5} for factor in (1.4, 1.5)]
    part |= {"title": "test radius: searches", "facts": {"overstated": rows}}
    part |= {"attack": "inputs are *moved*", "power": "9 members judge"}
    path.write_text(json.dumps(report | {"parts": [part | {"allowed": 0.001}]}))
    page.run()
    path.unlink()
    assert not page.exception
    assert " searches.** Inputs are \\*moved\\*. *Power:* 9 members judge." in texts(page)
    assert "Claims **1.5** times too large are found out (test radius)." in texts(page)
    assert "90 certificates in mode sample-specific: **3** broken in 200 attempts" in texts(page)


def test_the_planted_attack_is_a_point_of_the_map(page, runs_dir):
    shutil.copytree(ROOT / "checkpoints" / "subset-digits-01", runs_dir / "subset-digits-01")
    page.run()
    assert not page.exception
    assert "11 training images replaced and a change of norm up to 0.5: **57 of 72**" in texts(page)
    table = next(frame.value for frame in page.dataframe if "images" in frame.value)
    cells = table.set_index(["images", "norm"])["count"].unstack()
    assert cells.loc[11, 0.5] == 57
    assert (np.diff(cells.to_numpy(), axis=0) <= 0).all()
    assert (np.diff(cells.to_numpy(), axis=1) <= 0).all()
    page.select_slider(key="alpha").set_value(0.1).run()
    assert "**57 of 72**" not in texts(page), "with more failures allowed, more is certified"


def test_kinds_of_certificate_stand_side_by_side_each_with_its_own_controls(page, finished_run, runs_dir):
    shutil.copytree(ROOT / "checkpoints" / "subset-digits-01", runs_dir / "subset-digits-01")
    page.query_params["runs"] = ["finished", "subset-digits-01"]
    page.run()
    assert not page.exception
    assert {slider.key for slider in page.slider} >= {"r", "r-subset-margin"}
    assert len([part for part in page.subheader if part.value.startswith("Certified accuracy")]) == 2
