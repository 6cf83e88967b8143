"""A real server on a copy of the shipped run, and a real Chromium. Skipped where there is no Chromium."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FLAGS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)


@pytest.fixture(scope="session")
def runs_folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("browser-runs")
    shutil.copytree(ROOT / "checkpoints" / "digits", folder / "digits", ignore=shutil.ignore_patterns("protected"))
    return folder


@pytest.fixture(autouse=True)
def _the_shipped_run_alone(runs_folder):
    """Keep a journey's leftovers from being the newest run of the next one."""
    yield
    for path in runs_folder.iterdir():
        if path.name != "digits" and not path.name.startswith("."):
            shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="session")
def server(runs_folder):
    """The address of a dashboard that serves ``runs_folder``."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = runs_folder.parent / "server.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "streamlit", "run", "app.py", f"--server.port={port}", "--server.headless=true"],
            cwd=ROOT,
            env=os.environ | {"CERTSSB_RUNS": str(runs_folder)},
            stdout=output,
            stderr=output,
        )
    try:
        for _ in range(300):
            try:
                process.wait(timeout=0.2)
                pytest.fail(f"the server ended early: {log.read_text()}")
            except subprocess.TimeoutExpired:
                try:
                    with urllib.request.urlopen(f"http://localhost:{port}/_stcore/health", timeout=1):
                        break
                except OSError:
                    continue
        yield f"http://localhost:{port}"
    finally:
        process.terminate()
        process.wait(timeout=180)


@pytest.fixture(scope="session")
def browser():
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        message = "no Chromium on this machine"
        if os.environ.get("REQUIRE_BROWSER"):
            pytest.fail(message)
        pytest.skip(message)
    sync_api = pytest.importorskip("playwright.sync_api")
    with (
        sync_api.sync_playwright() as playwright,
        playwright.chromium.launch(executable_path=chromium, args=list(FLAGS)) as launched,
    ):
        yield launched


@pytest.fixture
def page(browser, server):
    """A fresh session of a reader at 1280 px, in English."""
    from tests.browser.journey import session  # needs Playwright, which may be absent

    yield from session(browser, server)
