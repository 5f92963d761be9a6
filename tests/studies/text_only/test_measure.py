"""Questions without a picture: likelihood against float64, the first word, the text path."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tiny import DECODER_FAMILIES, tiny_llavit, tiny_processor, tiny_text_config
from tiny_vlm import tiny_vlm

from llavit_lens.errors import CheckpointError, ConfigurationError
from llavit_lens.studies.text_only.measure import TextResult, ask, difference_from_plain_decoder
from llavit_lens.studies.text_only.right import is_right
from llavit_lens.studies.text_only.table import text_table
from llavit_lens.studies.text_only.text_model import text_model
from llavit_lens.studies.text_only.text_questions import TextQuestion
from llavit_lens.vlm.vlm import VLM

QUESTIONS = [
    TextQuestion("What is on the left?", "a red square", "x", 0),
    TextQuestion("What?", "blue", "x", 0),
    TextQuestion("Is there a circle in the image of a red square?", "yes", "y", 1),
]


@torch.no_grad()
@pytest.mark.parametrize("family", ["llava", "llavit"])
def test_answers_equal_a_loop(family: str) -> None:
    """One prompt at a time, token by token, in float64."""
    vlm = tiny_vlm(family)
    found = list(ask(text_model(vlm), QUESTIONS))
    for one, result in zip(QUESTIONS, found, strict=True):
        prompt = f"USER: {one.question} ASSISTANT:"
        ids = vlm.tokenizer(prompt)["input_ids"]
        answer = vlm.tokenizer(f" {one.answer}", add_special_tokens=False)["input_ids"]
        expected, so_far = 0.0, list(ids)
        for token in answer:
            logits = vlm.model(input_ids=torch.tensor([so_far])).logits[0, -1].double()
            expected -= (logits[token] - logits.logsumexp(0)).item()
            so_far.append(token)
        assert result.nll == pytest.approx(expected, rel=1e-5)
        said = list(ids)
        while len(said) < len(ids) + 8 and said[-1] != vlm.tokenizer.eos_token_id:
            logits = vlm.model(input_ids=torch.tensor([said])).logits[0, -1]
            said.append(int(logits.argmax()))
        text = vlm.tokenizer.decode(said[len(ids) :], skip_special_tokens=True)
        assert result.text == text and result.right == is_right(text, one.answer)


def test_a_question_in_the_chat_format_has_no_image() -> None:
    vlm = tiny_vlm("llava")
    vlm.processor.chat_template = (
        "{% for part in messages[0]['content'] %}[{{ part['type'] }}]{{ part['text'] }}{% endfor %}"
    )
    assert text_model(vlm).prompt("Why?") == "[text]Why?"
    vlm.processor.chat_template = "{{ 1 / 0 }}"
    with pytest.raises(CheckpointError, match="its chat template is broken"):
        text_model(vlm).prompt("Why?")


@pytest.mark.parametrize(
    ("said", "answer", "right"),
    [
        ("Dog.", "dog", True),
        ("the dog runs", "dog", True),
        ("dog", "the dog", True),
        ("A", "A", True),
        ("A: a dog", "A", True),
        ("(A) dog", "A", True),
        ("A - because", "A", True),
        ("A dog", "A", False),
        ("The A", "A", False),
        ("the cat", "the dog", False),
        ("not a dog", "dog", False),
        ("", "dog", False),
        ("the", "the dog", False),
        ("...", "dog", False),
    ],
)
def test_the_first_word_counts(said: str, answer: str, right: bool) -> None:
    assert is_right(said, answer) is right


@pytest.mark.parametrize("family", ["qwen2", "qwen3", "llama-bias", "mistral", "phi3"])
def test_the_text_path_is_the_plain_decoder(family: str) -> None:
    assert family in DECODER_FAMILIES
    model = tiny_llavit(text_config=tiny_text_config(family))
    vlm = VLM(model, tiny_processor(), "tiny")
    assert difference_from_plain_decoder(vlm, QUESTIONS) == 0.0


def test_a_text_path_that_differs_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Visual weights on text, in one layer."""
    vlm = tiny_vlm("llavit")
    attention = vlm.model.model.language_model.layers[1].self_attn
    monkeypatch.setattr(attention, "heads", lambda rows, branch="": [
        part for part in type(attention).heads(attention, rows, "_visual")
    ])  # fmt: skip
    assert difference_from_plain_decoder(vlm, QUESTIONS) > 0.01


def test_no_image_token_and_no_empty_answer() -> None:
    model = text_model(tiny_vlm("llavit"))
    with pytest.raises(ConfigurationError, match="asked without an image"):
        list(ask(model, [TextQuestion("What is <image>?", "a", "x", 0)]))


def test_the_table() -> None:
    results = {
        "one": [
            TextResult("", right, nll) for right, nll in ((True, 1.0), (False, 2.0), (True, 6.0))
        ],
        "two": [
            TextResult("", right, nll) for right, nll in ((True, 1.0), (True, 2.0), (True, 3.0))
        ],
    }
    table = text_table(QUESTIONS, results).set_index(["model", "category", "measure"])
    assert table.loc[("one", "all", "accuracy"), "value"] == pytest.approx(2 / 3)
    assert table.loc[("one", "all", "nll"), "value"] == pytest.approx(3)
    assert table.loc[("one", "x", "accuracy"), "value"] == pytest.approx(0.5)
    assert table.loc[("two", "all", "accuracy"), "value"] == 1
    assert table.loc[("two", "all", "accuracy"), "low"] < 1
    assert table.loc[("two", "all", "nll"), "change"] == pytest.approx(-1)
    assert table.loc[("two", "x", "accuracy"), "change"] == pytest.approx(0.5)
    assert table.loc[("one", "all", "nll"), ["change_low", "change_high"]].tolist() == [0, 0]
    assert list(table["n"][:6]) == [3, 3, 2, 2, 1, 1]
    assert np.isfinite(table["value"]).all()
