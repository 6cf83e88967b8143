"""Plain English: no docstring opens like a riddle, and no sentence that people read is long."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.reading import length, sentences

ROOT = Path(__file__).parents[1]
RIDDLES = {"What", "Which", "Of", "Whether", "How", "Where", "Who", "When", "That", "At", "From", "Per", "As", "By"}
"""Words with which a docstring hides what it is about."""


@pytest.mark.parametrize("folder", ["certssb_core", "ui", "pages", "benchmarks"])
def test_no_docstring_opens_like_a_riddle(folder):
    found = []
    for path in sorted((ROOT / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                words = (ast.get_docstring(node) or "").split()
                if words and words[0] in RIDDLES:
                    found.append(f"{path.relative_to(ROOT)}: {getattr(node, 'name', 'module')}: {' '.join(words[:8])}")
    assert not found, "\n".join(found)


MOST_WORDS = 30


def texts(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Line and text of every literal that is no docstring and no code; what is filled in counts as one word."""
    left_out: set[ast.AST] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr):
            left_out.add(node.value)  # a docstring, or a note on an attribute
        if isinstance(node, ast.JoinedStr):
            left_out.update(part for part in ast.walk(node) if part is not node)
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Template":
            left_out.update(ast.walk(node))
    for node in ast.walk(tree):
        if node not in left_out and (text := written(node)) and not text.startswith("CREATE TABLE"):
            yield node.lineno, text


def written(node: ast.AST) -> str:
    if isinstance(node, ast.JoinedStr):
        return "".join(map(written, node.values))
    if isinstance(node, ast.FormattedValue):
        return "X"
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


@pytest.mark.parametrize("folder", ["certssb_core", "ui", "pages"])
def test_no_sentence_for_people_is_longer_than_thirty_words(folder):
    found = []
    for path in sorted((ROOT / folder).rglob("*.py")):
        for line, text in texts(ast.parse(path.read_text(encoding="utf-8"))):
            found += [
                f"{path.relative_to(ROOT)}:{line}: {length(sentence)} words: {sentence}"
                for sentence in sentences(text)
                if length(sentence) > MOST_WORDS
            ]
    assert not found, "\n".join(found)


def test_the_reader_of_sentences_finds_long_ones():
    long, short = " ".join(["word"] * 31) + ".", "One idea, e.g. this one."
    tree = ast.parse(f'x = "{short} {long.capitalize()}"\ny = f"{{x}} {long}"\nTemplate("{long}")')
    counted = [[len(one.split()) for one in sentences(text)] for _, text in texts(tree)]
    assert counted == [[5, 31], [32]]
    assert sentences("**A** b.\n\n- c `d`\n- e $x = 1. y$ f") == ["A b.", "- c d", "e formula f"]
