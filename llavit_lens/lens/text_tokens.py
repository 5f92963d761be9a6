"""The tokens of a prompt that are text, and how to find one by what it says."""

from __future__ import annotations

from typing import Any, NamedTuple

from llavit_lens.errors import ConfigurationError
from llavit_lens.lens.token_strings import string_of, token_strings
from llavit_lens.vlm.prompt import Prompt
from llavit_lens.vlm.vlm import VLM


class TextToken(NamedTuple):
    """A token of a prompt."""

    position: int
    """Index in the token sequence."""
    text: str
    """Its text, with its leading space if it has one."""


def text_tokens(vlm: VLM, prompt: Prompt) -> list[TextToken]:
    """All tokens of a prompt but the image's, in order."""
    table = token_strings(vlm.tokenizer)
    ids = prompt.inputs["input_ids"][0].tolist()
    visual = {place for layout in prompt.layouts for place in layout.all_positions.tolist()}
    return [
        TextToken(position, string_of(table, token))
        for position, token in enumerate(ids)
        if position not in visual
    ]


def find_text(tokens: list[TextToken], wanted: str) -> TextToken:
    """The last token of the one place where a prompt says `wanted`.

    The last, since of a word in several tokens only that one has read all of it.

    Raises:
        ConfigurationError: the prompt does not say it, or says it more than once.
    """
    ends: list[TextToken] = []
    for start in range(len(tokens)):
        text_so_far = ""
        for token in tokens[start:]:
            text_so_far += token.text
            if text_so_far.strip() == wanted.strip() != "":
                ends.append(token)
                break
            if not wanted.strip().startswith(text_so_far.strip()):
                break
    places = sorted({token.position for token in ends})
    if len(places) != 1:
        text = "".join(token.text for token in tokens)
        where = ", ".join(map(str, places))
        found = (
            f"{len(places)} times, at tokens {where}: give the number of one"
            if places
            else (f"nowhere as whole tokens; it says {text!r}")
        )
        raise ConfigurationError(f"the prompt says {wanted!r} {found}")
    return next(token for token in ends if token.position == places[0])


def check_position(position: Any, length: int) -> int:
    """The position from the start, for one that may count from the end.

    Raises:
        ConfigurationError: there is no such token.
    """
    if isinstance(position, bool) or not hasattr(position, "__index__"):
        raise ConfigurationError(f"{position!r} is no token: give its number, 0 to {length - 1}")
    if not -length <= position < length:
        raise ConfigurationError(f"there is no token {position}: the prompt has {length}")
    return int(position) % length
