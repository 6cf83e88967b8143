"""Requirements, their lock and their licences name the same packages; nothing else is imported."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
NAMES = {"sklearn": "scikit-learn", "PIL": "pillow", "markdown_it": "markdown-it-py"}
OWN = {"pydantic_core", "certssb_core", "ui", "pages", "tests", "benchmarks", "app"}


WITH_TORCH = {"triton"}
"""What torch brings along where it knows CUDA; without it there are products in place of kernels."""
EXTRAS = {"optuna", "diffusers", "ray"}


def lines(name: str) -> list[str]:
    rest = (line.partition("#")[0].strip() for line in (ROOT / name).read_text().splitlines())
    return [line for line in rest if line and not line.startswith("-r")]


@pytest.fixture(scope="module")
def floors() -> dict[str, Requirement]:
    return {
        Requirement(line).name: Requirement(line) for line in lines("requirements.txt") + lines("requirements-test.txt")
    }


@pytest.fixture(scope="module")
def locked() -> dict[str, str]:
    return dict(line.split("==") for line in lines("requirements.lock"))


def test_every_requirement_has_a_floor_and_a_locked_version_above_it(floors, locked):
    for name, requirement in floors.items():
        assert str(requirement.specifier).startswith(">="), name
        assert requirement.specifier.contains(locked[name]), name


def test_every_locked_package_has_its_licence_listed(locked):
    listed = dict(re.findall(r"^\| ([\w.-]+) \| ([\w.]+) \| ", (ROOT / "LICENCES.md").read_text(), re.M))
    assert {name: listed.get(name) for name in locked} == locked


def test_everything_imported_is_required(floors):
    imported = set()
    for folder in ("certssb_core", "ui", "pages"):
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
                names += [node.module] if isinstance(node, ast.ImportFrom) and node.module else []
                imported |= {name.partition(".")[0] for name in names}
    foreign = {NAMES.get(name, name) for name in imported - set(sys.stdlib_module_names) - OWN}
    assert len(foreign) > 10
    assert foreign - EXTRAS - WITH_TORCH <= {Requirement(line).name for line in lines("requirements.txt")}


def test_optional_packages_are_extras_and_tested_but_not_installed_by_default():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = {Requirement(line).name for wanted in project["optional-dependencies"].values() for line in wanted}
    assert extras == EXTRAS
    assert not extras & {Requirement(line).name for line in lines("requirements.txt")}
    assert extras <= {Requirement(line).name for line in lines("requirements-test.txt")}
