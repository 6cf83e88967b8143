"""The shipped run on photographs: pages show them, and its members answer for an image that no ball holds."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from certssb_core.query.ensemble import ask
from certssb_core.runs.inputs import run_inputs
from certssb_core.runs.run import Run

ROOT = Path(__file__).parents[2]
SHIPPED = ROOT / "checkpoints" / "photographs"

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("name", ["poison", "noise", "certify", "overlaps"])
def test_a_page_opens_on_it(runs_dir, name):
    shutil.copytree(SHIPPED, runs_dir / "photographs")
    page = AppTest.from_file(ROOT / "pages" / f"{name}.py", default_timeout=180)
    settings = {"name": "photographs", "trigger": "four-pixel", "rate": "0.05"} if name == "poison" else {}
    for key, value in settings.items():
        page.query_params[key] = value
    page.run()
    assert not page.exception
    assert not page.error
    if name == "poison":
        undefended = Run(SHIPPED).metrics["undefended"]["attack_success_rate"]
        assert f"{undefended:.1%}" in [metric.value for metric in page.metric]


def test_its_members_answer_where_no_ball_does(tmp_path):
    run = Run(shutil.copytree(SHIPPED, tmp_path / "photographs"))
    inputs = run_inputs(run)
    image = np.clip(inputs.dataset.test_images[0] + 0.1, 0, 1).astype(np.float32)  # 5.5 away, beyond every radius
    reply = ask(run, image)
    assert reply.answered_by == "members"
    assert sum(reply.votes) == run.config.training.members
