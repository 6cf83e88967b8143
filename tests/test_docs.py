"""README and docs: every link leads somewhere, and every command that they name exists with its options."""

from __future__ import annotations

import re
import shlex
from importlib.util import find_spec
from pathlib import Path

import pytest
import typer

from certssb_core.cli import app
from ui.kit.pages import PAGES

ROOT = Path(__file__).parents[1]
TEXTS = {str(path.relative_to(ROOT)): path for path in (*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"))}
README_BYTES = 9 * 1024


def prose(text: str) -> str:
    """The text without its code blocks."""
    return re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)


def anchors(text: str) -> set[str]:
    """The anchors of a text's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", prose(text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def commands(text: str) -> list[list[str]]:
    """The words after ``python -m`` of every command in code blocks and in backticks."""
    quoted = re.findall(r"`(python -m [^`]+)`", prose(text).replace("\n", " "))
    blocks = re.findall(r"^```sh$(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    lines = [line for block in blocks for line in block.splitlines() if line.startswith("python -m ")]
    return [shlex.split(line.split(" #")[0].replace("…", "").replace("[RUN ]", "RUN"))[2:] for line in quoted + lines]


def test_the_readme_is_short_and_texts_are_found():
    assert (ROOT / "README.md").stat().st_size <= README_BYTES
    assert {"README.md", "SECURITY.md", "docs/results.md", "docs/command-line.md"} <= TEXTS.keys()


def test_the_readme_names_every_page_in_the_order_of_the_navigation():
    table = (ROOT / "README.md").read_text(encoding="utf-8").split("| page | question |")[1].split("\n\n")[0]
    names = [line.split(" | ")[0].removeprefix("| ").replace("\\", "") for line in table.splitlines()[2:]]
    assert names == [page.title for page in PAGES.values()]


@pytest.mark.parametrize("name", TEXTS)
def test_links_lead_somewhere(name):
    text = TEXTS[name].read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(text)):
        if re.match(r"https?://", target):
            continue
        path, _, anchor = target.partition("#")
        found = (TEXTS[name].parent / path).resolve() if path else TEXTS[name]
        assert found.is_relative_to(ROOT), f"{target} leaves the project"
        assert found.exists(), target
        if anchor:
            assert anchor in anchors(found.read_text(encoding="utf-8")), target


@pytest.mark.parametrize("name", TEXTS)
def test_commands_exist_with_their_options(name):
    group = typer.main.get_command(app)
    for module, *words in commands(TEXTS[name].read_text(encoding="utf-8")):
        assert find_spec(module), f"python -m {module}"
        if module != "certssb_core":
            continue
        command = group
        while hasattr(command, "commands"):
            assert words[0] in command.commands, f"certssb_core has no command {words[0]}"
            command, words = command.commands[words[0]], words[1:]
        context = command.context_class(command, ignore_unknown_options=False)
        if words:
            command.make_parser(context).parse_args(args=[*words])


def test_commands_and_anchors_that_are_not_there_would_be_told():
    group = typer.main.get_command(app)
    assert commands("```sh\npython -m certssb_core run digits --no-such   # a note\n```") == [
        ["certssb_core", "run", "digits", "--no-such"]
    ]
    run = group.commands["run"]
    with pytest.raises(Exception, match="No such option"):
        run.make_parser(run.context_class(run)).parse_args(args=["digits", "--no-such"])
    assert anchors("# Noise σ\\*, and why\n```\n# not one\n```") == {"noise-σ-and-why"}
