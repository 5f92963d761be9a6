"""What a model knows without a picture: questions in text alone, to a VLM or a plain LLM."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor
from transformers import AutoModelForCausalLM

from llavit_lens.errors import ConfigurationError
from llavit_lens.vlm.finite import finite_passes
from llavit_lens.vlm.length import check_length
from llavit_lens.vlm.vlm import VLM

_ARTICLES = ("a", "an", "the")
_CLAUSE_END = re.compile(r"[.,:;!?()\n]|\s[-–—]\s")
_NEW_TOKENS = 8
_BATCH = 16


class TextQuestion(NamedTuple):
    """A question in text alone.

    Attributes:
        question: with all that it needs to be answered.
        answer: the right answer.
        category: of questions that are counted together.
        group: a number that questions about one text share: they are drawn together.
    """

    question: str
    answer: str
    category: str
    group: int


class TextResult(NamedTuple):
    """How a model answered.

    Attributes:
        said: the start of its answer, greedy.
        right: whether its first word is the right answer's, see `is_right`.
        nll: -log p(right answer | question) in nats, summed over the answer's tokens.
    """

    said: str
    right: bool
    nll: float


@dataclass(frozen=True)
class TextModel:
    """A model that is asked in text alone.

    Attributes:
        name: as the user wrote it.
        model: a causal language model of transformers, or a VLM's.
        tokenizer: its tokenizer.
        prompt: puts a question into its chat format.
    """

    name: str
    model: Any
    tokenizer: Any
    prompt: Callable[[str], str]


def text_model(vlm: VLM) -> TextModel:
    """A VLM, to be asked without a picture."""
    processor = vlm.processor

    def prompt(question: str) -> str:
        if processor.image_token in question:
            raise ConfigurationError(
                f"a question holds {processor.image_token}, but is asked without a picture: "
                f"{question[:60]!r}"
            )
        if processor.chat_template is None:
            return f"USER: {question} ASSISTANT:"
        messages = [{"role": "user", "content": [{"type": "text", "text": question}]}]
        return processor.apply_chat_template(messages, add_generation_prompt=True)

    return TextModel(vlm.name, vlm.model, vlm.tokenizer, prompt)


@torch.no_grad()
def ask(asked: TextModel, questions: Sequence[TextQuestion]) -> Iterator[TextResult]:
    """Answers, one for each question, in order.

    Raises:
        ConfigurationError: a question that holds the image token, or an answer without tokens.
    """
    for first in range(0, len(questions), _BATCH):
        batch = questions[first : first + _BATCH]
        prompts = [asked.prompt(one.question) for one in batch]
        with finite_passes(asked.model, asked.name):
            said = _generate(asked, prompts)
            nll = [
                _nll(asked, prompt, one.answer) for prompt, one in zip(prompts, batch, strict=True)
            ]
        for one, text, cost in zip(batch, said, nll, strict=True):
            yield TextResult(text, is_right(text, one.answer), cost)


def is_right(said: str, answer: str) -> bool:
    """Whether both start with the same word; an article in front of it does not count.

    An answer that is an article, such as the letter A, has to stand alone up to the first mark or
    line's end: "A." and "A: a dog", not "A dog".
    """
    words, wanted = plain_words(said), plain_words(answer)
    if wanted and set(wanted) <= set(_ARTICLES):
        clauses = map(plain_words, _CLAUSE_END.split(said))
        return next((clause for clause in clauses if clause), []) == wanted
    return bool(wanted) and _content(wanted) in (words[:1], _content(words))


def plain_words(text: str) -> list[str]:
    """In lower case, without punctuation around them."""
    words = (word.strip(".,:;!?()\"'").lower() for word in text.split())
    return [word for word in words if word]


def _content(words: list[str]) -> list[str]:
    """The first word that is no article, or the last."""
    found = next((word for word in words if word not in _ARTICLES), None)
    return words[-1:] if found is None else [found]


@torch.no_grad()
def difference_from_plain_decoder(vlm: VLM, questions: Sequence[TextQuestion]) -> float:
    """The largest difference of logits between a VLM without a picture and transformers' own
    decoder of its family with the VLM's text weights, W^text of Eq. 6 among them.

    Without visual tokens there is nothing that LLaViT changes, so it should be 0.
    """
    asked, plain = text_model(vlm), plain_decoder(vlm)
    largest = 0.0
    for one in questions:
        inputs = _tokens(asked, [asked.prompt(one.question)])
        with finite_passes(vlm.model, vlm.name):
            own = vlm.model(**inputs, use_cache=False).logits
        largest = max(largest, (own - plain(**inputs, use_cache=False).logits).abs().max().item())
    return largest


def plain_decoder(vlm: VLM) -> Any:
    """transformers' own language model of the decoder's family, which shares the VLM's weights."""
    decoder: Any = vlm.decoder.module
    config = vlm.model.config.get_text_config()
    with torch.device("meta"):
        plain = AutoModelForCausalLM.from_config(config)
    weights = {
        f"model.{key}": weight
        for key, weight in decoder.state_dict().items()
        if "_visual" not in key
    }
    weights["lm_head.weight"] = vlm.decoder.head.weight
    plain.load_state_dict(weights, assign=True)
    plain.model.rotary_emb = decoder.rotary_emb  # its frequencies are in no state dict
    plain.set_attn_implementation(vlm.decoder.attn_implementation)
    return plain.eval()


def _tokens(asked: TextModel, prompts: Sequence[str]) -> Any:
    # a chat template may have written the start token already
    start = asked.tokenizer.bos_token
    inputs = asked.tokenizer(
        list(prompts),
        return_tensors="pt",
        padding=len(prompts) > 1,
        padding_side="left",
        add_special_tokens=not (start and prompts[0].startswith(start)),
    )
    check_length(asked.model.config, inputs["input_ids"].shape[1])
    return inputs.to(asked.model.device)


def _generate(asked: TextModel, prompts: Sequence[str]) -> list[str]:
    inputs = _tokens(asked, prompts)
    ids = asked.model.generate(
        **inputs,
        max_new_tokens=_NEW_TOKENS,
        do_sample=False,
        pad_token_id=asked.tokenizer.pad_token_id,
    )
    new = ids[:, inputs["input_ids"].shape[1] :]
    return asked.tokenizer.batch_decode(new, skip_special_tokens=True)


def _nll(asked: TextModel, prompt: str, answer: str) -> float:
    """Of the tokens after those that prompt and prompt + answer share: the answer's."""
    text = answer if prompt[-1:].isspace() else f" {answer}"
    before, both = (_tokens(asked, [part])["input_ids"][0] for part in (prompt, prompt + text))
    count = len(both) - len(before)
    if count <= 0 or not torch.equal(both[: len(before)], before):
        raise ConfigurationError(
            f"the answer {answer!r} has no tokens of its own after its question; write another"
        )
    logits: Tensor = asked.model(
        input_ids=both[None], attention_mask=torch.ones_like(both[None]), use_cache=False
    ).logits[0]
    log_p = logits[len(before) - 1 : -1].float().log_softmax(-1)
    return -log_p.gather(1, both[len(before) :, None].to(log_p.device)).double().sum().item()
