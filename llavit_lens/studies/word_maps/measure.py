"""The benchmark with words in place of the image: each patch is a word that is true of it.

What a language model answers here it knows from text; it must learn the rest with images.
A patch's word is the thing's name, category, color or trait, so a few things are never named.
"""

from __future__ import annotations

import random

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from llavit_lens.errors import ConfigurationError
from llavit_lens.miniature.benchmark.evaluate import BenchmarkScene, first_word
from llavit_lens.miniature.world.word_maps import MAP_WORDS, map_places, with_places, word_map
from llavit_lens.studies.text_only.text_model import TextModel


def check_words(llm: TextModel) -> None:
    """Raise ConfigurationError for a model with another tokenizer than the miniature's."""
    vocabulary = llm.tokenizer.get_vocab()
    missing = sorted(MAP_WORDS - vocabulary.keys())
    if missing:
        raise ConfigurationError(
            f"{llm.name}: has no token for {missing[0]!r} and {len(missing) - 1} other words of "
            "the miniature world; maps of words are for models of the miniature"
        )


@torch.no_grad()
def answers_from_words(llm: TextModel, scene: BenchmarkScene) -> list[str]:
    """The likeliest word after each question, with the scene's map of words before it.

    Raises:
        ConfigurationError: a model with another tokenizer or chat format than the miniature's.
    """
    check_words(llm)
    words = " ".join(word_map(scene.truth, random.Random(f"map {scene.truth.scene.seed}")))
    patches, ninths = _ids(llm, words), _ids(llm, " ".join(map_places()))
    prompts, places = [], []
    for question in scene.questions:
        prompt = _ids(llm, llm.prompt(f"{words}\n{question.question}"))
        place = torch.full_like(prompt, -1)
        place[_start(prompt, patches, llm.name) :][: len(ninths)] = ninths
        prompts.append(prompt)
        places.append(place)
    ids = pad_sequence(prompts, batch_first=True)  # padded after the prompt, unseen
    embeds = with_places(
        llm.model.get_input_embeddings(), ids, pad_sequence(places, True, padding_value=-1)
    )
    logits = llm.model(inputs_embeds=embeds, use_cache=False).logits
    last = [len(prompt) - 1 for prompt in prompts]
    answers = logits[range(len(last)), last].argmax(-1)
    return [first_word(llm.tokenizer.decode(token)) for token in answers]


def _ids(llm: TextModel, text: str) -> Tensor:
    ids = llm.tokenizer(text, add_special_tokens=False, return_tensors="pt")["input_ids"][0]
    return ids.to(llm.model.device)


def _start(prompt: Tensor, patches: Tensor, name: str) -> int:
    """The position of the first word of the map in the prompt."""
    windows = prompt.unfold(0, len(patches), 1)
    starts = (windows == patches).all(-1).nonzero()
    if len(starts) != 1:
        raise ConfigurationError(
            f"{name}: its chat format changes a map of words; these are for models of the miniature"
        )
    return int(starts)
