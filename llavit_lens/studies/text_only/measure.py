"""What a model knows without an image: questions in text alone, to a VLM or a plain LLM."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from llavit_lens.errors import ConfigurationError
from llavit_lens.studies.text_only.right import is_right
from llavit_lens.studies.text_only.text_model import (
    TextModel,
    plain_decoder,
    text_inputs,
    text_model,
)
from llavit_lens.studies.text_only.text_questions import TextQuestion
from llavit_lens.vlm.finite import finite_passes
from llavit_lens.vlm.vlm import VLM

_NEW_TOKENS = 8
_BATCH = 16


class TextResult(NamedTuple):
    """How a model answered.

    Attributes:
        text: the start of its answer, greedy.
        right: whether its first word is the right answer's, see `is_right`.
        nll: -log p(right answer | question) in nats, summed over the answer's tokens.
    """

    text: str
    right: bool
    nll: float


@torch.no_grad()
def ask(llm: TextModel, questions: Sequence[TextQuestion]) -> Iterator[TextResult]:
    """Answers, one for each question, in order.

    Raises:
        ConfigurationError: a question that holds the image token, or an answer without tokens.
    """
    for first in range(0, len(questions), _BATCH):
        batch = questions[first : first + _BATCH]
        prompts = [llm.prompt(one.question) for one in batch]
        with finite_passes(llm.model, llm.name):
            texts = _generate(llm, prompts)
            nll = [
                _nll(llm, prompt, one.answer) for prompt, one in zip(prompts, batch, strict=True)
            ]
        for one, text, cost in zip(batch, texts, nll, strict=True):
            yield TextResult(text, is_right(text, one.answer), cost)


@torch.no_grad()
def difference_from_plain_decoder(vlm: VLM, questions: Sequence[TextQuestion]) -> float:
    """The largest difference of logits between a VLM without an image and transformers' own
    decoder of its family with the VLM's text weights, W^text of Eq. 6 among them.

    Without visual tokens there is nothing that LLaViT changes, so it should be 0.
    """
    llm, plain = text_model(vlm), plain_decoder(vlm)
    largest = 0.0
    for one in questions:
        inputs = text_inputs(llm, [llm.prompt(one.question)])
        with finite_passes(vlm.model, vlm.name):
            logits = vlm.model(**inputs, use_cache=False).logits
        largest = max(
            largest, (logits - plain(**inputs, use_cache=False).logits).abs().max().item()
        )
    return largest


def _generate(llm: TextModel, prompts: Sequence[str]) -> list[str]:
    inputs = text_inputs(llm, prompts)
    ids = llm.model.generate(
        **inputs,
        max_new_tokens=_NEW_TOKENS,
        do_sample=False,
        pad_token_id=llm.tokenizer.pad_token_id,
    )
    new = ids[:, inputs["input_ids"].shape[1] :]
    return llm.tokenizer.batch_decode(new, skip_special_tokens=True)


def _nll(llm: TextModel, prompt: str, answer: str) -> float:
    """-log p of the answer's tokens: those after the tokens that prompt and both share."""
    text = answer if prompt[-1:].isspace() else f" {answer}"
    before, both = (text_inputs(llm, [part])["input_ids"][0] for part in (prompt, prompt + text))
    count = len(both) - len(before)
    if count <= 0 or not torch.equal(both[: len(before)], before):
        raise ConfigurationError(
            f"the answer {answer!r} has no tokens of its own after its question; write another"
        )
    logits: Tensor = llm.model(
        input_ids=both[None], attention_mask=torch.ones_like(both[None]), use_cache=False
    ).logits[0]
    log_p = logits[len(before) - 1 : -1].float().log_softmax(-1)
    return -log_p.gather(1, both[len(before) :, None].to(log_p.device)).double().sum().item()
