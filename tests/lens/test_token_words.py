"""Words of tokens of text: of a prompt, and of an answer as the model wrote it."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny import tiny_image
from tiny_vlm import FAMILIES, LAYERS, WIDTH, tiled_vlm, tiny_vlm

import llavit_lens as ll
from llavit_lens.vlm.vlm import VLM

QUESTION = "a blue circle. What is it?"
WIDE, TALL = tiny_image(1, 60, 30), tiny_image(2, 30, 60)
ROUNDING = 64 * 2.0**-24


@pytest.fixture(scope="module", params=[*FAMILIES, "llava_next"])
def vlm(request: pytest.FixtureRequest) -> VLM:
    return tiny_vlm(request.param) if request.param in FAMILIES else tiled_vlm(request.param)


@pytest.fixture(scope="module")
def words() -> ll.TokenWords:
    trace = tiny_vlm("llavit").trace(WIDE, QUESTION, tokens="all").text
    return ll.logit_lens(trace, k=3, tracked=["red"])


def test_text_is_all_that_is_not_visual(vlm: VLM) -> None:
    """Its words at the last layer are those of the model's own logits."""
    prompt = vlm.prepare([WIDE, TALL], QUESTION)
    trace = vlm.trace([WIDE, TALL], QUESTION, tokens="all")
    assert torch.equal(trace.hidden, vlm.trace([WIDE, TALL], QUESTION).hidden)
    ids = prompt.inputs["input_ids"][0]
    assert trace.text.positions.tolist() == (ids != vlm.image_token_id).nonzero()[:, 0].tolist()
    assert torch.equal(trace.text.ids, ids[trace.text.positions])
    embedded = vlm.model.get_input_embeddings()(trace.text.ids)
    assert torch.equal(trace.text.hidden[0], embedded)
    words = ll.logit_lens(trace.text, k=2)
    logits = vlm.forward(prompt).logits[0, trace.text.positions].double()
    expected = logits.log_softmax(-1).topk(2)
    assert np.array_equal(words.ids[-1], expected.indices.numpy())
    budget = ROUNDING * float(logits.abs().max())
    assert np.abs(words.values[-1] - expected.values.numpy()).max() <= budget
    assert trace.of_image(1).text is trace.text


def test_chosen_tokens(vlm: VLM) -> None:
    every = vlm.trace(WIDE, QUESTION, tokens="all")
    length = len(every.input_ids)
    chosen = vlm.trace(WIDE, QUESTION, tokens=[-1, 0, length - 2, -1]).text
    assert chosen.positions.tolist() == [0, length - 2, length - 1]
    rows = [every.text.positions.tolist().index(place) for place in chosen.positions.tolist()]
    assert torch.equal(chosen.hidden, every.text.hidden[:, rows])
    for last in (-1, np.int64(-1), torch.tensor(-1)):
        alone = vlm.trace(WIDE, QUESTION, tokens=last).text
        assert alone.positions.tolist() == [length - 1]
        assert torch.equal(alone.hidden, chosen.hidden[:, -1:])
    assert vlm.trace(WIDE, QUESTION).text is None
    visual = int(every.layout.positions[0])
    for tokens, fault in (
        ([length], f"no token {length}: the prompt has {length}"),
        ([visual], f"token {visual} is a visual one"),
        (["a"], "a token's position"),
        (visual, f"token {visual} is a visual one"),
        (1.5, "a token's position"),
        ("text", "'visual', 'all' or a list"),
    ):
        with pytest.raises(ll.ConfigurationError, match=fault):
            vlm.trace(WIDE, QUESTION, tokens=tokens)


def test_an_answer_is_written_from_the_states_that_are_kept(vlm: VLM) -> None:
    """They are those of one pass over prompt and answer, and say at the end what was written."""
    options = {"max_new_tokens": 5, "suppress_tokens": None}
    answer = vlm.generate([WIDE, TALL], QUESTION, trace=True, **options)
    assert answer.text == str(answer) == vlm.generate([WIDE, TALL], QUESTION, **options)
    count, prompt = len(answer.ids), vlm.prepare([WIDE, TALL], QUESTION)
    assert answer.trace.positions.tolist() == list(
        range(prompt.length - 1, prompt.length + count - 1)
    )
    assert answer.trace.hidden.shape == (LAYERS + 1, count, WIDTH)
    words = ll.logit_lens(answer.trace, k=1)
    assert words.ids[-1, :, 0].tolist() == answer.ids.tolist()
    seen: list[torch.Tensor] = []
    names = [f"blocks.{layer}.hook_resid_pre" for layer in range(LAYERS)]
    hooks = [(names, lambda state, hook: seen.append(state[0]))]
    logits = vlm.forward(prompt, answer=answer.ids, fwd_hooks=hooks).logits[0]
    for state, forced in zip(answer.trace.hidden, seen, strict=False):
        expected = forced[answer.trace.positions]
        assert (state - expected).abs().max() <= 4 * ROUNDING * expected.abs().max()
    says = logits[answer.trace.positions].log_softmax(-1).gather(1, answer.ids[:, None])[:, 0]
    budget = 4 * ROUNDING * float(logits.abs().max())
    assert np.abs(words.values[-1, :, 0] - says.numpy()).max() <= budget


def test_hooks_act_on_what_is_kept() -> None:
    vlm = tiny_vlm("llava")
    plain = vlm.generate(WIDE, QUESTION, 3, trace=True)
    with vlm.hooks([("blocks.1.hook_attn_out", lambda out, hook: 0 * out)]):
        hooked = vlm.generate(WIDE, QUESTION, 3, trace=True)
    assert torch.equal(hooked.trace.hidden[:2, 0], plain.trace.hidden[:2, 0])
    assert not torch.equal(hooked.trace.hidden[2, 0], plain.trace.hidden[2, 0])
    words = ll.logit_lens(hooked.trace, k=1)
    assert words.ids[-1, :, 0].tolist() == hooked.ids.tolist()


def test_beams_are_refused() -> None:
    with pytest.raises(ll.ConfigurationError, match="num_beams=2: trace=True follows one answer"):
        tiny_vlm("llava").generate(WIDE, QUESTION, 2, trace=True, num_beams=2)


def test_words_at_a_token(words: ll.TokenWords) -> None:
    last = words.positions[-1]
    assert words.at(-1, -1) == words.at(LAYERS, int(last))
    assert [word.id for word in words.at(2, 0)] == words.ids[2, 0].tolist()
    text = next(text for text in words.tokens if words.tokens.count(text) == 1 and text.strip())
    assert words.at(0, text) == words.at(0, int(words.positions[words.tokens.index(text)]))
    gap = next(i for i in range(int(last)) if i not in words.positions)
    for token in (gap, int(last) + 1, "no such"):
        with pytest.raises(ll.ConfigurationError, match="among these"):
            words.at(0, token)
    assert words.by_token(-1).iloc[-1, 0] == words.at(-1, -1)[0].word
    table = words.to_pandas()
    row = table[(table.layer == 1) & (table.position == last) & (table["rank"] == 0)].iloc[0]
    assert row.word == words.at(1, -1)[0].word
    assert row.probability == pytest.approx(words.at(1, -1)[0].probability, rel=2**-22)
    assert len(table) == words.ids.size


def test_saved_words_come_back(words: ll.TokenWords) -> None:
    contents = words.to_bytes()
    assert ll.TokenWords.load(contents) == words
    assert ll.TokenWords.load(replace(words, tracked=None).to_bytes()).tracked is None
    rng = random.Random(0)
    for _ in range(40):
        damaged = bytearray(contents)
        damaged[rng.randrange(len(damaged))] ^= 1 << rng.randrange(8)
        with pytest.raises(ll.ConfigurationError):
            ll.TokenWords.load(damaged)
    with pytest.raises(ll.ConfigurationError, match=r"Words\.save|TokenWords"):
        ll.Words.load(contents)
    for broken in (
        replace(words, positions=words.positions[::-1].copy()),
        replace(words, tokens=words.tokens[1:]),
        replace(words, prompt_length=0),
        replace(words, entropy=words.entropy[:, 1:]),
    ):
        with pytest.raises(ll.ConfigurationError, match="do not fit together"):
            broken.to_bytes()


def test_the_figure_says_what_was_read(words: ll.TokenWords) -> None:
    figure = words.plot()
    said = [text.get_text() for axes in figure.axes for text in axes.texts]
    rows, m = len(words.layers), len(words.tokens)
    assert len(said) <= rows * m + m
    best = words.strings[int(words.ids[-1, -1, 0])]
    if best.isalnum():
        assert best in said[:m]
    assert [tick.get_text() for tick in figure.axes[0].get_yticklabels()] == ["3", "2", "1", "0"]
    few = words.plot(layers=[0, -1], tokens=slice(0, 2), scale="fixed", title="A title")
    assert [tick.get_text() for tick in few.axes[0].get_yticklabels()] == ["3", "0"]
    assert few.title == "A title"
    assert "next word" in few.caption
    with pytest.raises(ll.ConfigurationError, match="means none of the"):
        words.plot(tokens=slice(0, 0))
    assert "<img" in words._repr_html_()


def test_words_in_one_line(words: ll.TokenWords) -> None:
    assert repr(words).startswith("TokenWords(logit_lens of tiny-llavit, 4 layers x ")
    answer = tiny_vlm("llava").generate(WIDE, QUESTION, 2, trace=True)
    assert repr(answer).startswith("TracedAnswer(")
    assert repr(answer.trace).startswith("TokenTrace(tiny-llava, 4 states of 2 tokens of text")
    assert "ll.logit_lens(answer.trace" in answer._repr_html_()
    assert "ll.logit_lens(trace" in answer.trace._repr_html_()
