"""Edges of attention by the names of their ends, `queries->keys`, and what they are in a pass.

Shape letters: B batch, L new tokens, S cached and new tokens.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast, get_args

import numpy as np
import torch
from torch import Tensor

from llavit_lens.errors import ConfigurationError
from llavit_lens.images.regions import Box, Mask, area_of, layout_with
from llavit_lens.interventions.passes import Pass

Name = Literal["visual", "text", "last", "all"]
"""`visual`: the tokens I_v of all images, with those that end rows of tiles; `text`: all others;
`last`: the last token of the prompt and each one after it, which write an answer that is generated
or given; `all`: all of them.

`last` needs the prompt length, which all passes through the VLM know. Where it is unknown (see
`VLM.reading`), `last` is the last token of each pass."""

End = Name | Box | Mask | tuple[float, float, float, float] | Sequence[int] | np.ndarray | Tensor
"""Tokens by name; by a part of the image, a `Box` or a tuple (left, top, right, bottom) or
`Mask` or a bool mask [height, width], which hold the patches that they cover by half unless they
say otherwise; or by a list or tensor of their places in the sequence of the prompt (padding
included); negative ones count from the prompt's end: its last token is -1. A list of four numbers
is refused: it could be a box. Padding belongs to no end."""

Which = Literal["any", "earlier", "later"]
"""Where the key stands, seen from the query."""

TokenSet = Name | Box | Mask | Tensor
"""An end as `Edges` keeps it: places in the sequence are int64."""

Edge = str | tuple[End, End]
"""`"visual->text"`, or a pair of ends: (queries, keys)."""


@dataclass(frozen=True, eq=False)
class Edges:
    """All edges from some queries to some keys."""

    queries: TokenSet
    keys: TokenSet
    which: Which = "any"
    keep_self: bool = False

    def of(self, current: Pass) -> Tensor:
        """bool [B, L, S], True on these edges.

        Raises:
            ConfigurationError: a region without a layout that fits, or a token after the last one.
        """
        queries_BS, keys_BS = (_tokens(end, current) for end in (self.queries, self.keys))
        queries_BL = queries_BS[:, current.past :]
        edges_BLS = queries_BL[:, :, None] & keys_BS[:, None]
        key = torch.arange(keys_BS.shape[1], device=keys_BS.device)
        query = key[current.past :, None]
        if self.which == "earlier":
            edges_BLS = edges_BLS & (key < query)
        elif self.which == "later":
            edges_BLS = edges_BLS & (key > query)
        return edges_BLS & (key != query) if self.keep_self else edges_BLS


def read_edges(
    edges: Edge | list[Edge], which: Which = "any", keep_self: bool = False
) -> tuple[Edges, ...]:
    """What a user wrote.

    Raises:
        ConfigurationError: an end, or a side, that there is not.
    """
    if which not in get_args(Which):
        raise ConfigurationError(f"which={which!r}: pass one of {', '.join(get_args(Which))}.")
    several = edges if isinstance(edges, list) else [edges]
    if not several:
        raise ConfigurationError("there is no edge to cut; pass for example 'visual->visual'.")
    pairs = [_pair(edge) for edge in several]
    return tuple(Edges(_end(queries), _end(keys), which, keep_self) for queries, keys in pairs)


def _pair(edge: Any) -> tuple[Any, Any]:
    if isinstance(edge, str) and edge.count("->") == 1:
        queries, keys = edge.split("->")
        return queries.strip(), keys.strip()
    if isinstance(edge, tuple) and len(edge) == 2:
        return edge
    raise ConfigurationError(
        f"{edge!r} is no edge; write 'queries->keys' such as 'last->visual', or a pair such as "
        "(Box(0, 0, 50, 50), 'all'), and several of them in a list."
    )


def _end(end: Any) -> TokenSet:
    if isinstance(end, str):
        if end not in get_args(Name):
            raise ConfigurationError(
                f"there are no tokens named {end!r}; there are {', '.join(get_args(Name))}, "
                "regions of the image and places in the sequence."
            )
        return cast(Name, end)
    if isinstance(end, list) and len(end) == 4:
        raise ConfigurationError(
            f"{end!r} could be a box or four places in the sequence; pass Box(left, top, right, "
            "bottom), or torch.tensor([...]) for places."
        )
    is_mask = isinstance(end, np.ndarray | Tensor) and end.dtype in (np.bool_, torch.bool)
    if isinstance(end, Box | Mask | tuple) or is_mask:
        region = area_of(end)
        if region is None:
            raise ConfigurationError(
                f"{end!r} is no box; a tuple is (left, top, right, bottom) in pixels, and places "
                "in the sequence are a list or a tensor."
            )
        return region
    places = torch.as_tensor(list(end) if isinstance(end, Iterable) else end, device="cpu")
    if places.ndim != 1 or len(places) == 0 or places.is_floating_point():
        raise ConfigurationError(
            f"{end!r} are no places in the sequence; pass a list of whole numbers."
        )
    if places.dtype == torch.bool:
        raise ConfigurationError(
            "places in the sequence are whole numbers, not a mask; for a mask of the image pass "
            "Mask(mask)."
        )
    return places.long()


def _tokens(end: TokenSet, current: Pass) -> Tensor:
    """bool [B, S]."""
    real_BS = current.is_real
    if isinstance(end, Box | Mask):
        return _in_region(end, current)
    if isinstance(end, Tensor):
        if end.max() >= real_BS.shape[1]:
            raise ConfigurationError(
                f"there is no token {int(end.max())}: the sequence has {real_BS.shape[1]}."
            )
        chosen_S = torch.zeros_like(real_BS[0])
        chosen_S[end[end >= 0].to(chosen_S.device)] = True
        return (chosen_S | _from_the_end(end[end < 0], current)) & real_BS
    if end == "visual":
        return current.is_visual & real_BS
    if end == "text":
        return ~current.is_visual & real_BS
    if end == "last":
        return _last(current)
    return real_BS


def _from_the_end(places: Tensor, current: Pass) -> Tensor:
    """bool [B, S]: tokens of the prompt by negative numbers; -1 is its last."""
    number_BS = current.is_real.cumsum(1)  # the first token is number 1
    length_B1 = _lengths(current)
    chosen_BS = torch.zeros_like(current.is_real)
    for place in places.tolist():
        if length_B1 is None:
            raise ConfigurationError(
                f"{place} counts from the end of the prompt, but the prompt length is unknown; run "
                "the model through vlm (vlm.run, vlm.generate, vlm.trace), or inside of "
                "vlm.reading(layout, length=...)."
            )
        shortest = int(length_B1.min())
        if place < -shortest:
            raise ConfigurationError(f"there is no token {place}: the prompt has {shortest}.")
        chosen_BS |= number_BS == length_B1 + 1 + place
    return chosen_BS


def _last(current: Pass) -> Tensor:
    """bool [B, S]: the prompt's last token and those after it, or the last one of the pass."""
    real_BS, length_B1 = current.is_real, _lengths(current)
    if length_B1 is not None:
        return real_BS & (real_BS.cumsum(1) >= length_B1)
    new_BL = real_BS[:, current.past :]
    after_BL = new_BL.flip(1).cumsum(1).flip(1)  # real tokens from here on
    return torch.cat([torch.zeros_like(real_BS[:, : current.past]), new_BL & (after_BL == 1)], 1)


def _lengths(current: Pass) -> Tensor | None:
    """int64 [B, 1], prompt lengths, if known."""
    lengths = current.reading.lengths_of(len(current.is_real))
    if lengths is None:
        return None
    return torch.tensor(lengths, device=current.is_real.device)[:, None]


def _in_region(region: Box | Mask, current: Pass) -> Tensor:
    is_visual_BS = current.is_visual
    in_region_BS = torch.zeros_like(is_visual_BS)
    layouts = current.reading.layouts_of(len(is_visual_BS), str(region))
    for row, of_images in enumerate(layouts):
        places = np.concatenate([layout.all_positions for layout in of_images])
        visual = is_visual_BS[row].nonzero().squeeze(1).cpu().numpy()
        padding = visual[0] - places[0] if len(visual) == len(places) else -1
        if padding < 0 or not np.array_equal(visual, places + padding):
            raise ConfigurationError(
                f"the visual tokens of sample {row} are not those of its layout ({len(visual)} "
                f"and {len(places)} tokens); pass the layouts of the batch's own samples to "
                "vlm.reading, in its order."
            )
        positions = region.positions(layout_with(region, of_images))
        in_region_BS[row, torch.from_numpy(positions + padding)] = True
    return in_region_BS
