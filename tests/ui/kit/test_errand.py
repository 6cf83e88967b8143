"""Errands are processes of their own: here small programs of Python in place of the command line."""

import sys

import pytest

from certssb_core.errors import RunError
from ui.kit import errand


@pytest.fixture(autouse=True)
def programs(monkeypatch):
    monkeypatch.setattr(errand, "program", lambda *arguments: [sys.executable, "-c", *arguments])
    errand._errands().clear()
    yield
    for one in errand._errands().values():
        one._process.kill()
        one._process.wait()
    errand._errands().clear()


def ended(key: str) -> None:
    errand._errands()[key]._process.wait(timeout=60)


def test_an_answer_is_kept_and_asked_for_once():
    errand.send("key", "import json, os; print(json.dumps({'process': os.getpid()}))")
    ended("key")
    first = errand.answer("key")
    errand.send("key", "print(1)")
    assert errand.answer("key") == first
    assert first["process"] > 0
    assert errand.answer("another") is None


def test_a_failed_errand_says_its_last_words_and_can_be_sent_again():
    errand.send("key", "import sys; print('one', file=sys.stderr); sys.exit('error: no data here')")
    ended("key")
    assert errand.failed("key")
    assert errand.answer("key") is None
    assert errand._errands()["key"].problem == "no data here"
    errand.send("key", "print(2)")
    ended("key")
    assert (errand.failed("key"), errand.answer("key")) == (False, 2)


def test_two_are_at_work_at_once():
    waiting = "import sys; sys.stdin.read(); import time; time.sleep(600)"
    errand.send("one", waiting)
    errand.send("two", waiting)
    with pytest.raises(RunError, match="try again"):
        errand.send("three", "print(3)")
    assert errand.answer("one") is None
