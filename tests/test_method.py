"""docs/method.md has every section that the code cites."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_every_cited_section_exists():
    titles = re.findall(r"^#+ ([\d.]*\d)\.? ", (ROOT / "docs" / "method.md").read_text(encoding="utf-8"), re.MULTILINE)
    cited: dict[str, str] = {}
    for folder in ("certssb_core", "ui", "pages", "tests", "benchmarks"):
        for path in (ROOT / folder).rglob("*.py"):
            for section in re.findall(r"method\.md §([\d.]*\d)", path.read_text(encoding="utf-8")):
                cited[section] = path.name
    assert len(cited) > 4
    assert {section: place for section, place in cited.items() if section not in titles} == {}
