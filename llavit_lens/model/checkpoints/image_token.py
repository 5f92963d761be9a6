"""The image token, for checkpoints without one in their vocabulary.

LLaVA's own code writes `<image>` as -200 and cuts it out before the embedding; transformers wants
an id with a row in the word embeddings. Its own port of LLaVA-1.5 appends `<image>` (32000) and a
padding token, and fills up to 32064 rows with random ones. Here `<image>` takes the tokenizer's
next id. A table with rows to spare, such as Qwen2's, has one for it already and stays as it is;
otherwise the table grows by what is needed, and all of its own rows stay equal bit for bit.

A new row of the word embeddings is never used, because image features take its place. A new row of
the unembedding has a logit, which enters every softmax: the row is the mean of all others, so the
logit is the mean of all others too, and the image token is never the most likely one.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from tokenizers import AddedToken
from torch import Tensor

from llavit_lens.errors import CheckpointError
from llavit_lens.model.checkpoints.weights import LazyTensor

IMAGE_TOKEN = "<image>"
TABLES = ("model.language_model.embed_tokens.weight", "lm_head.weight")
"""The weights with a row for each token."""
_BLOCK_ROWS = 512


def place_image_token(tokenizer: Any, rows: int, name: str) -> tuple[int, int]:
    """Give `<image>` an id, in place: the one it has, or the tokenizer's next.

    Args:
        tokenizer: of the language model; gets the token if it lacks it.
        rows: of the word embeddings.
        name: of the checkpoint, for messages.

    Returns:
        The id, and the rows that the word embeddings need.

    Raises:
        CheckpointError: the tokenizer has other tokens without a row.
    """
    vocabulary = tokenizer.get_vocab()
    # Ids without a token before `<image>` would get mean rows too.
    highest = max(index for token, index in vocabulary.items() if token != IMAGE_TOKEN)
    if highest >= rows or vocabulary.get(IMAGE_TOKEN, rows) > rows:
        raise CheckpointError(
            f"{name}: its tokenizer has ids up to {max(vocabulary.values())}, but there are {rows} "
            "word embeddings; they do not belong together"
        )
    if IMAGE_TOKEN not in vocabulary:
        tokenizer.add_tokens(AddedToken(IMAGE_TOKEN, special=True, normalized=False), True)
    image_token_id = tokenizer.convert_tokens_to_ids(IMAGE_TOKEN)
    return image_token_id, max(rows, image_token_id + 1)


def grow_table(table: LazyTensor, rows: int) -> LazyTensor:
    """A table [V, D] with mean rows after its own: [rows, D].

    Peak memory is that of both tables, in their own type.
    """
    old, width = table.shape

    def read() -> Tensor:
        values = table.read()
        grown = torch.empty(rows, width, dtype=values.dtype)
        grown[:old] = values
        grown[old:] = _mean_row(values)
        return grown

    return replace(table, shape=(rows, width), read=read)


def _mean_row(table: Tensor) -> Tensor:
    """The mean over rows, [D], summed by blocks: PyTorch would convert the whole table first."""
    blocks = table.split(_BLOCK_ROWS)
    total = torch.stack([block.sum(0, dtype=torch.float64) for block in blocks]).sum(0)
    return (total / len(table)).to(table.dtype)
