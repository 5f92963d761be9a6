"""One forward pass over a prompt or several: batches, answers, copies, and what a pass reads."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tiny import PROMPT, tiny_image
from tiny_vlm import FAMILIES, tiled_vlm, tiny_vlm

import llavit_lens as ll
from llavit_lens.vlm.prompt import Prompt, collate
from llavit_lens.vlm.vlm import VLM

QUESTIONS = ("What?", f"a blue circle. {PROMPT}", PROMPT)  # of three lengths
KINDS = (*FAMILIES, "llava_next", "spatial_unpad")


def a_vlm(kind: str) -> VLM:
    return tiny_vlm(kind) if kind in FAMILIES else tiled_vlm(kind)


def some_prompts(vlm: VLM) -> list[Prompt]:
    """Of different lengths; in tiles, of different numbers of them."""
    sizes = ((60, 30), (30, 30), (30, 60))
    return [
        vlm.prepare(tiny_image(seed, *size), question)
        for seed, (size, question) in enumerate(zip(sizes, QUESTIONS, strict=True))
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_a_batch_is_the_one_that_the_processor_makes(kind: str) -> None:
    vlm = a_vlm(kind)
    prompts = some_prompts(vlm)
    expected = vlm.processor(
        images=[one.image for one in prompts],
        text=[one.text for one in prompts],
        return_tensors="pt",
        padding=True,
        padding_side="left",
        add_special_tokens=not prompts[0].text.startswith(vlm.tokenizer.bos_token or "<none>"),
    )
    inputs = collate(prompts, vlm.tokenizer.pad_token_id)
    assert set(inputs) == set(expected)
    for name, value in expected.items():
        assert torch.equal(inputs[name], value), name


@pytest.mark.parametrize("kind", KINDS)
def test_a_batch_says_what_its_prompts_say_alone(kind: str) -> None:
    vlm = a_vlm(kind)
    prompts = some_prompts(vlm)
    answer = torch.tensor([5, 7])
    together = vlm.forward(prompts, answer=answer, copies=2, logits_to_keep=3).logits
    alone = [vlm.forward(one, answer=answer, logits_to_keep=3).logits[0] for one in prompts]
    for row, logits in enumerate(together):
        expected = alone[row // 2]
        assert (logits - expected).abs().max() <= 64 * 2.0**-24 * expected.abs().max()
    options = {"max_new_tokens": 4, "suppress_tokens": [vlm.image_token_id]}
    said = vlm.generate_batch(prompts, **options)
    assert said == [vlm.generate_batch([one], **options)[0] for one in prompts]
    assert len(set(said)) > 1


@pytest.mark.parametrize("edge", [("last", ll.Box(14, 14, 27, 27)), ([-1, -2], "visual")])
def test_a_batch_knows_its_layouts_and_lengths(edge: tuple) -> None:
    """Regions, and places that count from the end of each prompt."""
    vlm = tiny_vlm("llavit")
    prompts = some_prompts(vlm)
    plain = [vlm.forward(one, logits_to_keep=1).logits[0] for one in prompts]
    with ll.knock_out(vlm, edge, layers=[0, 1]):
        together = vlm.forward(prompts, logits_to_keep=1).logits
        alone = [vlm.forward(one, logits_to_keep=1).logits[0] for one in prompts]
        assert len(vlm.generate_batch(prompts, 3, num_beams=2)) == len(prompts)
    for logits, expected, before in zip(together, alone, plain, strict=True):
        assert (logits - expected).abs().max() <= 64 * 2.0**-24 * expected.abs().max()
        assert (expected - before).abs().max() > 1e-4


def test_hooks_of_one_pass() -> None:
    vlm = tiny_vlm("llavit")
    prompt = vlm.prepare(tiny_image(), PROMPT)
    seen: list[str] = []
    hooks = [("resid_post", lambda state, hook: seen.append(hook.name))]
    hooked = vlm.forward(prompt, fwd_hooks=hooks).logits
    assert len(seen) == vlm.decoder.n_layers
    assert torch.equal(hooked, vlm.forward(prompt).logits)
    assert len(seen) == vlm.decoder.n_layers


def test_no_prompts() -> None:
    vlm = tiny_vlm("llavit")
    with pytest.raises(ll.ConfigurationError, match="no prompt to run"):
        vlm.forward([])
    assert vlm.generate_batch([]) == []


def test_what_is_no_prompt_is_named() -> None:
    vlm = tiny_vlm("llavit")
    prompt = vlm.prepare(tiny_image(), PROMPT)
    for given, name in ((PROMPT, repr(PROMPT)), ([prompt, "text"], "'text'"), (3, "a int")):
        for run in (vlm.forward, vlm.generate_batch):
            with pytest.raises(ll.ConfigurationError) as error:
                run(given)
            assert str(error.value).startswith(f"{name} is no prompt; give what vlm.prepare(")


def test_an_answer_holds_no_image() -> None:
    vlm = tiny_vlm("llavit")
    answer = torch.tensor([5, vlm.image_token_id])
    with pytest.raises(ll.ConfigurationError, match="holds the image token <image>; leave it out"):
        vlm.forward(vlm.prepare(tiny_image(), PROMPT), answer=answer)


def test_lengths_may_be_numbers_of_numpy() -> None:
    vlm = tiny_vlm("llavit")
    prompt = vlm.prepare(tiny_image(), PROMPT)
    logits = []
    for length in (prompt.length, np.int64(prompt.length), [np.int64(prompt.length)]):
        with ll.knock_out(vlm, ([-2], "visual")), vlm.reading(prompt.layout, length=length):
            logits.append(vlm.model(**prompt.inputs).logits)
    assert torch.equal(logits[0], logits[1]) and torch.equal(logits[0], logits[2])
