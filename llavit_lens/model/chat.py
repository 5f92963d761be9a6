"""A question in the chat format of a checkpoint.

A chat template is a program that comes with a checkpoint. transformers lets it reach nothing but
its messages; here its time and the length of its text are limited, too.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from types import FrameType
from typing import Any

from jinja2 import Environment, TemplateError

from llavit_lens.errors import CheckpointError, one_line

_SECONDS = 5.0
_MOST_ADDED = 100_000
"""Characters that a template may put around a question."""
_LARGEST_NUMBER = 1_000_000


def image_mark(processor: Any) -> str:
    """The text that stands for one image in a prompt.

    It may be another token than the one that stands for a visual token, which the processor writes
    in its place.
    """
    if hasattr(processor, "full_image_sequence"):  # Gemma's, which older releases name otherwise
        return str(processor.boi_token)
    mark: str = getattr(processor, "image_placeholder_token", None) or processor.image_token
    return mark


def chat_prompt(processor: Any, question: str, name: str, images: int = 1) -> str | None:
    """The question after a place for each image; None if there is no template.

    Most templates take a message in parts, and some as one text.

    Args:
        processor: with a `chat_template`.
        question: without the image token.
        name: of the checkpoint, for messages.
        images: how many; 0 for a question in text alone.

    Raises:
        CheckpointError: the template is broken, does not end, writes without end, or does not write
            the image token once for each image.
    """
    if processor.chat_template is None:
        return None
    mark = image_mark(processor)
    in_parts = [{"type": "image"}] * images + [{"type": "text", "text": question}]
    in_text = "\n".join([*[mark] * images, question])
    faults: list[CheckpointError] = []
    for content in (in_parts, in_text):
        try:
            prompt = _applied(processor, content, name)
        except CheckpointError as error:
            faults.append(error)
            if isinstance(error.__cause__, TimeoutError):
                break
            continue
        if len(prompt) > len(question) + _MOST_ADDED:
            raise CheckpointError(f"{name}: its chat template writes more than any prompt has")
        count = prompt.count(mark)
        # a template for texts writes parts as Python shows them
        if count == images and not (content is in_parts and str(in_parts) in prompt):
            return prompt
        of_images = "one image, not once" if images == 1 else f"{images} images"
        faults.append(
            CheckpointError(
                f"{name}: its chat template writes the image token {mark} {count} times for "
                f"{of_images}"
            )
        )
    raise faults[0]


def take_template(processor: Any, name: str) -> None:
    """Give a processor without a chat template, in place, that of its tokenizer, where many
    repositories keep it; but not one that knows no images."""
    if processor.chat_template is not None:
        return
    processor.chat_template = getattr(processor.tokenizer, "chat_template", None)
    try:
        chat_prompt(processor, "What?", name)
    except CheckpointError:
        processor.chat_template = None


def _applied(processor: Any, content: Any, name: str) -> str:
    """What a template makes of one message of a user.

    Raises:
        CheckpointError: the template is broken or does not end.
    """
    messages = [{"role": "user", "content": content}]
    templates = processor.chat_template
    try:
        for template in templates.values() if isinstance(templates, dict) else [templates]:
            _refuse_large_numbers(template)
        with _time_limit():
            return str(processor.apply_chat_template(messages, add_generation_prompt=True))
    except Exception as error:  # the operations in a template may raise anything
        raise CheckpointError(
            f"{name}: its chat template is broken ({type(error).__name__}: {one_line(error)}); "
            "compare chat_template.jinja, or chat_template in tokenizer_config.json, with the "
            "published checkpoint's"
        ) from error


@lru_cache(maxsize=64)
def _refuse_large_numbers(template: str) -> None:
    """`'x' * 10**10` fills the memory in one step, where no limit of time can stop it.

    The template is split into tokens and not parsed: transformers adds tags of its own.
    """
    for token in Environment().lexer.tokenize(template):
        value: Any = token.value
        is_number = isinstance(value, (int, float))
        if token.type == "pow" or (is_number and value > _LARGEST_NUMBER):
            raise TemplateError("it calculates with numbers that no prompt needs")


@contextmanager
def _time_limit() -> Iterator[None]:
    """Raises TimeoutError inside, in any thread, as soon as a line of Python starts too late.

    Under a debugger there is no limit: it traces the lines itself.
    """
    before = sys.gettrace()
    if before is not None:
        yield
        return
    end = time.monotonic() + _SECONDS

    def check(frame: FrameType, event: str, argument: Any) -> Any:
        if time.monotonic() > end:
            raise TimeoutError(f"it does not end within {_SECONDS:.0f} seconds")
        return check

    sys.settrace(check)
    try:
        yield
    finally:
        sys.settrace(None)
