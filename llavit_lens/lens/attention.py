"""Attention onto the image: how much chosen tokens attend to every patch, by layer and head.

Shape letters: B batch, H heads, L tokens that attend, S tokens attended to.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from llavit_lens.errors import ConfigurationError
from llavit_lens.images.open import ImageSource
from llavit_lens.inputs import DEFAULT_PROMPT, whole_number
from llavit_lens.lens.text_tokens import check_position, find_text, text_tokens
from llavit_lens.results.attention_patterns import AttentionPatterns, Query, QueryToken
from llavit_lens.vlm.hooks import NamedHook
from llavit_lens.vlm.layers import Heads, Layers, head_indices, layer_indices
from llavit_lens.vlm.prompt import Prompt
from llavit_lens.vlm.provenance import provenance_of
from llavit_lens.vlm.vlm import VLM, require_vlm


@torch.no_grad()
def attention_patterns(
    vlm: VLM,
    image: ImageSource,
    prompt: str = DEFAULT_PROMPT,
    layers: Layers = "all",
    heads: Heads = None,
    queries: Query | list[Query] = "last",
) -> AttentionPatterns:
    """How much chosen tokens attend to every patch, at every layer and head: one forward pass.

    The decoder attends by "eager", which alone makes weights. Only the chosen ones are kept:
    layers * heads * queries * n numbers.

    Args:
        layers: decoder layers, from 0 as in the names of hook points.
        heads: query heads; None is all.
        queries: one, or a list of several.

    Raises:
        ImageError, ConfigurationError: as `VLM.trace`; a layer, head or query that is not there; a
            patch as query where visual tokens attend to nothing (Eq. 5).
    """
    require_vlm(vlm)
    prepared = vlm.prepare(image, prompt)
    depth = vlm.decoder.n_layers
    chosen_layers = list(layer_indices(vlm.decoder, layers))
    some_heads = head_indices(vlm.decoder, heads)
    chosen_heads = list(range(vlm.decoder.n_heads) if some_heads is None else some_heads)
    tokens = [
        _query_token(vlm, prepared, query)
        for query in (queries if isinstance(queries, list) else [queries])
    ]
    if not tokens:
        raise ConfigurationError("queries is empty: say which tokens attend, such as 'last'")
    layout = prepared.layout
    rows = torch.tensor([token.position for token in tokens], device="cpu")
    weights: dict[int, np.ndarray] = {}
    shares: dict[int, np.ndarray] = {}

    def keep(pattern_BHLS: Tensor, where: NamedHook) -> None:
        kept = pattern_BHLS[0, chosen_heads][:, rows.to(pattern_BHLS.device)].float().cpu().numpy()
        weights[where.layer()] = kept[:, :, layout.positions]
        shares[where.layer()] = kept[:, :, layout.all_positions].sum(-1)

    names = [f"blocks.{layer}.attn.hook_pattern" for layer in chosen_layers]
    vlm.forward(prepared, logits_to_keep=1, fwd_hooks=[(names, keep)])
    return AttentionPatterns(
        layers=chosen_layers,
        heads=chosen_heads,
        queries=tokens,
        weights=np.stack([weights[layer] for layer in chosen_layers]),
        share_on_visual=np.stack([shares[layer] for layer in chosen_layers]),
        layout=layout,
        n_layers=depth,
        n_tokens=prepared.length,
        image=prepared.image,
        model=vlm.name,
        prompt=prompt,
        provenance=provenance_of(vlm, prepared),
    )


def _query_token(vlm: VLM, prompt: Prompt, query: Query) -> QueryToken:
    layout = prompt.layout
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
        tokens = text_tokens(vlm, prompt)
        position = prompt.length - 1 if query == "last" else find_text(tokens, query).position
    else:
        position = check_position(query, prompt.length)
        query = whole_number(query, "query")  # as a file holds it
    texts = {token.position: token.text for token in text_tokens(vlm, prompt)}
    if position in texts:
        kind = "last token" if position == prompt.length - 1 else f"token {position}"
        return QueryToken(query, position, kind, texts[position], -1)
    if vlm.visual_attention == "none":
        raise ConfigurationError(
            f"{vlm.name} has no visual attention (Eq. 5): its visual tokens attend to nothing, so "
            f"{query!r} has no pattern; ask for text tokens"
        )
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
