"""Docstrings say who does what: none opens like a riddle."""

import ast
from pathlib import Path

import pytest

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
