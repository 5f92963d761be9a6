"""Conversations to token ids and labels: ChatML as in Qwen, and the plain captions of stage 1.

Source: LLaVA's `preprocess_plain` (stage 1: the image, then the caption and a newline; only text is
a target) and LLaVA-NeXT's `preprocess_qwen` (stage 2: ChatML; the assistant's turns are targets,
header included). That it also makes every newline and turn marker a target is an option here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from transformers import PreTrainedTokenizerBase

IGNORE = -100  # label of tokens that are not a target
IMAGE = "<image>"
SYSTEM = "You are a helpful assistant."

# ChatML with "<image>\n" in front of the user's text; what `encode_chat` writes, token by token.
CHAT_TEMPLATE = (
    "{% if messages[0]['role'] != 'system' %}<|im_start|>system\n"
    + SYSTEM
    + "<|im_end|>\n{% endif %}"
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{% if message['content'] is string %}{{ message['content'] }}"
    "{% else %}{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}" + IMAGE + "\n{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def token_id(tokenizer: PreTrainedTokenizerBase, token: str) -> int:
    """Id of one token."""
    return tokenizer.get_vocab()[token]


class Encoded(NamedTuple):
    """One training example, unpadded; an image is still a single image token."""

    input_ids: list[int]
    labels: list[int]  # IGNORE where the token is not a target


def encode_plain(tokenizer: PreTrainedTokenizerBase, caption: str, image: bool = True) -> Encoded:
    """Stage 1: `<image>caption\\n`; everything but the image is a target."""
    head = [tokenizer.convert_tokens_to_ids(IMAGE)] if image else []
    ids = tokenizer(caption + "\n", add_special_tokens=False)["input_ids"]
    return Encoded(head + ids, [IGNORE] * len(head) + ids)


def encode_chat(
    tokenizer: PreTrainedTokenizerBase,
    turns: Sequence[tuple[str, str]],
    *,
    system: str = SYSTEM,
    train_on_markers: bool = False,
) -> Encoded:
    """Stage 2: ChatML of alternating (user, assistant) texts.

    `train_on_markers` also makes a target of every newline, <|im_start|> and <|im_end|>, those of
    the system and user turns included, as LLaVA-NeXT does for Qwen. It teaches the last visual
    token to predict the newline that follows it: the artifact of the paper's Appendix C.2.
    """
    markers: set[int] = set()
    if train_on_markers:
        markers |= {token_id(tokenizer, marker) for marker in ("<|im_start|>", "<|im_end|>")}
        markers |= set(tokenizer("\n", add_special_tokens=False)["input_ids"])
    ids: list[int] = []
    labels: list[int] = []

    def add(role: str, text: str) -> None:
        turn = f"<|im_start|>{role}\n{text}<|im_end|>\n"
        new = tokenizer(turn, add_special_tokens=False)["input_ids"]
        ids.extend(new)
        if role == "assistant":
            labels.extend(new)
        elif train_on_markers:
            labels.extend(i if i in markers else IGNORE for i in new)
        else:
            labels.extend([IGNORE] * len(new))

    add("system", system)
    for user, assistant in turns:
        add("user", user)
        add("assistant", assistant)
    return Encoded(ids, labels)


def expand_image(example: Encoded, image_token_id: int, length: int) -> Encoded:
    """Write the image token `length` times, once for each visual token; labels are IGNORE there."""
    ids: list[int] = []
    labels: list[int] = []
    for token, label in zip(example.input_ids, example.labels, strict=True):
        n = length if token == image_token_id else 1
        ids.extend([token] * n)
        labels.extend([IGNORE if token == image_token_id else label] * n)
    return Encoded(ids, labels)
