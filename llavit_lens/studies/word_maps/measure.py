"""The exam with words in place of the picture: every patch is given as a word that is true of it.

What a language model answers here it brings along from text; the rest it must learn with pictures.
A patch's word is the thing's name, category, color or trait, so a few things are never named.
"""

from __future__ import annotations

import random

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from llavit_lens.errors import ConfigurationError
from llavit_lens.miniature.benchmark.evaluate import Exam, first_word
from llavit_lens.miniature.world.word_maps import MAP_WORDS, map_places, with_places, word_map
from llavit_lens.studies.text_only.measure import TextModel


def check_words(asked: TextModel) -> None:
    """Raise ConfigurationError for a model whose tokenizer is not the miniature's."""
    known = asked.tokenizer.get_vocab()
    missing = sorted(MAP_WORDS - known.keys())
    if missing:
        raise ConfigurationError(
            f"{asked.name}: has no token for {missing[0]!r} and {len(missing) - 1} other words of "
            "the miniature world; maps of words are for models of the miniature"
        )


@torch.no_grad()
def answers_from_words(asked: TextModel, exam: Exam) -> list[str]:
    """The likeliest word behind each question, with the scene's map of words before it.

    Raises:
        ConfigurationError: a model whose tokenizer or chat format is not the miniature's.
    """
    check_words(asked)
    words = " ".join(word_map(exam.truth, random.Random(f"map {exam.truth.scene.seed}")))
    patches, ninths = _ids(asked, words), _ids(asked, " ".join(map_places()))
    prompts, places = [], []
    for question in exam.asked:
        prompt = _ids(asked, asked.prompt(f"{words}\n{question.question}"))
        place = torch.full_like(prompt, -1)
        place[_start(prompt, patches, asked.name) :][: len(ninths)] = ninths
        prompts.append(prompt)
        places.append(place)
    ids = pad_sequence(prompts, batch_first=True)  # behind the prompt, where nothing sees it
    embeds = with_places(
        asked.model.get_input_embeddings(), ids, pad_sequence(places, True, padding_value=-1)
    )
    logits = asked.model(inputs_embeds=embeds, use_cache=False).logits
    last = [len(prompt) - 1 for prompt in prompts]
    said = logits[range(len(last)), last].argmax(-1)
    return [first_word(asked.tokenizer.decode(token)) for token in said]


def _ids(asked: TextModel, text: str) -> Tensor:
    ids = asked.tokenizer(text, add_special_tokens=False, return_tensors="pt")["input_ids"][0]
    return ids.to(asked.model.device)


def _start(prompt: Tensor, patches: Tensor, name: str) -> int:
    """Where the words of the map stand in the prompt."""
    windows = prompt.unfold(0, len(patches), 1)
    found = (windows == patches).all(-1).nonzero()
    if len(found) != 1:
        raise ConfigurationError(
            f"{name}: its chat format changes a map of words; these are for models of the miniature"
        )
    return int(found)
