"""What becomes of bad input: refused in one line, taken rightly, or one of the faults."""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from llavit_lens.errors import LlavitLensError

TOO_LONG = 20.0
"""Seconds after which a case counts as a hang."""

FAULTS = ("accepted, and wrong", "traceback", "message of several lines", "hang")


@dataclass(frozen=True)
class Case:
    """One bad input.

    Attributes:
        name: what is bad about it.
        act: what a user does with it.
        is_right: whether the result is right, where it is not refused.
    """

    name: str
    act: Callable[[], Any]
    is_right: Callable[[Any], bool]


def outcome(case: Case) -> tuple[str, str]:
    """The kind of outcome, and its details."""
    try:
        with _time_limit():
            result = case.act()
    except _TooLongError:
        return "hang", f"over {TOO_LONG:.0f} s"
    except LlavitLensError as error:
        text = str(error)
        if not text.strip() or len(text.splitlines()) > 1:
            return "message of several lines", repr(text)
        return "refused", text
    except Exception as error:
        return "traceback", f"{type(error).__name__}: {error}"
    return ("accepted, and right", "") if case.is_right(result) else (FAULTS[0], repr(result)[:200])


def attack(area: str, cases: Iterable[Case]) -> None:
    """Try all cases, print how many came out how, and fail if any is a fault."""
    counts: Counter[str] = Counter()
    faults = []
    for case in cases:
        kind, details = outcome(case)
        counts[kind] += 1
        if kind in FAULTS:
            faults.append(f"{case.name}: {kind} ({details[:300]})")
    print(f"\n{area}: {counts.total()} inputs; " + "; ".join(f"{n} {k}" for k, n in counts.items()))
    assert not faults, f"{len(faults)} faults:\n" + "\n".join(faults)


class _TooLongError(BaseException):
    """Not an Exception, so that no handler of the code under test takes it."""


@contextmanager
def _time_limit() -> Iterator[None]:
    def stop(*_: object) -> None:
        raise _TooLongError

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, TOO_LONG)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
