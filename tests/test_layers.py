"""Who may import whom. Arrows point down, there is no circle, and what must start fast does not load torch."""

import ast
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FLOORS = (
    ("errors", "plain_text", "version"),
    ("data", "store", "smoothing"),
    ("certify", "ensemble", "attacks"),
    ("sandbox", "config"),
    ("runs", "figures"),
    ("results",),
    ("pipeline",),
    ("jobs",),
    ("audit", "comparisons", "query", "tuning"),
    ("verification", "falsification"),
    ("capsule", "report"),
    ("cli", "__init__"),
    ("__main__",),
)
"""From the ground up. A package imports from floors below its own, and from its own package."""

LIGHT = (
    "certssb_core.store.store",
    "certssb_core.data.datasets",
    "certssb_core.data.poisoning",
    "certssb_core.audit.joint_budget",
    "certssb_core.audit.inspection",
    "certssb_core.audit.release_corrections",
    "certssb_core.capsule",
    "certssb_core.cli",
    "certssb_core.comparisons.backdoor_smoothing",
    "certssb_core.config.presets",
    "certssb_core.figures.theme",
    "certssb_core.jobs.launch",
    "certssb_core.report",
    "certssb_core.results.certification",
    "certssb_core.runs.inputs",
    "certssb_core.tuning.optimise",
    "certssb_core.verification",
)
LARGEST_SHARE = 0.15
"""Of the core's lines, the most that one package may hold."""


def imports(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return names


def files(folder: str) -> list[Path]:
    found = sorted((ROOT / folder).rglob("*.py"))
    assert found
    return found


def package(path: Path) -> str:
    return path.relative_to(ROOT / "certssb_core").with_suffix("").parts[0]


def test_the_core_never_imports_streamlit_or_what_stands_above_it():
    for path in files("certssb_core"):
        assert not {name.split(".")[0] for name in imports(path)} & {"streamlit", "ui", "pages", "app"}, path


def test_every_package_of_the_core_has_a_floor():
    assert {package(path) for path in files("certssb_core")} == {name for floor in FLOORS for name in floor}


def test_inside_the_core_arrows_point_down():
    height = {name: number for number, floor in enumerate(FLOORS) for name in floor}
    for path in files("certssb_core"):
        own = package(path)
        for name in imports(path):
            parts = name.split(".")
            if parts[0] == "certssb_core" and len(parts) > 1 and parts[1] != own and parts[1] in height:
                assert height[parts[1]] < height[own], f"{path} imports {name}"


def test_no_package_holds_more_than_its_share_of_the_core():
    lines: Counter[str] = Counter()
    for path in files("certssb_core"):
        lines[package(path)] += len(path.read_text(encoding="utf-8").splitlines())
    name, most = lines.most_common(1)[0]
    assert most <= LARGEST_SHARE * lines.total(), f"{name} holds {most / lines.total():.0%}"


@pytest.mark.parametrize("folder", ["pages", "ui"])
def test_the_dashboard_leaves_torch_to_the_workers(folder):
    for path in files(folder):
        assert not {name.split(".")[0] for name in imports(path)} & {"torch", "torchvision"}, path


def test_the_kit_of_the_dashboard_knows_no_page():
    for path in files("ui/kit"):
        for name in imports(path):
            assert not name.startswith("ui.") or name.startswith("ui.kit"), f"{path} imports {name}"


def test_pages_hold_no_mathematics():
    for path in files("pages"):
        assert not {name.split(".")[0] for name in imports(path)} & {"numpy", "scipy", "sklearn"}, path


@pytest.mark.parametrize("module", LIGHT)
def test_light_modules_do_not_load_torch(module):
    code = f"import {module}, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
