"""What a person sees while a model is downloaded, loaded and run: steps, progress, seconds.

The work runs in its own thread, and the page reads its progress now and then. So the seconds go on
counting when a step reports nothing, and only the page's own thread calls Streamlit.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable
from concurrent.futures import CancelledError, Future, wait
from dataclasses import dataclass, field
from threading import Lock, Thread
from typing import Any, TypeVar

import streamlit as st

from llavit_lens.explorer.wording import escape_markdown
from llavit_lens.steps import step_line

EVERY = 0.25
"""Seconds between two updates of the page."""
BRIEF = 0.3
"""Seconds; finished steps that took less get no line."""
WAITING = "Waiting for other work"
Result = TypeVar("Result")


@dataclass
class Step:
    """One step of the work.

    Attributes:
        name: what is done.
        started, ended: seconds of a monotonic clock; None while it lasts.
        done, total: how much of it is done, of how much; 0 of 0 if unknown.
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
        seconds = (self.ended or now) - self.started
        return f"{step_line(self.name, self.done, self.total)}, {seconds:.0f} s"


@dataclass
class Progress:
    """The steps so far; written by the work, in any of its threads, and read by the page."""

    steps: list[Step] = field(default_factory=lambda: [Step(WAITING, time.monotonic())])
    on_start: Callable[[], None] = lambda: None
    """Called at the first step after `WAITING`; it may raise."""
    _lock: Lock = field(default_factory=Lock)

    def watch(self, name: str, done: int = 0, total: int = 0) -> None:
        """As `llavit_lens.model.progress.Watch`. A new step ends the last one."""
        now = time.monotonic()
        if self.steps[-1].name == WAITING:
            self.on_start()
        with self._lock:
            if self.steps[-1].name != name:
                self.steps[-1].ended = now
                self.steps.append(Step(name, now))
            step = self.steps[-1]
            step.done, step.total = max(step.done, done), max(step.total, total)

    def text(self) -> str:
        """One line for the current step and for each finished step that was not brief."""
        now = time.monotonic()
        lines = [
            f"{'✓' if step.ended else '…'} {escape_markdown(step.line(now))}"
            for step in list(self.steps)
            if step.ended is None or step.ended - step.started > BRIEF
        ]
        return "  \n".join(lines)


@dataclass
class _Job:
    """Work in its own thread, and the number of pages that wait for it."""

    progress: Progress = field(default_factory=Progress)
    future: Future[Any] = field(default_factory=Future)
    waiting: int = 0


_jobs: dict[Hashable, _Job] = {}
_jobs_lock = Lock()


def _joined(key: Hashable, work: Callable[[Progress], Result]) -> _Job:
    """The running job of this key, or a new one; one more page waits for it."""
    with _jobs_lock:
        job = _jobs.get(key)
        if new := job is None:
            job = _jobs[key] = _Job()
        job.waiting += 1
    if new:
        # a daemon: the server can end while a model loads
        Thread(target=_run, args=(key, job, work), name="explorer-work", daemon=True).start()
    return job


def _run(key: Hashable, job: _Job, work: Callable[[Progress], Result]) -> None:
    def forget() -> None:
        if _jobs.get(key) is job:
            del _jobs[key]

    def check_waiting() -> None:
        with _jobs_lock:
            if not job.waiting:
                forget()
                raise CancelledError

    job.progress.on_start = check_waiting
    try:
        result = work(job.progress)
    except BaseException as error:
        with _jobs_lock:
            forget()
        job.future.set_exception(error)
    else:
        with _jobs_lock:
            forget()
        job.future.set_result(result)


def run_and_show(title: str, key: Hashable, work: Callable[[Progress], Result]) -> Result:
    """The result of `work`; meanwhile the page shows its progress.

    Work of a key that runs already is not started twice. If Streamlit stops the page meanwhile,
    work that has started goes on, and its result is there for the next run. Work that still waits
    ends when its turn comes, if no page waits for it any more.

    Args:
        title: of the model.
        key: what the result depends on.
        work: reports its first step when its turn has come.

    Raises:
        Whatever `work` raises.
    """
    place, job = st.empty(), _joined(key, work)
    progress, future = job.progress, job.future
    try:
        started, last_text = time.monotonic(), ""
        with place.status(f"Reading with {escape_markdown(title)}", expanded=True) as status:
            lines, bar = st.empty(), st.empty()
            while wait([future], timeout=EVERY).not_done:
                if (text := progress.text()) == last_text:
                    continue
                last_text = text
                seconds = time.monotonic() - started
                status.update(label=f"Reading with {escape_markdown(title)}, {seconds:.0f} s")
                lines.markdown(text)
                share = progress.steps[-1].share()
                if share is None:
                    bar.empty()
                else:
                    bar.progress(share)
        place.empty()
        return future.result()
    finally:
        with _jobs_lock:
            job.waiting -= 1
