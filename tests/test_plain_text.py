"""Text from others shown as text: nothing in it is formatted, linked, replaced or sent to the terminal."""

from __future__ import annotations

import ast
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from streamlit.testing.v1 import AppTest
from typer.testing import CliRunner

from certssb_core import cli
from certssb_core.cli import app
from certssb_core.figures import attack, sigma, votes
from certssb_core.figures.images import gallery
from certssb_core.plain_text import chart_text, markdown_text, terminal_json, terminal_text
from certssb_core.runs import files
from certssb_core.runs.run import Run

HOSTILE = (
    *("$5 bill", "*star* _x_", "<b>bold", ":red[alarm] :cat: :material/home:", "[link](x)", "`code`", "~~gone~~"),
    *(
        "![x](http://127.0.0.1:9/p.png)",
        "www.example.com",
        "me@example.com",
        "https://example.com",
        "# title",
        "> said",
    ),
    *("- point", "1. first", "12) twelfth", "+ plus", "a | b", "| - |", "&lt;b&gt;", "a\\*b", "==x==", "\x1b[31mred"),
)
INVISIBLE = "\u2060"
PLAIN = {"paragraph_open", "paragraph_close", "inline", "text", "text_special"}


def tokens(markdown: str) -> list:
    """Kinds and contents of an independent parser's tokens, links without brackets and tables included."""
    parser = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
    return [child for block in parser.parse(markdown) for child in [block, *(block.children or ())]]


@pytest.mark.parametrize("text", HOSTILE)
def test_markdown_is_one_paragraph_of_the_text_itself(text):
    found = tokens(markdown_text(text))
    assert {token.type for token in found} <= PLAIN
    shown = "".join(token.content for token in found if token.type in ("text", "text_special"))
    assert shown.replace(INVISIBLE, "") == text.replace("\x1b", "\ufffd")


@given(st.text(max_size=40))
def test_any_text_is_a_paragraph_of_itself(text):
    found = tokens(markdown_text(text))
    assert {token.type for token in found} <= PLAIN


@pytest.mark.parametrize("text", HOSTILE)
def test_the_patterns_that_streamlit_replaces_after_parsing_are_not_there(text):
    shown = "".join(token.content for token in tokens(markdown_text(text)) if token.type in ("text", "text_special"))
    # Icons, emoji, colours; addresses as GitHub's Markdown finds them.
    assert not re.search(r":[\w+-]+(:|\[)|:material/|https?://|www\.|[\w.]@\w", shown)


def test_ordinary_names_stay_as_they_are():
    for text in ("airplane", "T-shirt/top", "English springer", "café", "run-2026.1", "3", "σ, 60 members"):
        assert markdown_text(text) == chart_text(text) == terminal_text(text) == text


def test_the_terminal_gets_no_control_characters_and_json_stays_json():
    text = "seen \x1b[31mred\x07\r\n\x9b2J\u202egnp.exe"
    assert terminal_text(text) == "seen \ufffd[31mred\ufffd\ufffd\n\ufffd2J\ufffdgnp.exe"
    written = terminal_json({"title": text})
    assert json.loads(written) == {"title": text}
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", written)


def texts(value: object) -> list[str]:
    """Every text of a figure, as its JSON has it."""
    if isinstance(value, dict):
        return [text for part in value.values() for text in texts(part)]
    if isinstance(value, list):
        return [text for part in value for text in texts(part)]
    return [value] if isinstance(value, str) else []


def test_class_names_are_no_markup_in_charts():
    classes = ("<b>bold", '<a href="http://127.0.0.1:9">x</a>', "%{y[0]}", "plain")
    labels, image = np.arange(4), np.zeros((4, 1, 4, 4), np.float32)
    samples = pd.DataFrame(
        {"set": "clean", "index": labels, "name": classes, "sigma": [0.1, 0.2, 0.3, 0.4], "right": True, "radius": 1.0}
    )
    bins = sigma.binned(samples["sigma"], samples["name"])
    figures: list[go.Figure] = [
        attack.label_map(labels, labels[::-1], classes=classes),
        votes.bars(votes.table([1, 2, 3, 4], classes), names={"asked": "asked"}),
        gallery({"row": image}, titles=list(classes)),
        sigma.histogram(bins, colours=dict.fromkeys(classes, "#000000")),
        sigma.against(samples, "radius", title="r", colours={"clean": "#000000"}),
        sigma.beside(samples.assign(ours=0.1, theirs=0.2), ours="one", theirs="two"),
    ]
    for figure in figures:
        shown = json.loads(figure.to_json())
        found = [text for text in texts(shown) if any(name in text for name in classes[:3])]
        # A bar's click carries its group as it is; its hover text does not name it.
        groups = [bar[2] for trace in shown["data"] for bar in trace.get("customdata", []) if bar[:1] == ["bar"]]
        assert sorted({*found}) == sorted({*groups} & {*classes[:3]}), figure.data[0].type
        assert "plain" in " ".join(texts(shown))


@pytest.fixture
def stranger(tmp_path, monkeypatch):
    """The shipped run under a hostile title, in a folder of its own."""
    shutil.copytree("checkpoints/digits", tmp_path / "stranger")
    path = tmp_path / "stranger" / "config.json"
    title = "seen ![x](http://127.0.0.1:9977/pixel.png) \x1b[31mred"
    files.write_json(path, json.loads(path.read_text(encoding="utf-8")) | {"title": title})
    monkeypatch.setenv("CERTSSB_RUNS", str(tmp_path))
    return Run(tmp_path / "stranger")


def test_a_strangers_title_is_text_in_the_terminal(stranger):
    for command in (["list"], ["show", "stranger"]):
        output = CliRunner().invoke(app, command).output
        assert "seen ![x](http://127.0.0.1:9977/pixel.png)" in output
        assert "\x1b" not in output


def test_a_strangers_title_is_text_on_a_page(stranger):
    page = AppTest.from_string("from ui.kit import run_files; run_files.pick_run()", default_timeout=60).run()
    assert not page.exception
    (caption,) = [caption.value for caption in page.caption if "seen" in caption.value]
    assert {token.type for token in tokens(caption)} <= {
        "paragraph_open",
        "paragraph_close",
        "inline",
        "text",
        "text_special",
    }


def test_commands_print_through_the_function_that_cleans_text():
    """A bare ``print`` in a command could send a stranger's escape codes; common.py holds the two that clean first."""
    bare = [
        path.name
        for path in sorted(Path(cli.__file__).parent.glob("*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if called(node) == "print"
    ]
    assert bare == ["common.py", "common.py"]


def called(node: ast.AST) -> str:
    return node.func.id if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) else ""
