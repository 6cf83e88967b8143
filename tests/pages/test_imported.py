"""Every page on an imported run: no training images' σ*, no undefended model, no joint budget."""

import json
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from certssb_core.runs import files
from tests.pages.conftest import make_run

ROOT = Path(__file__).parents[2]


@pytest.fixture
def imported(runs_dir):
    run = make_run(runs_dir, "imported", origin="cert-ssbd-release")
    (run.path / "poison.safetensors").unlink()
    sigma = run.arrays("sigma")
    files.write_arrays(run.path / "sigma.safetensors", {name: sigma[name] for name in ("clean", "triggered")})
    metrics = run.metrics | {"undefended": None, "joint_budget": None}
    (run.path / "metrics.json").write_text(json.dumps(metrics))
    return run


@pytest.mark.parametrize("name", ["home", "poison", "train", "noise", "certify", "overlaps"])
def test_every_page_opens(imported, name):
    page = AppTest.from_file(ROOT / "app.py", default_timeout=180).run().switch_page(f"pages/{name}.py").run()
    assert not page.exception
    assert not page.error


def test_certify_says_what_is_not_known(imported):
    page = AppTest.from_file(ROOT / "pages" / "certify.py", default_timeout=180).run()
    said = "\n".join(element.value for element in (*page.info, *page.markdown))
    assert "whether the attack works at all is not known" in said
    assert "Nothing is certified about changes of the training images" in said
    assert "redraws it every epoch" in said


def test_noise_offers_no_training_images(imported):
    page = AppTest.from_file(ROOT / "pages" / "noise.py", default_timeout=180)
    page.query_params["set"] = "training"
    page.run()
    assert not page.exception
    options = {group.key: group.options for group in page.get("button_group")}
    assert options["set"] == ["clean test", "triggered test"]
    assert options["by"] == ["training / test", "class"]


def test_noise_survives_a_change_from_a_run_that_knew_more(imported, runs_dir):
    make_run(runs_dir, "known")
    page = AppTest.from_file(ROOT / "pages" / "noise.py", default_timeout=180).run()
    page.selectbox(key="run").set_value("known").run()
    for key, value in (("set", "train"), ("by", "poisoned")):
        next(group for group in page.get("button_group") if group.key == key).set_value(value).run()
        assert not page.exception
    page.selectbox(key="run").set_value("imported").run()
    assert not page.exception


def test_the_released_sigma_stands_beside_that_of_a_trained_run(imported, runs_dir):
    page = AppTest.from_file(ROOT / "pages" / "noise.py", default_timeout=180).run()
    assert not [heading for heading in page.subheader if heading.value.startswith("Beside")], "nothing to compare with"
    trained = make_run(runs_dir, "known")
    page.run()  # the list of runs is longer now
    for run in ("known", "imported"):
        page.selectbox(key="run").set_value(run).run()
        assert not page.exception
        said = next(element.value for element in page.markdown if "the released σ" in element.value)
        ours, theirs = (files.read_arrays(one.path / "sigma.safetensors")["clean"] for one in (trained, imported))
        assert f"larger for **{(theirs > ours).sum()} of 60**" in said
