"""Threads take turns with a model, and interventions act in the thread that opened them."""

from __future__ import annotations

import asyncio
import pickle
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack
from copy import deepcopy
from threading import Barrier, Thread
from typing import Any

import pytest
import torch
from tiny import tiny_image
from tiny_vlm import tiny_vlm

import llavit_lens as ll
from llavit_lens.errors import ConfigurationError
from llavit_lens.interventions import attention_changes
from llavit_lens.interventions.rebuilt_attention import RebuiltChanges
from llavit_lens.vlm import turns
from llavit_lens.vlm.pass_inputs import PassInputs
from llavit_lens.vlm.turns import reading_of
from llavit_lens.vlm.vlm import VLM

# of different sizes, so that their layouts differ
IMAGES = [tiny_image(0), tiny_image(1, 60, 30), tiny_image(2, 30, 60), tiny_image(3, 90, 30)]
REFUSED = "open in thread"
OPENED: dict[str, Callable[[VLM], AbstractContextManager[None]]] = {
    "knock_out": lambda vlm: ll.knock_out(vlm, "last->visual"),
    "ablated": lambda vlm: ll.ablate_visual_attention(vlm),
    "ablated head": lambda vlm: ll.ablate_visual_attention(vlm, heads=0),
    "projections": lambda vlm: ll.text_projections(vlm),
    "patch": lambda vlm: ll.patch(vlm, IMAGES[0]),
    "hooks": lambda vlm: vlm.hooks([("resid_post", lambda *_: None)]),
}


@pytest.fixture(autouse=True)
def many_switches() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


@pytest.fixture
def vlm() -> VLM:
    return tiny_vlm("llavit")


def in_thread(function: Callable[[], Any]) -> Any:
    with ThreadPoolExecutor(1, thread_name_prefix="other") as pool:
        return pool.submit(function).result(timeout=60)


CALLS: dict[str, Callable[[VLM, Any], Any]] = {
    "run": lambda vlm, image: vlm.run(image),
    "cache": lambda vlm, image: vlm.run_with_cache(image, names_filter="resid_post")[1][
        "resid_post", 2
    ],
    "lens": lambda vlm, image: torch.as_tensor(ll.logit_lens(vlm.trace(image), k=2).values),
    "hooks": lambda vlm, image: vlm.run_with_hooks(
        image, fwd_hooks=[("blocks.1.hook_attn_out", lambda out, hook: 0 * out)]
    ),
    "patterns": lambda vlm, image: torch.as_tensor(ll.attention_patterns(vlm, image).weights),
    "answer": lambda vlm, image: torch.tensor(ll.answer_log_prob(vlm, image, "What?", " red")),
    "generate": lambda vlm, image: torch.tensor(
        [ord(letter) for letter in vlm.generate(image, max_new_tokens=3, min_new_tokens=3)]
    ),
}


@pytest.mark.long
def test_threads_get_what_each_gets_alone(vlm: VLM) -> None:
    work = [(name, image) for _ in range(4) for name in CALLS for image in IMAGES]
    alone = [CALLS[name](vlm, image) for name, image in work[: len(work) // 4]] * 4
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda one: CALLS[one[0]](vlm, one[1]), work))
    for one, other, (name, _) in zip(alone, together, work, strict=True):
        assert torch.equal(one, other), name
    assert reading_of(vlm.model) == PassInputs()


def test_vlms_around_one_model_take_turns_too(vlm: VLM) -> None:
    vlms = [
        vlm,
        VLM(vlm.model, vlm.processor, "second"),
        VLM(torch.compile(vlm.model, backend="eager"), vlm.processor, "third"),
    ]
    alone = [CALLS["cache"](vlm, image) for image in IMAGES]
    with ThreadPoolExecutor(3) as pool:
        work = [(one, image) for _ in range(8) for image in IMAGES for one in vlms]
        together = list(pool.map(lambda one: CALLS["cache"](*one), work))
    for index, other in enumerate(together):
        assert torch.equal(other, alone[index // len(vlms) % len(IMAGES)])
    with OPENED["knock_out"](vlms[0]), pytest.raises(ConfigurationError, match=REFUSED):
        in_thread(lambda: vlms[2].run(IMAGES[0]))


@pytest.mark.parametrize("opened", OPENED)
def test_inside_an_intervention_other_threads_are_refused(vlm: VLM, opened: str) -> None:
    plain = vlm.run(IMAGES[1])
    with OPENED[opened](vlm):
        expected = vlm.run(IMAGES[1])
        for call in CALLS.values():
            with pytest.raises(ConfigurationError, match=REFUSED):
                in_thread(lambda call=call: call(vlm, IMAGES[1]))
        for other in OPENED.values():
            with pytest.raises(ConfigurationError, match=REFUSED):
                in_thread(lambda other=other: other(vlm).__enter__())
        # past the VLM, its hooks find it
        inputs = vlm.prepare(IMAGES[1]).inputs
        with pytest.raises(ConfigurationError, match=REFUSED):
            in_thread(lambda: vlm.model(**inputs))
        with pytest.raises(ConfigurationError, match=REFUSED):
            in_thread(lambda: vlm.model.generate(**inputs, max_new_tokens=2))
        assert torch.equal(vlm.run(IMAGES[1]), expected)
    assert torch.equal(in_thread(lambda: vlm.run(IMAGES[1])), plain)


def test_opened_and_used_in_a_worker_it_acts_there(vlm: VLM) -> None:
    def work() -> Any:
        with OPENED["knock_out"](vlm):
            return vlm.run(IMAGES[0])

    with OPENED["knock_out"](vlm):
        expected = vlm.run(IMAGES[0])
    assert torch.equal(in_thread(work), expected)


def test_what_is_opened_in_one_thread_and_used_in_others_is_never_mixed_up(vlm: VLM) -> None:
    """Each thread gets its own right answer, or is refused."""
    with OPENED["knock_out"](vlm):
        cut = [vlm.run(image) for image in IMAGES]
    plain = [vlm.run(image) for image in IMAGES]
    barrier, answers = Barrier(2), 0

    def work(index: int) -> None:
        nonlocal answers
        image = index % len(IMAGES)
        barrier.wait(timeout=60)
        try:
            if index % 2:
                with OPENED["knock_out"](vlm):
                    got, expected = vlm.run(IMAGES[image]), cut[image]
            else:
                got, expected = vlm.run(IMAGES[image]), plain[image]
        except ConfigurationError as error:
            assert REFUSED in str(error)
            return
        assert torch.equal(got, expected)
        answers += 1

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(work, range(24)))
    assert answers >= 12  # of two at once, at most one is refused
    assert [torch.equal(vlm.run(image), own) for image, own in zip(IMAGES, plain, strict=True)]


def test_an_intervention_waits_for_the_pass_of_another_thread(vlm: VLM) -> None:
    """It does not begin in the middle of it, and nor does its kind of attention."""
    plain, begun, seen = vlm.run(IMAGES[0]), Barrier(2), []

    def slow(activation: Any, hook: Any) -> None:
        seen.append(vlm.model.model.language_model.config._attn_implementation)
        if len(seen) == 1:
            begun.wait(timeout=60)

    def work() -> Any:
        return vlm.run_with_hooks(IMAGES[0], fwd_hooks=[("resid_pre", slow)])

    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(work)
        begun.wait(timeout=60)
        with vlm.hooks([("pattern", lambda *_: None)]):
            assert future.done() or future.result(timeout=60) is not None
            assert seen == ["sdpa"] * 3
        assert torch.equal(future.result(), plain)


def test_threads_that_are_gone_can_be_followed(vlm: VLM) -> None:
    """An intervention that is left in another thread than it was opened in is left."""
    manager = OPENED["knock_out"](vlm)
    thread = Thread(target=manager.__enter__)
    thread.start()
    thread.join()
    with pytest.raises(ConfigurationError, match=REFUSED):
        vlm.run(IMAGES[0])
    manager.__exit__(None, None, None)
    vlm.run(IMAGES[0])


def test_the_final_norm_is_anybodys(vlm: VLM) -> None:
    """`Trace.norm` is the model's own, and it may be called in any thread."""
    trace, called = vlm.trace(IMAGES[0]), []

    def call_norm(*_: Any) -> None:
        called.append(in_thread(lambda: trace.norm(trace.hidden[1])))

    with vlm.hooks([("blocks.1.hook_mlp_out", call_norm)]):
        again = vlm.trace(IMAGES[0])
    assert torch.equal(called[0], trace.norm(trace.hidden[1]))
    assert torch.equal(again.hidden, trace.hidden)


def test_tasks_of_one_thread_are_told_apart(vlm: VLM) -> None:
    plain = vlm.run(IMAGES[0])

    async def intervene(opened: asyncio.Event, seen: asyncio.Event) -> None:
        with OPENED["knock_out"](vlm):
            opened.set()
            await seen.wait()
            assert not torch.equal(vlm.run(IMAGES[0]), plain)

    async def main() -> None:
        opened, seen = asyncio.Event(), asyncio.Event()
        task = asyncio.create_task(intervene(opened, seen), name="first")
        await opened.wait()
        with pytest.raises(ConfigurationError, match="open in task 'first'"):
            vlm.run(IMAGES[0])
        seen.set()
        await task
        assert torch.equal(vlm.run(IMAGES[0]), plain)

    asyncio.run(main())


def test_what_a_task_left_open_goes_on_in_the_next(vlm: VLM) -> None:
    """As in the cells of a notebook."""
    manager = OPENED["knock_out"](vlm)

    async def enter() -> None:
        manager.__enter__()

    async def run() -> Any:
        return vlm.run(IMAGES[0])

    async def main() -> Any:
        await asyncio.create_task(enter())
        return await asyncio.create_task(run())

    got = asyncio.run(main())
    assert torch.equal(vlm.run(IMAGES[0]), got)
    manager.__exit__(None, None, None)
    assert not torch.equal(vlm.run(IMAGES[0]), got)


def test_copies_and_pickles_of_a_vlm_take_turns_of_their_own(vlm: VLM) -> None:
    others = [deepcopy(vlm), pickle.loads(pickle.dumps(vlm))]
    expected = vlm.run(IMAGES[0])
    for other in [*others, deepcopy(vlm)]:
        with OPENED["knock_out"](vlm):
            assert torch.equal(in_thread(lambda other=other: other.run(IMAGES[0])), expected)


def test_a_thread_that_ended_in_its_turn_is_told(vlm: VLM, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a server's thread that entered `reading` in a generator and was given up."""
    monkeypatch.setattr(turns, "_PATIENCE", 0.05)
    entered = ExitStack()
    thread = Thread(target=lambda: entered.enter_context(vlm.reading()), name="gone")
    thread.start()
    thread.join()
    with pytest.raises(ConfigurationError, match="'gone' ended inside"):
        vlm.run(tiny_image())
    entered.pop_all()


def test_what_fails_on_entry_leaves_nothing_open(vlm: VLM, monkeypatch: pytest.MonkeyPatch) -> None:
    before = vlm.run(tiny_image())

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(RebuiltChanges, "_set_hooks_of_layer", interrupt)
        with pytest.raises(KeyboardInterrupt), ll.knock_out(vlm, "text->visual"):
            pass
    assert not attention_changes.is_changed(vlm.model)
    with ThreadPoolExecutor(1) as pool:  # another thread is let in, and meets no hook
        assert torch.equal(pool.submit(vlm.run, tiny_image()).result(), before)
