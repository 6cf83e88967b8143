"""Take the screenshots of the README: ``python assets/take_screenshots.py``, with Chromium installed.

Starts the dashboard on the runs in ``checkpoints/`` and saves ``assets/PAGE-{light,dark}.png`` at 1280 pixels;
``--width 1024 --output DIR`` looks at it as a projector does.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from pathlib import Path

from playwright.sync_api import expect, sync_playwright

ROOT = Path(__file__).resolve().parents[1]
PAGES = {
    "home": "",
    "lessons": "lessons?lesson=What+happens+when+balls+collide&step=2",
    "poison": "poison",
    "train": "train",
    "noise": "noise",
    "certify": "certify",
    "overlaps": "overlaps?run=photographs",
    "sandbox": "overlaps?view=a+sandbox+in+the+plane",
    "query": "query",
    "compare": "compare",
    "tune": "tune",
}
FLAGS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=ROOT / "assets")
    parser.add_argument("--width", type=int, default=1280)
    parser.add_argument("--port", type=int, default=8599)
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "streamlit", "run", "app.py", f"--server.port={options.port}"]
    server = subprocess.Popen([*command, "--server.headless=true"], cwd=ROOT, stdout=subprocess.DEVNULL)
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=list(FLAGS))
            for theme in ("light", "dark"):
                page = browser.new_page(
                    viewport={"width": options.width, "height": 1600}, color_scheme=theme, locale="en-GB"
                )
                for name, path in PAGES.items():
                    page.goto(f"http://localhost:{options.port}/{path}", wait_until="networkidle")
                    expect(page.get_by_role("heading", level=1)).to_be_visible(timeout=60_000)
                    rests = ("data-test-script-state", "notRunning")
                    expect(page.get_by_test_id("stApp")).to_have_attribute(*rests, timeout=60_000)
                    expect(page.get_by_test_id("stSkeleton")).to_have_count(0, timeout=60_000)
                    page.wait_for_load_state("networkidle")
                    page.screenshot(path=options.output / f"{name}-{theme}.png")
    finally:
        server.terminate()
        server.wait(timeout=20)


if __name__ == "__main__":
    main()
