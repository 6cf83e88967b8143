"""What surrounds a command: the encoding of its output, misspelt variables, and the folder it is started in."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from certssb_core.runs import server_limits

ROOT = Path(__file__).parents[1]


def command(*arguments: str, **environment: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "certssb_core", *arguments],
        cwd=ROOT,
        env=os.environ | environment,
        capture_output=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize("encoding", ["cp1252", "ascii"])
def test_output_fits_every_encoding(encoding):
    for arguments in (["presets"], ["--help"], ["inspect", "digits"]):
        ended = command(*arguments, PYTHONIOENCODING=encoding)
        assert ended.returncode == 0, ended.stderr
        ended.stdout.decode(encoding)
    assert b"sigma" in ended.stdout, "σ is spelt out"


def test_json_in_another_encoding_says_the_same():
    (narrow, wide) = (command("inspect", "digits", "--json", PYTHONIOENCODING=name) for name in ("ascii", "utf-8"))
    assert json.loads(narrow.stdout.decode("ascii")) == json.loads(wide.stdout.decode())
    assert "σ" in wide.stdout.decode()


def test_a_misspelt_variable_is_told_at_the_start():
    ended = command("presets", CERTSSB_READONLY="1")
    assert ended.returncode == 0
    assert b"CERTSSB_READONLY is not read: did you mean CERTSSB_READ_ONLY?" in ended.stderr


def test_variables_that_are_read_are_not_told(monkeypatch):
    for name in [name for name in os.environ if name.startswith("CERTSSB_")]:
        monkeypatch.delenv(name)
    for name in ("CERTSSB_DATA", "CERTSSB_RUNS", "CERTSSB_MAX_HOURS"):
        monkeypatch.setenv(name, "1")
    assert server_limits.misspelt() == []
    monkeypatch.setenv("CERTSSB_XYZZY", "1")
    (sentence,) = server_limits.misspelt()
    assert "known are CERTSSB_… DATA" in sentence
