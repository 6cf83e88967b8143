"""Query processes: their answers, and what becomes of one that dies, hangs, or that nobody needs any more."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from certssb_core.errors import RunError
from certssb_core.jobs.launch import environment
from certssb_core.query.client import Answerer, Answerers
from certssb_core.query.ensemble import ask
from certssb_core.runs.inputs import load_inputs
from certssb_core.runs.run import Run

IMAGE = np.zeros((1, 8, 8), np.float32)


@pytest.fixture
def answerers():
    """A pool that is closed at the end."""
    made: list[Answerers] = []

    def make(**options) -> Answerers:
        made.append(Answerers(**options))
        return made[-1]

    yield make
    for pool in made:
        pool.close()


def played(code: str, **times: float) -> type[Answerer]:
    """Query processes that run ``code`` instead."""

    class Played(Answerer):
        def __init__(self, run: Run) -> None:
            super().__init__(run, **times)

        @staticmethod
        def _command(run: Run) -> list[str]:
            return [sys.executable, "-c", code]

    return Played


def test_answers_are_those_of_the_command_line_and_a_dead_process_is_replaced(small_run, answerers):
    pool = answerers()
    image = load_inputs(small_run.config).test_images("triggered")[2]
    assert pool.ask(small_run, image) == ask(small_run, image)
    first = pool.of(small_run)
    with pytest.raises(RunError, match="reshape"):  # a wrong question is answered in words
        pool.ask(small_run, IMAGE[:, :4])
    assert pool.of(small_run) is first
    first._process.kill()
    first._process.wait()
    assert pool.ask(small_run, image) == ask(small_run, image)
    assert pool.of(small_run) is not first
    last = pool.of(small_run)
    last._process.stdin.close()  # what the operating system does when the server is gone
    assert last._process.wait(timeout=180) == 0


def test_a_process_that_hangs_is_ended_and_said_to_be(small_run, answerers):
    pool = answerers(make=played("input()", start_seconds=0.2))
    hung = pool.of(small_run)
    with pytest.raises(RunError, match=r"no answer within 0\.2 s"):
        pool.ask(small_run, IMAGE)
    assert not hung.alive


def test_one_that_hangs_over_a_question_too(small_run, answerers):
    code = "print('{\"ready\": true}', flush=True)\nimport time\ntime.sleep(60)"
    pool = answerers(make=played(code, answer_seconds=0.2))
    with pytest.raises(RunError, match="no answer within"):
        pool.ask(small_run, np.zeros((3, 224, 224), np.float32))  # more than a pipe holds


def test_a_process_that_dies_leaves_its_last_words(small_run, answerers):
    pool = answerers(make=played("raise SystemExit('no room')"))
    with pytest.raises(RunError, match="no room"):
        pool.ask(small_run, IMAGE)


def test_there_are_never_more_than_the_limit(small_run, tmp_path, answerers):
    pool = answerers(limit=2, make=played("input()"))
    runs = []
    for name in "abc":
        copy = tmp_path / f"copy-{name}"
        copy.mkdir()
        for file in small_run.path.iterdir():
            (copy / file.name).symlink_to(file)
        runs.append(Run(copy))
    first, second = pool.of(runs[0]), pool.of(runs[1])
    assert pool.of(runs[0]) is first  # asked again: now the second is the one to go
    third = pool.of(runs[2])
    assert (first.alive, second.alive, third.alive) == (True, False, True)


def test_a_run_whose_members_cannot_vote_starts_no_process(tmp_path, answerers):
    from certssb_core.config.schema import RunConfig

    pool = answerers(make=played("input()"))
    with pytest.raises(RunError, match="not finished"):
        pool.ask(Run.create(RunConfig(), "new", tmp_path), IMAGE)
    assert not pool._processes


@pytest.mark.slow
def test_a_process_that_nobody_asks_ends_by_itself(small_run):
    code = (
        "import sys; from pathlib import Path; from certssb_core.runs.run import Run;"
        "from certssb_core.query.server import serve; serve(Run(Path(sys.argv[1])), idle_seconds=0.01)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(small_run.path)],
        stdin=subprocess.PIPE,  # stays open
        stdout=subprocess.PIPE,
        text=True,
        env=environment(),
    )
    with process:
        assert process.wait(timeout=120) == 0
        assert process.stdout.read() == '{"ready": true}\n'
