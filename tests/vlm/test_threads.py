"""Programs run small models on one thread; the library leaves torch's threads alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import pytest
import torch
from tiny import tiny_llavit, tiny_processor

import llavit_lens as ll
from llavit_lens.vlm import program, threads
from llavit_lens.vlm.threads import fit_threads


@pytest.fixture
def three(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """torch with three threads by default, and a user who chose nothing."""
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    threads._default.cache_clear()
    yield
    torch.set_num_threads(before)
    threads._default.cache_clear()


def test_a_small_model_gets_one_thread_and_a_large_one_the_default(
    three: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, seen = tiny_llavit(), []
    fit_threads(model)
    assert torch.get_num_threads() == 1
    other = Thread(target=lambda: seen.append(torch.get_num_threads()))
    other.start()
    other.join()
    assert seen == [1]  # the explorer works in threads
    monkeypatch.setattr(threads, "SMALL", 10)
    fit_threads(model)
    assert torch.get_num_threads() == 3


@pytest.mark.parametrize("name", ["OMP_NUM_THREADS", "MKL_NUM_THREADS"])
def test_the_choice_of_a_user_counts(
    three: None, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, "3")
    fit_threads(tiny_llavit())
    assert torch.get_num_threads() == 3


def test_programs_choose_and_the_library_does_not(three: None, tmp_path: Path) -> None:
    tiny_llavit().save_pretrained(tmp_path)
    tiny_processor().save_pretrained(tmp_path)
    ll.load(tmp_path)
    assert torch.get_num_threads() == 3
    assert program.load(tmp_path).name == str(tmp_path)
    assert torch.get_num_threads() == 1


def test_a_terminal_shows_how_far_the_loading_is(
    three: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from contextlib import contextmanager

    tiny_llavit().save_pretrained(tmp_path)
    tiny_processor().save_pretrained(tmp_path)
    said: list[str] = []

    @contextmanager
    def waiting(text: str) -> Iterator[object]:
        said.append(text)
        yield said.append

    monkeypatch.setattr(program, "waiting", waiting)
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    program.load(tmp_path)
    title = f"Loading {tmp_path}"
    assert said[0] == title
    assert any(text.startswith(f"{title}: Reading the weights: ") for text in said)
