"""A small run to attack, made once for all tests here."""

import pytest

from certssb_core.falsification.violations import Claims, claims
from certssb_core.pipeline import context
from certssb_core.results.votes import read_run_votes
from certssb_core.runs.inputs import load_inputs
from certssb_core.runs.run import Run
from tests.conftest import finish, make_small_run


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory) -> Run:
    """The small run with 40 members."""
    changes = {"training.members": "40", "certification.alpha": "0.01"}
    return finish(make_small_run(tmp_path_factory.mktemp("attacked"), "forty", **changes))


@pytest.fixture
def run(finished_run) -> Run:
    """The same, its images laid out for the attack's tasks."""
    context.write_scratch(finished_run, load_inputs(finished_run.config))
    return finished_run


@pytest.fixture
def claimed(run) -> Claims:
    return claims(read_run_votes(run), load_inputs(run.config), mode="sample-specific")
