"""The multimodal training data of the miniature: captions for stage 1, instructions for stage 2."""

from __future__ import annotations

import random
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset
from transformers import PreTrainedTokenizerBase

from llavit_lens.miniature.recipe.general_text import general_passage
from llavit_lens.miniature.recipe.pretrain_tower import to_pixel_values
from llavit_lens.miniature.world.captions import DESCRIBE, caption
from llavit_lens.miniature.world.corpus import Corpus, pick
from llavit_lens.miniature.world.questions import questions
from llavit_lens.miniature.world.scenes import GRID
from llavit_lens.training.collate import pad_examples
from llavit_lens.training.conversations import (
    IMAGE,
    Encoded,
    encode_chat,
    encode_plain,
    expand_image,
    token_id,
)

TEXT_ONLY_SHARE = 0.08  # of the instructions, as LLaVA-1.5's mix has some
CAPTION_SHARE = 0.2
QUESTIONS = 8


class Example(NamedTuple):
    text: Encoded
    image: np.ndarray | None  # uint8 [SIZE, SIZE, 3]


class Captions(Dataset):
    """Stage 1: `length` image-caption pairs; pair i is a function of the seed and i."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, corpus: Corpus, length: int, seed: int):
        self.tokenizer, self.corpus, self.length, self.seed = tokenizer, corpus, length, seed
        self.image_token = token_id(tokenizer, IMAGE)

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> Example:
        rng = random.Random(f"stage 1, seed {self.seed}, {index}")
        scene = pick(self.corpus.count, "stage 1", self.seed, index)
        text = encode_plain(self.tokenizer, caption(self.corpus.scene(scene), rng))
        return Example(expand_image(text, self.image_token, GRID * GRID), self.corpus.images[scene])


class Instructions(Captions):
    """Stage 2: conversations about an image, some about text alone."""

    def __getitem__(self, index: int) -> Example:
        rng = random.Random(f"stage 2, seed {self.seed}, {index}")
        roll = rng.random()
        if roll < TEXT_ONLY_SHARE:
            passage = general_passage(rng)
            if passage.turns:
                (first, answer), *rest = passage.turns
                turns = [(f"{passage.context}\n{first}".strip(), answer), *rest]
                return Example(encode_chat(self.tokenizer, turns), None)
        number = pick(self.corpus.count, "stage 2", self.seed, index)
        scene = self.corpus.scene(number)
        turns = [(q.question, q.answer) for q in questions(scene, rng)]
        if roll < TEXT_ONLY_SHARE + CAPTION_SHARE:
            turns = [(rng.choice(DESCRIBE), caption(scene, rng)), *turns[:2]]
        (first, answer), *rest = turns[:QUESTIONS]
        turns = [(f"{IMAGE}\n{first}", answer), *rest]
        text = encode_chat(self.tokenizer, turns)
        return Example(
            expand_image(text, self.image_token, GRID * GRID), self.corpus.images[number]
        )


class CollateExamples:
    def __init__(self, tokenizer: PreTrainedTokenizerBase):
        self.pad = tokenizer.pad_token_id

    def __call__(self, examples: list[Example]) -> dict[str, Tensor]:
        batch = pad_examples([e.text for e in examples], self.pad)
        images = [e.image for e in examples if e.image is not None]
        if images:
            batch["pixel_values"] = to_pixel_values(np.stack(images))
        batch["labels"] = batch["labels"].to(torch.long)
        return batch
