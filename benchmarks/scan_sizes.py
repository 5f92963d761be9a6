"""Indexes of the size of LLaVA-1.5-7B, 576 patches x 33 states, made without running it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from llavit_lens.corpus.index import Index, Settings, begin
from llavit_lens.corpus.shard import ImageWords, write_shard
from llavit_lens.corpus.vocabulary import write_vocabulary
from llavit_lens.images.layout import VisualLayout
from llavit_lens.results.words import Words

REPOSITORY = Path(__file__).parents[1]
sys.path.append(str(REPOSITORY / "tests/support"))

import real_weights  # noqa: E402

SIDE, STATES, WORDS, K = 24, 33, 32_064, 5
KINDS = ("equal", "1/rank", "real")
"""How frequent words are."""
TEXTS = [REPOSITORY / name for name in ("docs/design.md", "CONTRIBUTING.md", "docs/world.md")]
_PER_SHARD = 64


def sized_index(path: Path, kind: str, images: int) -> Path:
    """Write an index of made-up words, or of those that SmolLM2 reads off a text."""
    model = real_weights.load() if kind == "real" else None
    vocabulary = WORDS if model is None else len(model.unembedding)
    states = STATES if model is None else len(model.model.layers) + 1
    settings = Settings(
        weights=kind,
        processor="",
        dtype="float32",
        vocabulary=vocabulary,
        lens="logit_lens",
        layers=list(range(states)),
        k=K,
        prompt="",
        tracked=[],
        tracked_ids=[],
        images=images,
        names="",
        images_per_shard=_PER_SHARD,
    )
    index = begin(Index(path, settings, f"made:{kind}", {}, {"n_layers": states - 1}))
    write_vocabulary(index, tokenizer_of(vocabulary))
    for shard in range(index.shards):
        write_shard(index, shard, made(index, shard, kind, model))
    return path


def made(index: Index, shard: int, kind: str, model: Any) -> Iterator[ImageWords]:
    """Images one by one."""
    for number in index.images_of(shard):
        read = random_words(number, kind, index) if model is None else real_words(model, number)
        ids, values, entropy = read
        words = Words(
            kind="logit_lens",
            layers=list(index.settings.layers),
            ids=ids,
            values=values,
            logsumexp=np.zeros_like(entropy),
            entropy=entropy,
            strings={},
            layout=_layout(),
            provenance={**index.provenance, "image_sha256": f"{number:064x}"},
        )
        yield ImageWords(number, f"{number:06d}.png", words, orientation=1)


def random_words(number: int, kind: str, index: Index) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Ids, log-probabilities and entropies of one image; no word follows from another."""
    rng = np.random.default_rng(number)
    shape = (len(index.settings.layers), SIDE**2, K)
    ranks = np.arange(1, WORDS + 1)
    share = np.ones(WORDS) if kind == "equal" else 1 / ranks
    ids = rng.choice(WORDS, shape, p=share / share.sum())
    values = -np.sort(rng.gamma(2.0, 1.5, shape), axis=-1).astype(np.float32)
    return ids, values, rng.gamma(4.0, 1.0, shape[:2]).astype(np.float32)


@torch.no_grad()
def real_words(
    model: real_weights.RealModel, number: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of the first 576 tokens of a text of this repository, at all layers of SmolLM2."""
    from llavit_lens.lens.topk import topk_unembed

    layers = list(range(len(model.model.layers) + 1))
    text = TEXTS[number % len(TEXTS)].read_text(encoding="utf-8")
    states = model.states(text, layers, SIDE**2)
    read = [topk_unembed(states[layer], model.unembedding, K) for layer in layers]
    return (
        np.stack([top.ids.numpy() for top in read]),
        np.stack([(top.logits - top.logsumexp[:, None]).numpy() for top in read]),
        np.stack([top.entropy.numpy() for top in read]),
    )


def tokenizer_of(vocabulary: int) -> Any:
    """One that says a made-up word for each id."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    letters = "abcdefghijklmnop"  # of hexadecimal digits: a word has no digits
    words = {f"Ġ{''.join(letters[int(d, 16)] for d in f'{i:x}')}": i for i in range(vocabulary)}
    tokenizer: Any = Tokenizer(models.WordLevel(words, unk_token=next(iter(words))))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer)


def real_words_available() -> bool:
    """Whether SmolLM2's package is installed."""
    return real_weights.available()


def _layout() -> VisualLayout:
    row, col = (axis.ravel() for axis in np.indices((SIDE, SIDE)))
    corners = np.stack([col, row, col + 1, row + 1], axis=1) * 14.0
    return VisualLayout(
        positions=np.arange(5, 5 + SIDE**2),
        tile=np.zeros(SIDE**2, dtype=int),
        row=row,
        col=col,
        grid=((SIDE, SIDE),),
        image_size=(336, 336),
        boxes=corners,
    )
