"""One name, one meaning: files that share a name share a subject, and an error class has one address."""

import ast
import re
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).parents[1]
PRODUCT = ("certssb_core", "ui", "pages", "app.py")

SHARED = {
    "budget_maps": "inputs certified over changed images and a norm: the counts, and a page that draws them",
    "backdoor_smoothing": "the comparison, its figures and its section",
    "certificates": "the commands about certificates, and their re-verification",
    "clean_label": "the attacks, their comparison, its figures and its section",
    "defences": "the comparison and its figures",
    "denoisers": "the denoisers and their commands",
    "forecast": "the forecast and its section",
    "metrics": "the metrics and their re-verification",
    "noise": "the noise and its page",
    "overlaps": "the overlaps and their page",
    "sandbox": "the figures of the sandbox and its section",
    "store": "the store and its re-verification",
    "tuning": "the studies' commands and figures",
    "votes": "the votes and their figures",
    "worker": "the process that does a job: of runs, and of comparisons",
}
"""File names that stand more than once, with the subject that they share."""


def files() -> list[Path]:
    found = [
        path for part in PRODUCT for path in ([ROOT / part] if part.endswith(".py") else (ROOT / part).rglob("*.py"))
    ]
    assert len(found) > 100
    return found


def test_files_share_a_name_only_where_they_share_a_subject():
    places = defaultdict(list)
    for path in files():
        places[path.stem].append(path.relative_to(ROOT).as_posix())
    twice = {name: paths for name, paths in places.items() if len(paths) > 1 and not name.startswith("__")}
    assert set(twice) == set(SHARED), f"new: {[twice[name] for name in set(twice) - set(SHARED)]}"


def test_an_error_class_has_one_address():
    for path in files():
        own = path.relative_to(ROOT).as_posix()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef) and own.startswith("certssb_core/"):
                assert not node.name.endswith("Error") or own == "certssb_core/errors.py", f"{own} defines {node.name}"
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("certssb_core"):
                for alias in node.names:
                    known = alias.name in ERRORS
                    assert not known or node.module == "certssb_core.errors", f"{own} takes {alias.name} elsewhere"


ERRORS = {
    node.name
    for node in ast.parse((ROOT / "certssb_core/errors.py").read_text(encoding="utf-8")).body
    if isinstance(node, ast.ClassDef)
}


def test_extending_names_files_that_exist():
    text = (ROOT / "docs/extending.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`((?:certssb_core|ui|pages|tests)/[\w./]*|app\.py)`", text))
    assert len(named) > 20
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_extending_answers_ten_times_where():
    rows = (ROOT / "docs/extending.md").read_text(encoding="utf-8").split("## Where is …?")[1]
    assert len(re.findall(r"^\| [a-z].*\| `[\w./]+` \|$", rows, re.M)) == 10
