"""Who may import whom: arrows point down, and what must start fast does not load torch."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FLOORS = {"data": 1, "certify": 1, "figures": 2, "smoothing": 2, "ensemble": 3, "experiment": 4, "audit": 5, "field": 5}
LIGHT = (
    "certssb_core.certify.store",
    "certssb_core.data.datasets",
    "certssb_core.data.poisoning",
    "certssb_core.audit.budget",
    "certssb_core.audit.capsule",
    "certssb_core.audit.attribution",
    "certssb_core.experiment.certification",
    "certssb_core.cli",
    "certssb_core.experiment.inputs",
    "certssb_core.audit.inspection",
    "certssb_core.experiment.launch",
    "certssb_core.experiment.tuning",
    "certssb_core.experiment.presets",
    "certssb_core.field.smoothness",
    "certssb_core.audit.verification",
    "certssb_core.figures.theme",
    "certssb_core.report",
)


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


def test_the_core_never_imports_streamlit_or_what_stands_above_it():
    for path in files("certssb_core"):
        assert not {name.split(".")[0] for name in imports(path)} & {"streamlit", "ui", "pages", "app"}, path


def test_inside_the_core_arrows_point_down():
    for path in files("certssb_core"):
        floor = FLOORS.get(path.relative_to(ROOT / "certssb_core").parts[0], 6)
        for name in imports(path):
            parts = name.split(".")
            if parts[0] == "certssb_core" and len(parts) > 1 and parts[1] in FLOORS:
                assert FLOORS[parts[1]] <= floor, f"{path} imports {name}"


@pytest.mark.parametrize("folder", ["pages", "ui"])
def test_the_dashboard_leaves_torch_to_the_workers(folder):
    for path in files(folder):
        assert not {name.split(".")[0] for name in imports(path)} & {"torch", "torchvision"}, path


def test_pages_hold_no_mathematics():
    for path in files("pages"):
        assert not {name.split(".")[0] for name in imports(path)} & {"numpy", "scipy", "sklearn"}, path


@pytest.mark.parametrize("module", LIGHT)
def test_light_modules_do_not_load_torch(module):
    code = f"import {module}, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
