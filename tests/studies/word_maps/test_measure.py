"""The benchmark on maps of words, against the model called by hand on one question."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
import torch
from benchmark_scenes import example_scene
from tiny import tiny_tokenizer
from transformers import Qwen2ForCausalLM

import llavit_lens as ll
from llavit_lens.errors import ConfigurationError
from llavit_lens.miniature.benchmark.evaluate import BenchmarkScene
from llavit_lens.miniature.recipe.pretrain_llm import llm_config
from llavit_lens.miniature.world.questions import Question
from llavit_lens.miniature.world.scenes import GRID, PATCH, SIZE, example_names
from llavit_lens.miniature.world.word_maps import PLACE_WEIGHT, word_map
from llavit_lens.studies.text_only.text_model import TextModel, text_model
from llavit_lens.studies.word_maps.measure import answers_from_words


@pytest.fixture(scope="module")
def untrained() -> TextModel:
    like = text_model(ll.load("demo:baseline"))
    torch.manual_seed(0)
    llm = Qwen2ForCausalLM(llm_config(like.tokenizer, width=64, layers=2)).eval()
    return replace(like, name="untrained", model=llm)


@torch.no_grad()
def by_hand(model: TextModel, scene: BenchmarkScene, question: Question) -> str:
    """One forward pass over one sequence, embeddings put together token by token."""
    words = word_map(scene.truth, random.Random(f"map {scene.truth.scene.seed}"))
    prompt = model.prompt(" ".join(words) + "\n" + question.question)
    ids = model.tokenizer(prompt, add_special_tokens=False)["input_ids"]
    table = model.model.get_input_embeddings().weight
    embeds = [table[i] for i in ids]
    names = [model.tokenizer.convert_ids_to_tokens(i) for i in ids]
    start = next(i for i in range(len(names)) if names[i : i + len(words)] == words)
    for row in range(GRID):
        for col in range(GRID):
            y, x = (((i + 0.5) * PATCH / SIZE) for i in (row, col))
            vertical = "top" if y < 1 / 3 else "bottom" if y > 2 / 3 else ""
            horizontal = "left" if x < 1 / 3 else "right" if x > 2 / 3 else ""
            place = "-".join(filter(None, (vertical, horizontal))) or "center"
            at = start + row * GRID + col
            embeds[at] = embeds[at] + PLACE_WEIGHT * table[model.tokenizer.get_vocab()[place]]
    logits = model.model(inputs_embeds=torch.stack(embeds)[None]).logits[0, -1]
    return str(model.tokenizer.convert_ids_to_tokens(int(logits.argmax())))


@pytest.mark.long
def test_answers_are_those_of_each_question_alone(untrained: TextModel) -> None:
    for name in example_names()[:2]:
        scene = example_scene(name)
        lengths = {len(q.question.split()) for q in scene.questions}
        assert len(lengths) > 1  # so that some are padded
        expected = [by_hand(untrained, scene, q) for q in scene.questions]
        assert answers_from_words(untrained, scene) == [word.strip() for word in expected]
        assert len(set(expected)) > 1


def test_models_that_are_not_of_the_miniature_are_refused(untrained: TextModel) -> None:
    scene = example_scene(example_names()[0])
    with pytest.raises(ConfigurationError, match="changes a map of words"):
        answers_from_words(replace(untrained, prompt=lambda text: text.replace(" ", ",")), scene)
    with pytest.raises(ConfigurationError, match=r"tiny: has no token for '\w+' and \d+ other"):
        answers_from_words(replace(untrained, name="tiny", tokenizer=tiny_tokenizer()), scene)
