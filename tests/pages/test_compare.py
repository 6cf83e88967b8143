import base64
import json
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from certssb_core.comparisons.backdoor_smoothing import ALARMS, GROUPS, MEASURES, QUANTILES
from certssb_core.comparisons.defences import BOTH, TRAINING
from certssb_core.comparisons.measurement import KINDS, Measurement
from certssb_core.runs.files import result_path

ROOT = Path(__file__).parents[2]
L2, IMAGES = "L2 norm of the change of the test input, training set as given", "training images inserted or removed"


@pytest.fixture
def page():
    return AppTest.from_file(ROOT / "pages" / "compare.py", default_timeout=180)


@pytest.fixture
def compared(runs_dir):
    def row(budget: str, median: float, models: int) -> dict:
        share = {"share": 0.9, "low": 0.8, "high": 0.95, "count": 9, "n": 10}
        return {
            **dict.fromkeys(("accuracy", "attack_success", "right_under_trigger"), share),
            **{"budget": budget, "median": median, "models": models, "seconds": 12.0},
            **{"setting": "σ 0.5", "condition": "Unconditional."},
        }

    result = {
        "suite": "digits",
        "title": "Digits in a test",
        "attack": {"trigger": "four-pixel", "norm": 2.0, "rate": 0.05},
        "poisoned": 3,
        "undefended": {"clean_accuracy": 1.0, "attack_success_rate": 0.75, "attack_works": True},
        "systems": {"rab": row(L2, 0.8, 300), "dpa": row(IMAGES, -1.0, 50)},
        "curves": {
            "series": ["RAB", "RAB", "DPA", "DPA"],
            "budget": [L2, L2, IMAGES, IMAGES],
            "set": ["clean", "clean", "triggered", "triggered"],
            "radius": [0.0, 0.8, 0.0, 4.0],
            "count": [9, 0, 8, 0],
            "n": [10] * 4,
        },
        "common": {
            "series": ["RAB", "RAB", "DPA", "DPA", "RAB", "RAB"],
            "test_input": [TRAINING] * 4 + [BOTH] * 2,
            "norm": [0.1] * 6,
            "images": [0, 5, 0, 2, 0, 5],
            "count": [9, 4, 8, 6, 7, 0],
            "n": [10] * 6,
        },
    }
    cells = [("replaced", "RAB", 0, 0.0, 9), ("replaced", "RAB", 0, 2.0, 4), ("replaced", "RAB", 3, 0.0, 1)]
    cells += [("replaced", "RAB", 3, 2.0, 0), ("replaced", "DPA", 0, 0.0, 8), ("replaced", "DPA", 3, 0.0, 5)]
    cells += [("moved", "RAB", 3, 2.0, 2), ("moved", "RAB", 0, 2.0, 4)]
    columns = list(zip(*cells, strict=True))
    result["maps"] = dict(zip(("attack", "series", "images", "norm", "count"), map(list, columns), strict=True))
    result["maps"]["n"] = [10] * len(cells)
    path = result_path("field", "digits", runs_dir)
    path.write_text(json.dumps(result))
    return path


TOPIC_OF = {"compare": "Defences on one attack", "attacks": "Clean-label attacks", "smoothness": "Backdoor smoothing"}


TOPIC_OF_KEY = {"attacks": "clean-label", "smoothness": "smoothing"}


def about(page, kind: str):
    """The page at the topic that the measurement ``kind`` belongs to."""
    page.query_params["topic"] = TOPIC_OF[kind]
    return page


def texts(page):
    return "\n".join(element.value for element in page.markdown)


def test_every_system_has_its_row_and_no_median_that_is_none(page, compared):
    page.run()
    assert not page.exception
    table = page.dataframe[0].value
    assert list(table["system"]) == ["No defence", "RAB", "DPA"]
    assert list(table["median"]) == ["–", "0.8", "none"]
    assert "**75.0%**" in texts(page)
    assert "**2 budgets**" in texts(page)


def test_the_common_budget_follows_the_controls(page, compared):
    page.run()
    assert "RAB: **9 of 10**. DPA: **6 of 10**" in texts(page), "n = 3, as many as are poisoned"
    page.button_group(key="and").set_value(BOTH).run()
    assert not page.exception
    assert "clean test images. RAB: **7 of 10**." in texts(page)


def test_the_map_follows_the_attack_and_says_who_is_silent(page, compared):
    page.run()
    assert "RAB: **0 of 10**. Nothing is said there by DPA." in texts(page)
    page.button_group(key="replaced").set_value("moved").run()
    assert not page.exception
    assert "3 training images and the test input each moved by 2, labels kept. RAB: **2 of 10**." in texts(page)


def test_a_comparison_of_an_earlier_version_says_that_it_has_no_map(page, compared):
    older = json.loads(compared.read_text())
    del older["maps"]
    compared.write_text(json.dumps(older))
    page.run()
    assert not page.exception
    assert "has a map here" in page.info[0].value


@pytest.mark.parametrize(
    ("key", "value"),
    [("replaced", "?"), ("tau", "9"), ("n", "-1"), ("n", "x"), ("and", "nonsense"), ("suite", "?"), ("topic", "?")],
)
def test_nonsense_in_the_url_is_not_believed(page, compared, key, value):
    page.query_params[key] = value
    page.run()
    assert not page.exception
    assert "RAB: **9 of 10**. DPA: **6 of 10**" in texts(page)


@pytest.mark.parametrize("link", ["mnist", "Another title"])
def test_a_link_names_the_data_by_key_and_one_that_names_the_title_opens_it(page, compared, link):
    other = json.loads(compared.read_text()) | {"title": "Another title", "suite": "mnist"}
    result_path("field", "mnist", compared.parent).write_text(json.dumps(other))
    page.query_params["suite"] = link
    page.run()
    assert not page.exception
    assert "**Another title**" in texts(page)
    assert page.query_params["suite"] == "mnist"
    page.button_group(key="suite").set_value("digits").run()
    assert "**Digits in a test**" in texts(page)
    assert "suite" not in page.query_params


def test_empty_without_a_comparison(page, runs_dir):
    page.run()
    assert not page.exception
    assert "compare digits" in page.info[0].value
    for kind in ("attacks", "smoothness"):
        page.button_group(key="topic").set_value(TOPIC_OF_KEY[kind]).run()
        assert not page.exception
        assert f"{kind} digits" in page.info[0].value


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("beta", "0.7", "Feature flips: what β buys"),
        ("attacked", "digits", "Clean-label attacks"),
        ("measured", "digits", "Backdoor smoothing: a measurement"),
    ],
)
def test_a_link_from_before_there_were_topics_opens_its_own(page, runs_dir, key, value, words):
    page.query_params[key] = value
    page.run()
    assert not page.exception
    assert words in [heading.value for heading in page.subheader]


@pytest.fixture
def measured(runs_dir):
    attacks = [
        {"run": f"rate-{at}", "rate": at / 10, "images": 9, "norm": 1.0, "control_norm": 0.9}
        | {"attack_success": 0.3 * at, "control_success": 0.01}
        for at in range(3)
    ]
    spread, separation = [], []
    for attack in attacks:
        for scale in (0.1, 0.4):
            for measure in MEASURES:
                at = {"run": attack["run"], "scale": scale, "measure": measure}
                spread += [at | {"group": group, "quantiles": list(QUANTILES * scale)} for group in GROUPS]
                auc = {"auc": 0.5 + attack["attack_success"] / 2, "low": 0.4, "high": 0.9, "hits": list(ALARMS)}
                separation += [at | {"against": other} | auc for other in ("clean", "control")]
    result = {"title": "Digits in a test", "data": "digits", "trigger": "patch", "draws": 5, "attacks": attacks}
    whole = result | {"spread": spread, "separation": separation}
    result_path("smoothness", "digits", runs_dir).write_text(json.dumps(whole))


def test_smoothness_is_shown_against_success_and_follows_its_controls(page, measured):
    about(page, "smoothness").run()
    assert not page.exception
    assert "**0.50 (0.40 – 0.90)** where the attack succeeds on 0.0%" in texts(page)
    assert "**0.80 (0.40 – 0.90)** where it succeeds on 60.0%" in texts(page)
    assert "Median **0.200** around triggered" in texts(page), "half of s = 0.4"
    page.button_group(key="s").set_value("0.1").run()
    assert not page.exception
    assert "Median **0.050** around triggered" in texts(page)


@pytest.mark.parametrize(("key", "value"), [("s", "7"), ("measure", "?"), ("attack", "nobody"), ("measured", "x")])
def test_nonsense_about_smoothness_is_not_believed(page, measured, key, value):
    page.query_params[key] = value
    about(page, "smoothness").run()
    assert not page.exception
    assert "Median **0.200** around triggered" in texts(page)


@pytest.mark.parametrize(("keep", "expected"), [(0.6, 33), (0.7, 7), (0.8, 2), (0.9, 1)])
def test_beta_moves_the_certified_number(page, runs_dir, keep, expected):
    page.query_params["topic"] = "Feature flips"
    page.run()
    page.slider(key="beta").set_value(keep).run()
    assert not page.exception
    assert f"of 0.99 **{expected}**" in texts(page), "the check values of docs/method.md §7"


def test_clean_label_attacks_are_shown_undefended_first(page, runs_dir):
    one = {"measured": 4, "undefended_accuracy": 0.9, "accuracy": 0.95, "abstained": 0.0, "poisoned": 9, "norm": 1.0}
    one |= {"chance": 0.0, "undefended_chance": 0.0}
    rows = [
        one | {"method": method, "undefended_success": bare, "success": 0.25, "seconds": 1.0}
        for method, bare in (("gradient-matching", 0.75), ("hidden-trigger", 0.25))
    ]
    whole = {"suite": "digits", "title": "T", "attacks": rows}
    result_path("clean-label", "digits", runs_dir).write_text(json.dumps(whole))
    about(page, "attacks").run()
    assert not page.exception
    assert "**1 of 2** attacks succeed on at least half of what they aim at. Gradient matching **75%** → **25%**." in (
        texts(page)
    )


def test_poisons_are_shown_on_their_way_through_the_defence(page, runs_dir):
    pixels = {"shape": [2, 1, 2, 2], "pixels": base64.b64encode(bytes(range(8))).decode()}
    levels = [
        {"sigma": sigma, "noisy": pixels, "denoised": pixels, "to_before": 2 * sigma, "to_poison": 3 * sigma}
        for sigma in (0.5, 1.0)
    ]
    one = {"measured": 4, "undefended_accuracy": 0.9, "accuracy": 0.95, "abstained": 0.0, "poisoned": 9, "norm": 1.0}
    one |= {"chance": 0.0, "undefended_chance": 0.0}
    one |= {"method": "sleeper-agent", "undefended_success": 1.0, "success": 0.25, "seconds": 1.0}
    one |= {"stages": {"before": pixels, "poison": pixels, "levels": levels}}
    whole = {"suite": "digits", "title": "T", "attacks": [one]}
    result_path("clean-label", "digits", runs_dir).write_text(json.dumps(whole))
    about(page, "attacks").run()
    assert not page.exception
    assert "2 poisons of sleeper agent at σ = 1, the run’s own. Denoised, poisons lie a median of **3.00**" in texts(
        page
    )
    page.button_group(key="denoised-at").set_value("0.5").run()
    assert not page.exception
    assert "σ = 0.5. Denoised, poisons lie a median of **1.50**" in texts(page)


def test_a_damaged_comparison_is_told_in_words(compared):
    compared.write_text("{")
    page = AppTest.from_file(ROOT / "app.py", default_timeout=180).run().switch_page("pages/compare.py").run()
    assert not page.exception
    assert "make it again with `compare`" in page.error[0].value.replace("\\", "")


@pytest.fixture
def launched(monkeypatch) -> list[Measurement]:
    """In place of a worker: the measurement is said to be stopped at its second run."""
    found: list[Measurement] = []

    def launch(measurement: Measurement) -> None:
        found.append(measurement)
        for run in list(measurement.config.runs)[:2]:
            measurement.log("run", run=run)
        measurement.log("stopped", message="stopped on request")

    monkeypatch.setattr("ui.kit.job_panel.launch", launch)
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_every_measurement_is_started_and_continued_from_the_page(page, runs_dir, launched, kind):
    about(page, kind).run()
    suite = list(KINDS[kind].suites)[1]
    page.button_group(key=f"of-{kind}").set_value(suite).run()
    page.button(key=f"measure-{kind}").click().run()
    assert not page.exception
    (measurement,) = launched
    assert (measurement.config.kind, measurement.config.name) == (kind, suite)
    assert measurement.config.runs == KINDS[kind].plan(suite)
    count = len(measurement.config.runs)
    assert f"1 of {count} runs" in page.get("progress")[0].text
    page.button(key=f"continue-{kind}-{suite}").click().run()
    assert [one.path for one in launched] == [measurement.path] * 2


def test_a_finished_measurement_has_no_panel_and_a_failed_one_says_why(page, runs_dir):
    Measurement.prepare("compare", "digits", runs_dir).log("finished", message="the result is written")
    Measurement.prepare("compare", "mnist", runs_dir).log("failed", message="no MNIST here")
    page.run()
    assert not page.exception
    assert [error.value for error in page.error if "no MNIST here" in error.value]
    assert "**compare-mnist**" in texts(page)
    assert "compare-digits" not in texts(page)


def test_what_a_measurement_takes_is_said_before(page, runs_dir):
    page.run()
    said = " ".join(caption.value for caption in page.caption)
    assert f"{len(KINDS['compare'].plan('digits'))} of {len(KINDS['compare'].plan('digits'))} runs are missing" in said


@pytest.mark.parametrize("kind", KINDS)
def test_visitors_who_may_only_look_start_nothing(page, runs_dir, monkeypatch, kind):
    monkeypatch.setenv("CERTSSB_READ_ONLY", "1")
    about(page, kind).run()
    assert not page.exception
    assert page.button(key=f"measure-{kind}").disabled
