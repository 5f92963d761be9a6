"""A scan says how far it is: lines now and then in a log, nothing where nothing is asked for."""

from __future__ import annotations

import pytest

from llavit_lens.corpus import progress
from llavit_lens.corpus.progress import watched


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_a_line_once_a_minute(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    with watched("reading [red]", "bar")(1000, 400) as step:  # standard error is no terminal
        for _ in range(6):
            clock[0] += 25
            step(50)
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        "reading [red]: 550 of 1000 images, 2/s, 4 minutes left",
        "reading [red]: 700 of 1000 images, 2/s, 2 minutes left",
    ]


def test_nothing(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    with watched("reading", "no")(10, 0) as step:
        clock[0] += 1e6
        step(1)
    assert capsys.readouterr().err == ""


def test_a_bar_on_a_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich takes it for a terminal
    monkeypatch.setenv("COLUMNS", "100")
    with watched("reading [red]", "bar")(10, 4) as step:
        step(1)
        step(2)
    shown = capsys.readouterr().err
    assert "reading [red]" in shown and "7/10" in shown and "/s" in shown
