"""Tokens of the text of a prompt, found by what they say."""

from __future__ import annotations

import pytest
from tiny import PROMPT, tiny_image
from tiny_vlm import FAMILIES, tiled_vlm, tiny_vlm

from llavit_lens.errors import ConfigurationError
from llavit_lens.lens.text_tokens import TextToken, find_text, text_tokens


@pytest.mark.parametrize("family", FAMILIES)
def test_are_the_prompt_without_the_picture(family: str) -> None:
    vlm = tiny_vlm(family)
    prepared = vlm.prepare(tiny_image(), PROMPT)
    tokens = text_tokens(vlm, prepared)
    assert "".join(token.text for token in tokens) == PROMPT.replace("<image>", "")
    assert len(tokens) == prepared.length - 16
    ids = prepared.inputs["input_ids"][0]
    assert all(int(ids[token.position]) != vlm.image_token_id for token in tokens)


def test_newlines_of_tiles_are_no_text() -> None:
    vlm = tiled_vlm("spatial_unpad")
    tokens = text_tokens(vlm, vlm.prepare(tiny_image(0, 60, 30), PROMPT))
    assert "".join(token.text for token in tokens) == PROMPT.replace("<image>", "")


def test_a_word_of_several_tokens_is_its_last() -> None:
    said = ["What", " is", "\n", " straw", "berry", " is", "?", " straw"]
    tokens = [TextToken(10 * number, text) for number, text in enumerate(said)]
    assert find_text(tokens, "strawberry").position == 40
    assert find_text(tokens, " What").position == 0
    assert find_text(tokens, "strawberry is").position == 50
    assert find_text(tokens, "What is").position == 10
    for wanted, message in (
        ("is", "2 times, at tokens 10, 50"),
        ("straw", "2 times, at tokens 30, 70"),
        ("berr", "nowhere as whole tokens"),
        ("", "nowhere"),
        (" ", "nowhere"),
    ):
        with pytest.raises(ConfigurationError, match=message):
            find_text(tokens, wanted)
