"""What a person sees while they wait, and that the work does not depend on it."""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Event, Thread

import pytest
from streamlit.testing.v1 import AppTest

from llavit_lens.explorer import waiting
from llavit_lens.explorer.waiting import Progress
from llavit_lens.steps import READ

pytestmark = pytest.mark.long


def test_progress_says_what_is_done_and_how_far(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 5.0, 6.0, 7.0, 20.0, 30.0])
    monkeypatch.setattr(waiting.time, "monotonic", lambda: next(clock))
    progress = Progress()
    progress.watch(READ, 0, 14_200_000_000)
    progress.watch(READ, 3_100_000_000, 14_200_000_000)
    progress.watch(READ, 2_000_000_000, 14_200_000_000)  # another thread, a little late
    assert progress.steps[-1].share() == pytest.approx(3.1 / 14.2)
    progress.watch("Looking_at *it*")
    lines = progress.text().split("  \n")
    assert lines == [
        r"✓ Waiting for other work, 5 s",
        r"✓ Reading the weights\: 3\.1 of 14\.2 GB, 15 s",
        r"… Looking\_at \*it\*, 10 s",
    ]


def script() -> None:
    import time

    import streamlit as st

    from llavit_lens.errors import ConfigurationError
    from llavit_lens.explorer.waiting import run_and_show

    fails = st.session_state.get("fails")

    def work(progress):  # AppTest runs this function without the imports above
        progress.watch("Building the model", 1, 4)
        time.sleep(0.8)
        if fails:
            raise ConfigurationError("it does not work")
        return "ready"

    try:
        st.text(run_and_show("<b>", bool(fails), work))
    except ConfigurationError as error:
        st.error(str(error))


def test_the_page_shows_the_progress_and_then_the_result() -> None:
    said = []
    page = AppTest.from_function(script, default_timeout=60)
    original = Progress.text
    try:
        Progress.text = lambda progress: said.append(original(progress)) or said[-1]
        page.run()
    finally:
        Progress.text = original
    assert any("Building the model\\: 25%" in text for text in said)
    assert page.text[0].value == "ready" and not page.status and not page.exception
    page.session_state["fails"] = True
    page.run()
    assert page.error[0].value == "it does not work" and not page.status


def test_a_page_that_is_stopped_leaves_the_work_to_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    class Stopped(Exception):
        pass

    started, may_end, ended = Event(), Event(), Event()

    def work(progress: Progress) -> None:
        started.set()
        may_end.wait(30)
        ended.set()

    class Place:
        def status(self, *args: object, **options: object) -> None:
            raise Stopped

    monkeypatch.setattr(waiting.st, "empty", Place)
    before = time.monotonic()
    with pytest.raises(Stopped):
        waiting.run_and_show("a model", "key", work)
    assert time.monotonic() - before < 20 and not ended.is_set()
    started.wait(30)
    may_end.set()
    assert ended.wait(30)


def test_work_that_no_page_waits_for_ends_when_its_turn_comes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Stopped(Exception):
        pass

    class Place:
        def status(self, *args: object, **options: object) -> None:
            raise Stopped

    turn, done = Event(), []

    def work(name: str) -> Callable[[Progress], str]:
        def run(progress: Progress) -> str:
            turn.wait(30)
            progress.watch("Finding the model")
            done.append(name)
            return name

        return run

    monkeypatch.setattr(waiting.st, "empty", Place)
    for name in ("abandoned", "abandoned", "wanted"):
        with pytest.raises(Stopped):
            waiting.run_and_show("a model", name, work(name))
    assert len(waiting._jobs) == 2  # the same is not begun twice
    gone, job = waiting._jobs["abandoned"], waiting._joined("wanted", work("again"))
    turn.set()
    assert job.future.result(30) == "wanted"
    assert isinstance(gone.future.exception(30), waiting.CancelledError)
    assert done == ["wanted"] and not waiting._jobs


def test_reports_from_many_threads_are_one_step() -> None:
    progress = Progress()
    threads = [Thread(target=progress.watch, args=("Downloading", n, 99)) for n in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [step.name for step in progress.steps[1:]] == ["Downloading"]
    assert progress.steps[-1].done == 39
