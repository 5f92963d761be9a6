"""Log-probabilities of answers agree with what generation says of its own tokens."""

from __future__ import annotations

import pytest
import torch
from tiny import PROMPT, tiny_image
from tiny_vlm import FAMILIES, tiled_vlm, tiny_vlm

from llavit_lens.errors import ConfigurationError
from llavit_lens.vlm.answers import answer_log_prob, answer_tokens, log_prob_of_tokens
from llavit_lens.vlm.vlm import VLM

IMAGE = tiny_image(1)


def generated(vlm: VLM, image: object, count: int = 5) -> tuple[list[int], float, float]:
    """Greedy tokens, their log-probability by generation's own logits, and an error budget."""
    prepared = vlm.prepare(image, PROMPT)
    said = vlm.model.generate(
        **prepared.inputs,
        max_new_tokens=count,
        min_new_tokens=count,
        do_sample=False,
        output_logits=True,
        return_dict_in_generate=True,
    )
    ids = said.sequences[0, prepared.length :].tolist()
    logits = torch.cat(said.logits).double()
    total = sum(float(row.log_softmax(-1)[i]) for row, i in zip(logits, ids, strict=True))
    # cached steps and one pass add in another order: some roundings of the largest logit per token
    return ids, total, 64 * 2.0**-24 * float(logits.abs().max()) * count


@pytest.mark.parametrize("family", FAMILIES)
def test_agrees_with_generation(family: str) -> None:
    vlm = tiny_vlm(family)
    ids, expected, budget = generated(vlm, IMAGE)
    assert abs(answer_log_prob(vlm, IMAGE, PROMPT, ids) - expected) <= budget
    assert abs(answer_log_prob(vlm, IMAGE, PROMPT, ids[:-1]) - expected) > 10 * budget


@pytest.mark.parametrize("kind", ["llava_next", "spatial_unpad"])
def test_agrees_with_generation_in_tiles(kind: str) -> None:
    vlm, wide = tiled_vlm(kind), tiny_image(0, 60, 30)
    ids, expected, budget = generated(vlm, wide)
    assert abs(answer_log_prob(vlm, wide, PROMPT, ids) - expected) <= budget
    copies = log_prob_of_tokens(vlm, vlm.prepare(wide, PROMPT), torch.tensor(ids), copies=3)
    assert copies.shape == (3,) and (copies - expected).abs().max() <= budget


def test_is_a_plain_sum_over_the_logits_of_the_whole_text() -> None:
    vlm = tiny_vlm("llavit")
    answer = " a red square"
    prepared = vlm.prepare(IMAGE, PROMPT)
    ids = answer_tokens(vlm, prepared, answer)
    logits = vlm.run(IMAGE, PROMPT + answer)[0].double()
    assert len(logits) == prepared.length + len(ids)
    whole = vlm.prepare(IMAGE, PROMPT + answer).inputs["input_ids"][0]
    assert torch.equal(whole[prepared.length :], ids)
    expected = sum(
        float(logits[prepared.length - 1 + n].log_softmax(-1)[token]) for n, token in enumerate(ids)
    )
    budget = 8 * 2.0**-24 * float(logits.abs().max()) * len(ids)
    assert abs(answer_log_prob(vlm, IMAGE, PROMPT, answer) - expected) <= budget


def test_probabilities_of_all_next_tokens_sum_to_one() -> None:
    vlm = tiny_vlm("llava")
    prepared = vlm.prepare(IMAGE, PROMPT)
    ids = [i for i in range(len(vlm.tokenizer)) if i != vlm.image_token_id]
    each = [float(log_prob_of_tokens(vlm, prepared, torch.tensor([i])).exp()) for i in ids[:40]]
    logits = vlm.run(IMAGE, PROMPT)[0, -1].softmax(-1)
    torch.testing.assert_close(torch.tensor(each), logits[ids[:40]], rtol=1e-4, atol=1e-9)


@pytest.mark.parametrize(
    ("prompt", "answer", "message"),
    [
        (PROMPT, "", "answer is empty"),
        (PROMPT, [], "answer is empty"),
        (PROMPT, " <image>", "holds the image token"),
        (PROMPT.replace("ASSISTANT:", "ASSIST"), "ANT:", "merges into one token"),
    ],
)
def test_answers_that_mean_nothing_are_refused(prompt: str, answer: object, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        answer_log_prob(tiny_vlm("llavit"), IMAGE, prompt, answer)
