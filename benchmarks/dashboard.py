"""Time the dashboard: the real server, a real Chromium, every page's first paint and the reruns of its sliders.

    python -m benchmarks.dashboard [--runs 50] [--small 1000] [--paints]   (needs playwright, a Chromium and Linux)

First Home cold: a fresh server each time, from the moment it is up until Home is painted. Then every page, on the
shipped run alone; with ``--small`` runs beside it that hold little more than their figures; and with ``--runs``
runs beside it, each of 2,115 × 2 certificates by M = 1,000 votes, made up but in the true file format.

First paint is wall-clock time in a new session of a browser that has been here before, until the page's heading is
there. Server time is the processor time of the server's process, with one BLAS thread, until it has come to rest: for
the whole page, or for a slider's rerun at a place not visited before; what others do on the machine moves it much less.
Payload is the bytes that the server sends over the page's websocket. Each number is the median of several, after one to
warm up. Prints a table and writes results/dashboard.json.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, BrowserContext, Locator, Page, sync_playwright

from benchmarks.made_up_runs import make_runs, make_small_runs
from certssb_core.runs.run import Run

ROOT = Path(__file__).parents[1]
FLAGS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
PORT, PATIENCE_MS = 8599, 60_000
VIEWPORT = {"width": 1280, "height": 900}
QUIET_SECONDS, QUIET_CPU = 0.5, 0.01
"""A server that uses less processor time than this over such a while has nothing more to do."""

PAGES = {
    "home": "/",
    "lessons": "/lessons",
    "poison": "/poison",
    "train": "/train",
    "noise": "/noise",
    "certify": "/certify",
    "overlaps": "/overlaps",
    "sandbox": "/overlaps?view=a+sandbox+in+the+plane",
    "query": "/query?run=digits&apply=Four+pixels",
    "compare": "/compare",
    "flips": "/compare?topic=Feature+flips",
    "tune": "/tune",
}
SLIDERS = {
    "certify": ("Read at r", "Norm τ of every change", "Poisoned training images n", "Failure probability α"),
    "sandbox": ("σ", "σ* may differ by the factor", "Overstate radii by the factor"),
    "noise": ("Try another σ",),
    "query": ("Strength",),
    "flips": ("β",),
}


class Server:
    """A dashboard over a folder of runs."""

    def __init__(self, runs: Path) -> None:
        self.address = f"http://localhost:{PORT}"
        self._process = subprocess.Popen(
            [sys.executable, "-m", "streamlit", "run", "app.py", f"--server.port={PORT}", "--server.headless=true"],
            cwd=ROOT,
            env=os.environ | {"CERTSSB_RUNS": str(runs), "OMP_NUM_THREADS": "1"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def wait_until_up(self) -> None:
        for _ in range(600):
            try:
                urllib.request.urlopen(f"{self.address}/_stcore/health", timeout=1).close()
                return
            except OSError:
                if self._process.poll() is not None:
                    raise SystemExit(f"the server ended with {self._process.returncode}") from None
                time.sleep(0.2)
        raise SystemExit("the server does not come up")

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(timeout=30)

    def cpu(self) -> float:
        """Processor seconds of the server so far, threads that ended included."""
        return time.clock_gettime((~self._process.pid << 3) | 2)  # Linux: the clock of another process

    def spent(self, act: Callable[[], Any]) -> float:
        """Processor seconds that ``act`` costs the server, until it has come to rest."""
        start = before = self.cpu()
        act()
        while True:
            time.sleep(QUIET_SECONDS)
            now = self.cpu()
            if now - before < QUIET_CPU:
                return before - start
            before = now


@contextmanager
def serving(runs: Path) -> Iterator[Server]:
    server = Server(runs)
    try:
        server.wait_until_up()
        yield server
    finally:
        server.stop()


@dataclass(frozen=True)
class Visit:
    """One visit of a page: seconds until its heading is there, and the server's processor seconds and bytes sent."""

    paint: float
    server: float
    payload: int


def visit_page(context: BrowserContext, server: Server, path: str) -> Visit:
    """Open a page in a fresh session, until the server has come to rest."""
    page = context.new_page()
    painted, sent = [], []
    page.on("websocket", lambda socket: socket.on("framereceived", lambda frame: sent.append(len(frame))))

    def visit() -> None:
        start = time.perf_counter()
        page.goto(server.address + path, wait_until="commit")
        page.locator("h1").first.wait_for()
        painted.append(time.perf_counter() - start)
        at_rest(page)

    spent = server.spent(visit)
    page.close()
    return Visit(painted[0], spent, sum(sent))


def cold_home(browser: Browser, runs: Path, times: int) -> dict[str, float]:
    """Home on a server that has served nothing yet, in a browser that has its files already."""
    visits = []
    with browser.new_context(viewport=VIEWPORT) as context:
        context.set_default_timeout(PATIENCE_MS)
        for _ in range(times + 1):  # the first fills the browser's cache
            with serving(runs) as server:
                visits.append(visit_page(context, server, "/"))
    found = {name: statistics.median(getattr(visit, name) for visit in visits[1:]) for name in ("paint", "server")}
    print(f"home, cold  paint {found['paint']:.2f} s  server {1000 * found['server']:.0f} ms")
    return found


def at_rest(page: Page) -> None:
    page.locator('[data-testid="stApp"][data-test-script-state="notRunning"]').wait_for()
    if page.get_by_test_id("stException").count():
        raise SystemExit(f"{page.url} shows an exception")


def slider(page: Page, label: str) -> Locator:
    return page.get_by_role("slider", name=re.compile(f"^{re.escape(label)}")).first


def reruns(context: BrowserContext, server: Server, path: str, label: str, times: int) -> list[float]:
    """Processor seconds of the server for each of ``times`` moves of a slider to a place it has not been at."""
    page = context.new_page()
    server.spent(lambda: (page.goto(server.address + path), page.locator("h1").first.wait_for(), at_rest(page)))
    thumb = slider(page, label)
    thumb.wait_for()

    def move(key: str) -> None:
        thumb.press(key)
        at_rest(page)

    key = "ArrowLeft" if label.endswith("α") else "ArrowRight"  # α stands near its right end
    spent = [server.spent(lambda: move(key)) for _ in range(times + 1)]
    page.close()
    return spent[1:]


def measure(browser: Browser, runs: Path, times: int, *, sliders: bool = True) -> dict[str, Any]:
    """First paints and reruns over a folder of runs."""
    paints, moved = {}, {}
    with serving(runs) as server, browser.new_context(viewport=VIEWPORT) as context:
        context.set_default_timeout(PATIENCE_MS)
        for name, path in PAGES.items():
            cold, *warm = [visit_page(context, server, path) for _ in range(times + 1)]
            found = {part: statistics.median(getattr(one, part) for one in warm) for part in vars(cold)}
            paints[name] = found | {"paint_cold": cold.paint, "server_cold": cold.server}
            print(
                f"{name:10} paint {found['paint']:.2f} s  server {1000 * found['server']:.0f} ms  "
                f"{found['payload'] / 1000:.0f} kB"
            )
            for label in SLIDERS.get(name, ()) if sliders else ():
                spent = reruns(context, server, path, label, times)
                moved[f"{name}: {label}"] = {"server": statistics.median(spent), "worst": max(spent)}
                print(f"{'':10} {label}: {1000 * statistics.median(spent):.0f} ms, at worst {1000 * max(spent):.0f} ms")
    return {"first paint (s)": paints, "slider rerun (s)": moved}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=50)
    parser.add_argument("--small", type=int, default=1000, help="small runs beside the shipped one")
    parser.add_argument("--times", type=int, default=3, help="measurements of each, after one to warm up")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "dashboard.json")
    parser.add_argument("--paints", action="store_true", help="leave the sliders out")
    settings = parser.parse_args()
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    results: dict[str, Any] = {"cores": os.cpu_count(), "times": settings.times, "runs": settings.runs}
    with (
        tempfile.TemporaryDirectory() as folder,
        sync_playwright() as playwright,
        playwright.chromium.launch(executable_path=chromium, args=list(FLAGS)) as browser,
    ):
        runs = Path(folder)
        shutil.copytree(ROOT / "checkpoints" / "digits", runs / "digits")
        print("the shipped run")
        results["home, cold (s)"] = cold_home(browser, runs, settings.times)
        results["shipped"] = measure(browser, runs, settings.times, sliders=not settings.paints)
        if settings.small:
            print(f"{settings.small} small runs beside it")
            with tempfile.TemporaryDirectory() as other:
                shutil.copytree(runs / "digits", Path(other) / "digits")
                make_small_runs(Path(other), Run(runs / "digits"), settings.small)
                results["small"] = measure(browser, Path(other), settings.times, sliders=False)
        if settings.runs:
            print(f"{settings.runs} large runs beside it")
            make_runs(runs, settings.runs)
            results["many"] = measure(browser, runs, settings.times, sliders=not settings.paints)
    results["load average"] = os.getloadavg()
    settings.out.parent.mkdir(exist_ok=True)
    settings.out.write_text(json.dumps(results, indent=1, ensure_ascii=False))


if __name__ == "__main__":
    main()
