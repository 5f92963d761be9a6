"""Where the tokens look that write an answer, and on which of several images."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tiny import tiny_image
from tiny_vlm import LAYERS, tiny_vlm

import llavit_lens as ll
from llavit_lens.vlm.answers import answer_tokens
from llavit_lens.vlm.prompt import collate

QUESTION = "a blue circle. What is it?"
WIDE, TALL = tiny_image(1, 60, 30), tiny_image(2, 30, 60)


@pytest.mark.parametrize("family", ["llava", "llavit"])
@pytest.mark.parametrize("onto", [0, 1])
def test_each_token_of_an_answer(family: str, onto: int) -> None:
    """Weights are those of transformers' own pass over prompt and answer."""
    vlm = tiny_vlm(family)
    answer = vlm.generate([WIDE, TALL], QUESTION, 4, trace=True)
    patterns = ll.attention_patterns(vlm, [WIDE, TALL], QUESTION, answer=answer.ids, onto=onto)
    prompt = vlm.prepare([WIDE, TALL], QUESTION)
    positions = [token.position for token in patterns.queries]
    assert positions == answer.trace.positions.tolist()
    words = [vlm.tokenizer.decode([token]).strip() for token in answer.ids.tolist()]
    kinds = [f"token that writes {word!r}" for word in words]
    assert [token.kind for token in patterns.queries] == kinds
    vlm.model.set_attn_implementation({"text_config": "eager"})
    inputs = collate([prompt], 0, answer.ids)
    with torch.no_grad(), vlm.reading(prompt.layouts, length=prompt.length):
        every = vlm.model(**inputs, output_attentions=True, use_cache=False).attentions
    layout = prompt.layouts[onto]
    for layer in range(LAYERS):
        expected = every[layer][0][:, positions][:, :, layout.positions].numpy()
        kept = patterns.weights[patterns.layers.index(layer)]
        assert np.abs(kept - expected).max() <= 64 * 2.0**-24
    assert patterns.layout is not None
    assert patterns.image.size == layout.image_size
    assert patterns.provenance["image_number"] == onto
    assert ll.AttentionPatterns.load(patterns.to_bytes()) == patterns
    assert "looks" in patterns.plot(query=positions[-1]).title


def test_queries_beside_an_answer() -> None:
    vlm = tiny_vlm("llava")
    tokens = ll.attention_patterns(
        vlm, WIDE, QUESTION, answer=" red dog", queries=["last", "answer", -1, (0, 0)]
    )
    prompt = vlm.prepare(WIDE, QUESTION)
    ids = answer_tokens(vlm, prompt, " red dog")
    first, last = tokens.queries[0], tokens.queries[-2]
    assert (first.position, first.kind) == (prompt.length - 1, "last token")
    assert last.position == prompt.length + len(ids) - 1 == tokens.n_tokens - 1
    assert len(tokens.queries) == 3 + len(ids)
    alone = ll.attention_patterns(vlm, WIDE, QUESTION)
    difference = tokens.at("last", 1) - alone.at("last", 1)
    assert np.abs(difference).max() <= 64 * 2.0**-24  # what comes later changes nothing


def test_what_is_refused() -> None:
    vlm = tiny_vlm("llava")
    with pytest.raises(ll.ConfigurationError, match="needs an answer: give answer="):
        ll.attention_patterns(vlm, WIDE, QUESTION, queries="answer")
    with pytest.raises(ll.ConfigurationError, match=r"about 2 images.*onto=0"):
        ll.attention_patterns(vlm, [WIDE, TALL], QUESTION)
    with pytest.raises(ll.ConfigurationError, match="there is no image 2"):
        ll.attention_patterns(vlm, [WIDE, TALL], QUESTION, onto=2)
    with pytest.raises(ll.ConfigurationError, match="the answer is empty"):
        ll.attention_patterns(vlm, WIDE, QUESTION, answer="")
    patterns = ll.attention_patterns(
        vlm,
        [WIDE, TALL],
        QUESTION,
        onto=0,
        queries=int(vlm.prepare([WIDE, TALL], QUESTION).layouts[1].positions[0]),
    )
    assert patterns.queries[0].kind.endswith("of image 1")
