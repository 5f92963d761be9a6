"""Attention knockouts by named edges, and visual tokens that attend in another way (Eq. 5, Eq. 8).

Edges are cut before the softmax, so what is left of a token's attention still adds up to one. A
token that is left without any key gets no update from attention.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import replace

from llavit_lens.errors import ConfigurationError
from llavit_lens.interventions.ablation import ablate_visual_attention
from llavit_lens.interventions.attention_changes import AttentionChange, changed
from llavit_lens.interventions.edges import Edge, Which, read_edges
from llavit_lens.vlm.expected_attention import Mode
from llavit_lens.vlm.layers import Heads, Layers, head_indices, layer_indices
from llavit_lens.vlm.vlm import VLM, require_vlm


def knock_out(
    vlm: VLM,
    edges: Edge | list[Edge],
    layers: Layers = "all",
    heads: Heads = None,
    keep_self: bool = False,
    which: Which = "any",
    verify: bool = True,
) -> AbstractContextManager[None]:
    """Inside, the queries of an edge do not attend to its keys.

        with ll.knock_out(vlm, "last->visual", layers=range(10, 20)):
            vlm.generate("dog.jpg")
        with ll.knock_out(vlm, (ll.Box(10, 20, 80, 90), "all")):  # one object's patches
            ...

    It is in force in prompts, batches and every step of a generation. Attention by anything but
    "eager" and "sdpa" is switched to "sdpa" inside, the untouched layers' too. Several can be open
    at once: all their edges are cut, whatever their order.

    Works in any decoder whose layers mix tokens by attention. Layers that do so by a convolution or
    a recurrence, which no mask reaches, are refused: choose others in `layers`.

    Args:
        edges: `"queries->keys"`, a pair of ends, or a list of these (see `edges.End`).
        layers: decoder layers, from 0 as in the names of hook points.
        heads: query heads; None is all.
        keep_self: tokens still attend to themselves.
        which: cut only the edges to keys "earlier" or "later" than the query.
        verify: read the attention weights, in the first prompt and the first step of a generation,
            and raise unless every one on a closed edge is exactly zero. Costs one more attention
            call for as many keys as a head is wide, in these two passes.

    Raises:
        ConfigurationError: there is no such edge, layer or head, a layer mixes tokens without a
            mask, or `vlm` is not a VLM; later, in the pass, a region where the layout is unknown,
            or weights that are not zero.
    """
    require_vlm(vlm)
    change = AttentionChange(
        vlm,
        layer_indices(vlm.decoder, layers),
        cut=read_edges(edges, which, keep_self),
        heads=head_indices(vlm.decoder, heads),
        verify=verify,
    )
    return changed(change)


def visual_attention(
    vlm: VLM, mode: Mode, layers: Layers = "all", verify: bool = True
) -> AbstractContextManager[None]:
    """Inside, visual tokens attend to each other as in a model configured so.

    `causal` undoes Eq. 8 in a LLaViT, and what models such as Gemma 3 and PaliGemma do by design;
    `bidirectional` gives Eq. 8 to a baseline; `self` cuts only attention across patches; `none` is
    `ablate_visual_attention`. Text attends as before. Where several are open, what one cuts is cut.
    For all but `none`, attention by anything but "eager" and "sdpa" is switched to "sdpa" inside.

    Raises:
        ConfigurationError: there is no such mode or layer, or `vlm` is not a VLM; later, in the
            pass, new visual tokens after cached ones, which could not attend to them; weights as in
            `knock_out`.
    """
    require_vlm(vlm)
    if mode == "none":
        return ablate_visual_attention(vlm, layers)
    among = read_edges("visual->visual", keep_self=True)
    later = read_edges("visual->visual", which="later")
    change = AttentionChange(vlm, layer_indices(vlm.decoder, layers), updates=True, verify=verify)
    changes = {
        "causal": replace(change, causal=True, cut=later),
        "bidirectional": replace(change, add=among),
        "self": replace(change, cut=among),
    }
    if mode not in changes:
        raise ConfigurationError(f"mode={mode!r}: pass one of {', '.join([*changes, 'none'])}.")
    return changed(changes[mode])
