"""No visual attention (Eq. 5) in a model that was trained with it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

from torch import Tensor

from llavit_lens.interventions.attention_changes import AttentionChange, changed
from llavit_lens.interventions.passes import follow_passes
from llavit_lens.vlm.hooks import NamedHook
from llavit_lens.vlm.layers import Heads, Layers, head_indices, layer_indices
from llavit_lens.vlm.vlm import VLM, require_vlm


def ablate_visual_attention(
    vlm: VLM, layers: Layers = "all", heads: Heads = None
) -> AbstractContextManager[None]:
    """Inside, visual tokens skip the attention update of these layers (Eq. 5).

        with ll.ablate_visual_attention(vlm, layers=range(10, 20)):
            vlm.generate("dog.jpg")

    They keep their MLP, and text still attends to them: the model is, to the last bit, the one that
    is configured with visual_attention="none" and has the same weights. The queries of visual
    tokens are not computed where that is known to save time (one sample, attention by "sdpa" or
    "llavit_sdpa", a decoder that this package rebuilds). Works with every attention implementation,
    and with layers that mix tokens by a convolution or a recurrence.

    Args:
        layers: decoder layers, from 0 as in the names of hook points.
        heads: only what these query heads read is left out of the update of visual tokens (their
            part of it is zero); None is all heads.

    Raises:
        ConfigurationError: there is no such layer or head, `vlm` is not a VLM, or, with `heads`,
            a layer has no hook point for what its heads read.
    """
    require_vlm(vlm)
    numbers, some_heads = layer_indices(vlm.decoder, layers), head_indices(vlm.decoder, heads)
    if some_heads is None:
        return changed(AttentionChange(vlm, numbers, causal=True, updates=False))
    return _silenced(vlm, numbers, some_heads)


@contextmanager
def _silenced(vlm: VLM, layers: tuple[int, ...], heads: tuple[int, ...]) -> Iterator[None]:
    """Inside, what these heads read is zero at visual tokens."""
    with follow_passes(vlm.model, vlm.image_token_id) as passes:

        def silence(z_BLHE: Tensor, hook: NamedHook) -> Tensor:
            new_BL = passes.current.is_visual[:, passes.current.past :].to(z_BLHE.device)
            silent_H = new_BL.new_zeros(z_BLHE.shape[2])
            silent_H[list(heads)] = True
            return z_BLHE.masked_fill((new_BL[:, :, None] & silent_H)[..., None], 0.0)

        with vlm.hooks([(f"blocks.{layer}.attn.hook_z", silence) for layer in layers]):
            yield
