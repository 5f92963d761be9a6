"""Pretrain the vision tower on image-caption pairs (see `contrastive_tower`)."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset
from transformers import CLIPVisionModel, PreTrainedTokenizerBase
from transformers.image_utils import OPENAI_CLIP_MEAN, OPENAI_CLIP_STD

from llavit_lens.disk import write_folder_atomically
from llavit_lens.miniature.recipe.contrastive_tower import ContrastiveTower, tower_config
from llavit_lens.miniature.world.captions import caption
from llavit_lens.miniature.world.concepts import BACKGROUNDS, CONCEPTS, SIGN_WORDS
from llavit_lens.miniature.world.corpus import Corpus, pick
from llavit_lens.training.run import Schedule, run

# The words that a caption may hold and a patch may show.
CONTENT_WORDS = sorted(
    {w for c in CONCEPTS.values() for w in c.words}
    | {*BACKGROUNDS, *SIGN_WORDS, *SIGN_WORDS.values(), "sign"}
)


def to_pixel_values(images: np.ndarray) -> Tensor:
    """uint8 [B, H, W, 3] to float [B, 3, H, W], normalized as CLIP's image processor does it."""
    x = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255
    mean, std = torch.tensor(OPENAI_CLIP_MEAN), torch.tensor(OPENAI_CLIP_STD)
    return (x - mean[:, None, None]) / std[:, None, None]


class CaptionPairs(Dataset):
    """`length` pairs (image, caption); pair i is a function of i."""

    def __init__(self, corpus: Corpus, length: int):
        self.corpus, self.length = corpus, length

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> tuple[np.ndarray, str]:
        scene = pick(self.corpus.count, "tower", index)
        text = caption(self.corpus.scene(scene), random.Random(f"tower {index}"))
        return self.corpus.images[scene], text


class CollatePairs:
    def __init__(self, tokenizer: PreTrainedTokenizerBase):
        self.tokenizer = tokenizer
        self.column = {tokenizer.convert_tokens_to_ids(w): i for i, w in enumerate(CONTENT_WORDS)}

    def __call__(self, pairs: list[tuple[np.ndarray, str]]) -> dict[str, Tensor]:
        images, texts = zip(*pairs, strict=True)
        text = self.tokenizer(list(texts), padding=True, padding_side="right", return_tensors="pt")
        words = torch.zeros(len(pairs), len(self.column), dtype=torch.bool)
        for row, ids in enumerate(text["input_ids"].tolist()):
            for token in ids:
                if token in self.column:
                    words[row, self.column[token]] = True
        return {
            "pixel_values": to_pixel_values(np.stack(images)),
            "input_ids": text["input_ids"],
            "attention_mask": text["attention_mask"],
            "words": words,
        }


def pretrain_tower(
    folder: Path,
    corpus: Corpus,
    tokenizer: PreTrainedTokenizerBase,
    schedule: Schedule,
    width: int = 128,
    layers: int = 6,
) -> CLIPVisionModel:
    """Train the tower and save it in `folder`; continue or return it when some or all is done."""
    if (folder / "model.safetensors").is_file():
        return CLIPVisionModel.from_pretrained(folder)
    torch.manual_seed(0)
    model = ContrastiveTower(tower_config(width, layers), len(tokenizer), len(CONTENT_WORDS))
    pairs = CaptionPairs(corpus, schedule.steps * schedule.batch)
    home = folder.with_name(f"{folder.name}.run")
    run(model, pairs, CollatePairs(tokenizer), home, schedule, name="vision tower")
    with write_folder_atomically(folder) as part:
        model.vision.save_pretrained(part)
    return model.vision
