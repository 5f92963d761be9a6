"""Eq. 6 undone in a trained LLaViT: visual tokens go through the projections of text."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import torch
from torch import Tensor

from llavit_lens.errors import ConfigurationError
from llavit_lens.interventions.attention_changes import AttentionChange, changed
from llavit_lens.vlm.acting import acting
from llavit_lens.vlm.layers import Layers, layer_indices
from llavit_lens.vlm.vlm import VLM, require_vlm


def text_projections(
    vlm: VLM, layers: Layers = "all", projections: str = "qkv"
) -> AbstractContextManager[None]:
    """Inside, visual tokens use W^text where they have W^vis (Eq. 6 of the paper, undone).

        with ll.text_projections(vlm, layers=[4, 5]):
            words = ll.logit_lens(vlm.trace("dog.jpg"))

    What W^vis has learned in these layers is missing; everything else stays, the attention among
    visual tokens too. The model is then one that has copies of the text weights as visual ones
    there.
    The hook points hook_q_visual, hook_k_visual and hook_v_visual show what is used instead; hooks
    of your own on a text projection see the rows of visual tokens too.

    Args:
        layers: decoder layers, from 0 as in the names of hook points.
        projections: which: "q", "k", "v" or several of them.

    Raises:
        ConfigurationError: the model has no visual projections, there is no such layer or
            projection, or `vlm` is not a VLM.
    """
    require_vlm(vlm)
    numbers = layer_indices(vlm.decoder, layers)
    parts = set(projections) if isinstance(projections, str) else set()
    if not parts or not parts <= set("qkv"):
        raise ConfigurationError(f"projections={projections!r}: name one or more of 'qkv'.")
    if not getattr(vlm.model.config, "separate_visual_qkv", False):
        raise ConfigurationError(
            f"{vlm.name} has no projections of its own for visual tokens, so there is nothing to "
            "undo; load a LLaViT."
        )
    return _undone(vlm, numbers, parts)


@contextmanager
def _undone(vlm: VLM, layers: tuple[int, ...], wanted: set[str]) -> Iterator[None]:
    # this change does nothing to attention, but counts as one: inside, no bridge is made, and no
    # prompt is continued that was cached outside
    with changed(AttentionChange(vlm, layers)), acting(vlm.model) as actor:
        for layer in layers:
            attention: Any = vlm.decoder.layers[layer].self_attn
            for name in attention.routed_projections:
                if wanted & set(name.removesuffix("_proj")):
                    actor.hook(
                        getattr(attention, f"{name}_visual"),
                        f"text_projections, at {name} of decoder layer {layer},",
                        _instead(attention, name, _columns(attention, name, wanted)),
                        needed=actor.visual_rows,
                    )
        yield


def _columns(attention: Any, name: str, wanted: set[str]) -> Tensor | None:
    """bool [out features] of a fused projection: those of the wanted parts; None: all of them."""
    parts = name.removesuffix("_proj")
    if set(parts) <= wanted:
        return None
    config = attention.config
    heads = {"q": config.num_attention_heads}
    of_parts = [
        torch.full(
            (heads.get(part, config.num_key_value_heads) * attention.head_dim,), flag, device="cpu"
        )
        for part, flag in ((part, part in wanted) for part in parts)
    ]
    return torch.cat(of_parts)


def _instead(
    attention: Any, name: str, columns: Tensor | None
) -> Callable[[Any, Any, Tensor], Tensor]:
    """A hook that puts what the text projection makes of the same rows in place of the visual
    one's output."""

    def replace(module: Any, args: Any, out: Tensor) -> Tensor:
        if getattr(attention, f"{name}_visual") is not module:
            raise ConfigurationError(
                f"{name}_visual was wrapped while text_projections was open; wrap it before that."
            )
        other: Tensor = getattr(attention, name)(*args)
        return other if columns is None else torch.where(columns.to(out.device), other, out)

    return replace
