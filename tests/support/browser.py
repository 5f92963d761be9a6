"""The explorer as a person meets it: a real server, a real Chromium."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
EXPLORER = REPOSITORY / "apps" / "explorer.py"
_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def free_port() -> int:
    """A port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def explorer_process(
    *arguments: str, folder: Path = REPOSITORY, log: Path, script: Path = EXPLORER
) -> Iterator[str]:
    """The address at which an explorer will listen, its process just started.

    Args:
        arguments: for the page, behind `--`.
        folder: where it is started.
        log: what it prints.
        script: another page in its place.
    """
    port = free_port()
    command = [sys.executable, "-m", "streamlit", "run", str(script)]
    command += ["--server.headless", "true", "--server.port", str(port), "--", *arguments]
    with log.open("w") as out:
        process = subprocess.Popen(
            command,
            cwd=folder,
            stdout=out,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        )
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(60)


@contextmanager
def explorer_server(
    *arguments: str, folder: Path = REPOSITORY, log: Path, script: Path = EXPLORER
) -> Iterator[str]:
    """As `explorer_process`, once it listens."""
    with explorer_process(*arguments, folder=folder, log=log, script=script) as address:
        _wait_for(f"{address}/_stcore/health", log)
        yield address


def _wait_for(address: str, log: Path, seconds: float = 180) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            urllib.request.urlopen(address, timeout=1).read()
            return
        except OSError:
            time.sleep(0.05)
    raise RuntimeError(f"the explorer did not start:\n{log.read_text()}")


def chromium() -> str:
    """Path of Chromium; the test is skipped where there is none."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if path := shutil.which(name):
            return path
    pytest.skip("needs Chromium (Debian: apt-get install chromium)")


@contextmanager
def open_browser() -> Iterator:
    """A Playwright browser."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    path = chromium()
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, headless=True, args=_FLAGS)
        try:
            yield browser
        finally:
            browser.close()
