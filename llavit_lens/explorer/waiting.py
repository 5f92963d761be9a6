"""What a person sees while a model is fetched, loaded and read: steps, how far they are, seconds.

The work runs in a thread of its own, and the page looks at its notes now and then: so the seconds
go on counting where a step tells nothing, and only the page's own thread talks to Streamlit.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable
from concurrent.futures import CancelledError, Future, wait
from dataclasses import dataclass, field
from threading import Lock, Thread
from typing import Any, TypeVar

import streamlit as st

from llavit_lens.explorer.plain import plain
from llavit_lens.steps import DOWNLOAD, READ

EVERY = 0.25
"""Seconds between two looks."""
BRIEF = 0.3
"""Seconds; steps that took less are not worth a line."""
TURN = "Waiting for other work"
_BYTES = (DOWNLOAD, READ)
Result = TypeVar("Result")


@dataclass
class Step:
    """One step of the work.

    Attributes:
        name: what is done.
        started, ended: seconds of a monotonic clock; None while it lasts.
        done, total: how far it is; 0 of 0 where nobody knows.
    """

    name: str
    started: float
    ended: float | None = None
    done: int = 0
    total: int = 0

    def share(self) -> float | None:
        return min(1.0, self.done / self.total) if self.total else None

    def line(self, now: float) -> str:
        """Such as "Reading the weights: 3.1 of 14.2 GB, 12 s"."""
        text = self.name
        if self.total and self.name in _BYTES:
            text += f": {_sizes(self.done, self.total)}"
        elif self.total:
            text += f": {self.share():.0%}"
        return f"{text}, {(self.ended or now) - self.started:.0f} s"


@dataclass
class Notes:
    """The steps so far; written by the work, in any of its threads, and read by the page."""

    steps: list[Step] = field(default_factory=lambda: [Step(TURN, time.monotonic())])
    begins: Callable[[], None] = lambda: None
    """Is called at the first note, and may raise."""
    _books: Lock = field(default_factory=Lock)

    def watch(self, name: str, done: int = 0, total: int = 0) -> None:
        """As `llavit_lens.model.progress.Watch`. Another step than the last one ends that."""
        now = time.monotonic()
        if self.steps[-1].name == TURN:
            self.begins()
        with self._books:
            if self.steps[-1].name != name:
                self.steps[-1].ended = now
                self.steps.append(Step(name, now))
            step = self.steps[-1]
            step.done, step.total = max(step.done, done), max(step.total, total)

    def text(self) -> str:
        """One line for each step that lasts, or took its time and is marked as done."""
        now = time.monotonic()
        lines = [
            f"{'✓' if step.ended else '…'} {plain(step.line(now))}"
            for step in list(self.steps)
            if step.ended is None or step.ended - step.started > BRIEF
        ]
        return "  \n".join(lines)


@dataclass
class _Job:
    """Work in a thread of its own, and how many pages wait for it."""

    notes: Notes = field(default_factory=Notes)
    future: Future[Any] = field(default_factory=Future)
    waiting: int = 0


_jobs: dict[Hashable, _Job] = {}
_jobs_lock = Lock()


def _joined(key: Hashable, work: Callable[[Notes], Result]) -> _Job:
    """The job that does this already, or a new one; one more page waits for it."""
    with _jobs_lock:
        job = _jobs.get(key)
        if new := job is None:
            job = _jobs[key] = _Job()
        job.waiting += 1
    if new:
        # a daemon: nobody waits for a model to load before the server ends
        Thread(target=_run, args=(key, job, work), name="explorer-work", daemon=True).start()
    return job


def _run(key: Hashable, job: _Job, work: Callable[[Notes], Result]) -> None:
    def forget() -> None:
        if _jobs.get(key) is job:
            del _jobs[key]

    def still_wanted() -> None:
        with _jobs_lock:
            if not job.waiting:
                forget()
                raise CancelledError

    job.notes.begins = still_wanted
    try:
        result = work(job.notes)
    except BaseException as error:
        with _jobs_lock:
            forget()
        job.future.set_exception(error)
    else:
        with _jobs_lock:
            forget()
        job.future.set_result(result)


def shown_waiting(title: str, key: Hashable, work: Callable[[Notes], Result]) -> Result:
    """The result of `work`, which takes notes; meanwhile the page shows them.

    Work of the same key that is under way is not begun twice. If Streamlit stops the page
    meanwhile, work that has its turn goes on, and who asks for its result next finds it; work whose
    turn comes when no page waits for it any more ends there.

    Args:
        title: of the model.
        key: what the result depends on.
        work: its first note says that it has its turn.

    Raises:
        Whatever `work` raises.
    """
    place, job = st.empty(), _joined(key, work)
    notes, future = job.notes, job.future
    try:
        started, before = time.monotonic(), ""
        with place.status(f"Reading with {plain(title)}", expanded=True) as status:
            lines, bar = st.empty(), st.empty()
            while wait([future], timeout=EVERY).not_done:
                if (text := notes.text()) == before:
                    continue
                before = text
                seconds = time.monotonic() - started
                status.update(label=f"Reading with {plain(title)}, {seconds:.0f} s")
                lines.markdown(text)
                share = notes.steps[-1].share()
                if share is None:
                    bar.empty()
                else:
                    bar.progress(share)
        place.empty()
        return future.result()
    finally:
        with _jobs_lock:
            job.waiting -= 1


def _sizes(done: int, total: int) -> str:
    unit, name = (1e9, "GB") if total >= 1e9 else (1e6, "MB")
    return f"{done / unit:.1f} of {total / unit:.1f} {name}"
