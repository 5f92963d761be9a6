"""How likely an answer is, against a plain pass of the model: also where its forward makes the
logits of all tokens, and where copies of a prompt run together."""

from __future__ import annotations

import pytest
import torch
from family_cases import CASES
from family_images import TALL, WIDE, noise

import llavit_lens as ll
from llavit_lens.errors import ConfigurationError
from llavit_lens.vlm.answers import log_prob_of_tokens

NAMES = ("video_llama_3", "minicpmv4_6", "qwen2_5_vl", "idefics3", "gemma3")
IDS = [5, 9, 7]


@torch.no_grad()
@pytest.mark.parametrize("name", NAMES)
def test_a_plain_pass_says_the_same(name: str) -> None:
    case = CASES[name]
    vlm = case.vlm()
    seen = set()
    for image in (noise(TALL), noise(WIDE, 1)):
        prompt = vlm.prepare(image, case.prompt)
        answer = torch.tensor(IDS)
        logits = vlm.forward(prompt, answer=answer).logits[0].float()
        rows = logits[-len(IDS) - 1 : -1].log_softmax(-1)
        expected = float(rows[torch.arange(len(IDS)), answer].double().sum())
        value = ll.answer_log_prob(vlm, image, case.prompt, IDS)
        assert value == pytest.approx(expected, rel=1e-5)
        copies = log_prob_of_tokens(vlm, prompt, answer, copies=3)
        assert copies.tolist() == pytest.approx([expected] * 3, rel=1e-4)
        seen.add(round(value, 4))
    assert len(seen) == 2, "the value does not depend on the image"


def test_a_prompt_has_no_padding() -> None:
    case = CASES["qwen2_5_vl"]
    vlm = case.vlm()
    vlm.processor_options = {"text_kwargs": {"padding": "max_length", "max_length": 99}}
    with pytest.raises(ConfigurationError, match="fills the prompt up with padding"):
        vlm.prepare(noise(), case.prompt)


def test_text_has_no_image_to_choose() -> None:
    case = CASES["qwen2_5_vl"]
    trace = case.vlm().trace(noise(), case.prompt, tokens="all")
    with pytest.raises(ConfigurationError, match="this trace is of text"):
        ll.logit_lens(trace.text, image=0)  # type: ignore[call-overload]
