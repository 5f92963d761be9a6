"""Attention onto the image: how much chosen tokens attend to every patch, by layer and head.

Shape letters: B batch, H heads, L tokens that attend, S tokens attended to.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from llavit_lens.errors import ConfigurationError
from llavit_lens.images.open import Images
from llavit_lens.inputs import DEFAULT_PROMPT, whole_number
from llavit_lens.lens.text_tokens import TextToken, check_position, find_text, text_tokens
from llavit_lens.lens.token_strings import string_of, token_strings
from llavit_lens.results.attention_patterns import AttentionPatterns, Query, QueryToken
from llavit_lens.vlm.answers import Answer, answer_tokens
from llavit_lens.vlm.hooks import NamedHook
from llavit_lens.vlm.layers import Heads, Layers, head_indices, layer_indices
from llavit_lens.vlm.length import check_length
from llavit_lens.vlm.prompt import Prompt, image_number, only
from llavit_lens.vlm.provenance import of_image, provenance_of
from llavit_lens.vlm.vlm import VLM, require_vlm


@torch.no_grad()
def attention_patterns(
    vlm: VLM,
    image: Images,
    prompt: str = DEFAULT_PROMPT,
    layers: Layers = "all",
    heads: Heads = None,
    queries: Query | list[Query] | None = None,
    *,
    answer: Answer | None = None,
    onto: int | None = None,
) -> AttentionPatterns:
    """How much chosen tokens attend to every patch, at every layer and head: one forward pass.

    The decoder attends by "eager", which alone makes weights. Only the chosen ones are kept:
    layers * heads * queries * n numbers.

    Args:
        layers: decoder layers, from 0 as in the names of hook points; "all" is every layer that
            has a pattern (a convolution or a recurrence has none).
        heads: query heads; None is all.
        queries: one, or a list of several; default: "last", and where there is an answer,
            "answer": for each token of the answer the token before it, which is the one that looks
            at the image when the model writes it.
        answer: what follows the prompt, a text or token ids, such as the `ids` that
            vlm.generate(..., trace=True) returns.
        onto: of several images, the number of the one whose patches are attended to.

    Raises:
        ImageError, ConfigurationError: as `VLM.trace` and `answer_tokens`; a layer, head or query
            that is not there; a layer without a pattern; a patch as query where visual tokens
            attend to nothing (Eq. 5); several images, of which none is chosen.
    """
    require_vlm(vlm)
    prepared = vlm.prepare(image, prompt)
    depth = vlm.decoder.n_layers
    chosen_layers = _layers_with_pattern(vlm, layers)
    some_heads = head_indices(vlm.decoder, heads)
    chosen_heads = list(range(vlm.decoder.n_heads) if some_heads is None else some_heads)
    number = 0 if onto is None else image_number(onto, len(prepared.images))
    if onto is None:
        only(prepared.images, "", "choose one by its number from 0, as in onto=0")
    ids = torch.empty(0, dtype=torch.long, device="cpu")
    if answer is not None:
        ids = answer_tokens(vlm, prepared, answer)
        check_length(vlm.model.config, prepared.length + len(ids))
    if queries is None:
        queries = "last" if answer is None else "answer"
    tokens = [
        token
        for query in (queries if isinstance(queries, list) else [queries])
        for token in _query_tokens(vlm, prepared, ids, number, query)
    ]
    if not tokens:
        raise ConfigurationError("queries is empty: say which tokens attend, such as 'last'")
    layout = prepared.layouts[number]
    rows = torch.tensor([token.position for token in tokens], device="cpu")
    weights: dict[int, np.ndarray] = {}
    shares: dict[int, np.ndarray] = {}

    def keep(pattern_BHLS: Tensor, where: NamedHook) -> None:
        kept = pattern_BHLS[0, chosen_heads][:, rows.to(pattern_BHLS.device)].float().cpu().numpy()
        weights[where.layer()] = kept[:, :, layout.positions]
        shares[where.layer()] = kept[:, :, layout.all_positions].sum(-1)

    names = [f"blocks.{layer}.attn.hook_pattern" for layer in chosen_layers]
    vlm.forward(
        prepared,
        answer=None if answer is None else ids,
        logits_to_keep=1,
        fwd_hooks=[(names, keep)],
    )
    return AttentionPatterns(
        layers=chosen_layers,
        heads=chosen_heads,
        queries=tokens,
        weights=np.stack([weights[layer] for layer in chosen_layers]),
        share_on_visual=np.stack([shares[layer] for layer in chosen_layers]),
        layout=layout,
        n_layers=depth,
        n_tokens=prepared.length + len(ids),
        image=prepared.images[number],
        model=vlm.name,
        prompt=prompt,
        provenance=of_image(provenance_of(vlm, prepared), number),
    )


def _layers_with_pattern(vlm: VLM, layers: Layers) -> list[int]:
    """The chosen layers; of all, those that have a pattern."""
    chosen = list(layer_indices(vlm.decoder, layers))
    if not (isinstance(layers, str) and layers == "all"):
        return chosen
    names = set(vlm.hook_names)
    having = [layer for layer in chosen if f"blocks.{layer}.attn.hook_pattern" in names]
    return having or chosen  # where none has one, the error says why


def _query_tokens(
    vlm: VLM, prompt: Prompt, answer: Tensor, image: int, query: Query
) -> list[QueryToken]:
    """The tokens that a query means; patches are those of one image."""
    if query != "answer":
        return [_query_token(vlm, prompt, answer, image, query)]
    if not len(answer):
        raise ConfigurationError("queries='answer' needs an answer: give answer=")
    first = prompt.length - 1
    return [
        QueryToken(first + place, first + place, f"token that writes {text.strip()!r}", "", -1)
        for place, (_, text) in enumerate(_of_answer(vlm, prompt, answer))
    ]


def _of_answer(vlm: VLM, prompt: Prompt, answer: Tensor) -> list[TextToken]:
    table = token_strings(vlm.tokenizer)
    return [
        TextToken(prompt.length + place, string_of(table, token))
        for place, token in enumerate(answer.tolist())
    ]


def _query_token(vlm: VLM, prompt: Prompt, answer: Tensor, image: int, query: Query) -> QueryToken:
    layout, length = prompt.layouts[image], prompt.length + len(answer)
    tokens = [*text_tokens(vlm, prompt), *_of_answer(vlm, prompt, answer)]
    if isinstance(query, tuple):
        if len(query) not in (2, 3):
            raise ConfigurationError(
                f"{query} is no patch; give (row, column) or (row, column, tile)"
            )
        row, col, *tile = (whole_number(one, "a query's number") for one in query)
        cell = layout.index(row, col, *tile)
        query = (row, col, tile[0]) if tile else (row, col)
        position = int(layout.positions[cell])
    elif isinstance(query, str):
        position = prompt.length - 1 if query == "last" else find_text(tokens, query).position
    else:
        position = check_position(query, length)
        query = whole_number(query, "query")  # as a file holds it
    texts = {token.position: token.text for token in tokens}
    if position in texts:
        kind = "last token" if position == prompt.length - 1 else f"token {position}"
        return QueryToken(query, position, kind, texts[position], -1)
    if vlm.visual_attention == "none":
        raise ConfigurationError(
            f"{vlm.name} has no visual attention (Eq. 5): its visual tokens attend to nothing, so "
            f"{query!r} has no pattern; ask for text tokens"
        )
    for other, elsewhere in enumerate(prompt.layouts):
        if other != image and position in elsewhere.all_positions:
            return QueryToken(query, position, f"token {position}, of image {other}", "", -1)
    cells = np.flatnonzero(layout.positions == position)
    if not len(cells):
        return QueryToken(query, position, f"token {position}, off the image", "", -1)
    cell = int(cells[0])
    if not layout.has_map:
        return QueryToken(query, position, f"visual token {cell}", "", cell)
    kind = f"patch at row {layout.row[cell]}, column {layout.col[cell]}"
    if len(layout.grid) > 1:
        kind += f" of tile {layout.tile[cell]}"
    return QueryToken(query, position, kind, "", cell)
