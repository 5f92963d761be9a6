"""A program that is silent says on a terminal what it does, and leaves nothing of it there."""

from __future__ import annotations

import io
import time

import pytest

from llavit_lens import waiting as module
from llavit_lens.waiting import waiting


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def on_terminal(monkeypatch: pytest.MonkeyPatch) -> _Terminal:
    """Standard error as a terminal, on which a line appears at once.

    No fixture: pytest puts its own stream back before a test begins.
    """
    stream = _Terminal()
    monkeypatch.setattr("sys.stderr", stream)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setattr(module, "AFTER", 0.01)
    return stream


def _wait_for(text: str, stream: _Terminal) -> None:
    end = time.monotonic() + 30
    while text not in stream.getvalue():
        assert time.monotonic() < end, stream.getvalue()
        time.sleep(0.01)


def test_a_terminal_shows_what_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = on_terminal(monkeypatch)
    with waiting("Loading [red]m") as say:
        _wait_for("Loading [red]m …", terminal)
        say("Loading m: 40%")
        _wait_for("Loading m: 40% …", terminal)
    shown = terminal.getvalue()
    assert shown.startswith("\x1b[?25l") and "\x1b[?25h" in shown  # the cursor comes back
    assert shown.endswith("\x1b[2K")  # and the line is gone


def test_it_ends_with_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = on_terminal(monkeypatch)
    with pytest.raises(ZeroDivisionError), waiting("Loading"):
        _wait_for("Loading", terminal)
        raise ZeroDivisionError
    assert terminal.getvalue().endswith("\x1b[2K")


def test_a_short_wait_shows_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = on_terminal(monkeypatch)
    monkeypatch.setattr(module, "AFTER", 60)
    with waiting("Loading"):
        pass
    assert terminal.getvalue() == ""


def test_a_log_stays_quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = on_terminal(monkeypatch)
    monkeypatch.setattr(_Terminal, "isatty", lambda self: False)
    with waiting("Loading") as say:
        say("Loading more")
        time.sleep(0.1)
    assert terminal.getvalue() == ""
