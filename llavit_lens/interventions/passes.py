"""Which token is what, in every forward pass: a prompt, a batch, each step of a generation.

Shape letters: B batch, L new tokens, S cached and new tokens.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from inspect import signature
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from transformers.cache_utils import Cache

from llavit_lens.errors import ConfigurationError
from llavit_lens.model.attention.positions import find_visual_positions, packed_samples
from llavit_lens.model.attention.routing import VisualTokens
from llavit_lens.model.compat import cache_of
from llavit_lens.vlm.acting import acting
from llavit_lens.vlm.families import decoder_of
from llavit_lens.vlm.pass_inputs import PassInputs
from llavit_lens.vlm.turns import reading_of


@dataclass(frozen=True)
class Pass:
    """The tokens of the forward pass under way.

    Attributes:
        is_visual: bool [B, S], image tokens among the cached and the new tokens.
        is_real: bool [B, S], False at padding.
        past: how many of the S tokens were cached before.
        visual_tokens: the new tokens, as attention is given them.
        reading: layouts and prompt lengths of its samples, as far as known.
    """

    is_visual: Tensor
    is_real: Tensor
    past: int
    visual_tokens: VisualTokens
    reading: PassInputs


class Passes:
    """Filled by `follow_passes`; `current` is the pass under way or, between two, the last one."""

    def __init__(self, model: Any, image_token_id: int) -> None:
        self._model, self._image_token_id = model, image_token_id
        self._goes_by_types = hasattr(model.config, "separate_visual_qkv")  # a switch of LLaViT
        self._last: Pass | None = None
        self._is_new = False
        self._in_cache: WeakKeyDictionary[Cache, Tensor] = WeakKeyDictionary()

    @property
    def current(self) -> Pass:
        """Raises ConfigurationError before the first pass."""
        if self._last is None:
            raise ConfigurationError("there was no forward pass yet")
        return self._last

    def begin(self, arguments: dict[str, Any]) -> None:
        """Take note of the arguments of a forward pass of the model without its head.

        Raises:
            ConfigurationError: rows that hold several samples; tokens that were cached before
                the passes were followed.
        """
        cache, mask = cache_of(arguments), arguments.get("attention_mask")
        past = 0 if cache is None else int(cache.get_seq_length())
        positions = arguments.get("position_ids")
        if getattr(positions, "ndim", 0) > 2:
            positions = None  # places by row and column, which start again within an image
        if packed_samples(mask, cache, positions) is not None:
            raise ConfigurationError(
                "position_ids start again within a row, so it holds several samples; interventions "
                "take one sample per row."
            )
        new_BL = self._new(arguments, past)
        is_visual = torch.cat([self._cached(cache, new_BL, past), new_BL], dim=1)
        if cache is not None:
            self._in_cache[cache] = is_visual
        self._last = Pass(
            is_visual=is_visual,
            is_real=_real(mask, is_visual, past),
            past=past,
            visual_tokens=VisualTokens.from_mask(new_BL),
            reading=reading_of(self._model),
        )
        self._is_new = True

    def _new(self, arguments: dict[str, Any], past: int) -> Tensor:
        """bool [B, L], the visual ones of the new tokens: those that hold the placeholder's id.

        `mm_token_type_ids` mark other tokens too in many families, such as those that start, part
        and end an image. They are read in LLaViT, which goes by them itself, and where there are
        no ids: then they are all that the caller says.
        """
        ids, embeddings = arguments.get("input_ids"), arguments.get("inputs_embeds")
        goes_by_types = self._goes_by_types or ids is None
        types = arguments.get("mm_token_type_ids") if goes_by_types else None
        new_BL = find_visual_positions(ids, embeddings, types, past, self._image_token_id).new_BL
        has_pixels = any("pixel" in name and value is not None for name, value in arguments.items())
        if past > 0 and types is None and not has_pixels:
            new_BL = torch.zeros_like(new_BL)  # an image token that the model wrote is text
        return new_BL

    def reach_decoder(self, *_: Any) -> None:
        """Raise ConfigurationError if the decoder runs without the model around it: `begin` reads
        the model's arguments."""
        if not self._is_new:
            raise ConfigurationError(
                "the decoder runs without the model around it, so it is not known which of its "
                "tokens are visual; call vlm.model(**inputs)."
            )
        self._is_new = False

    def _cached(self, cache: Cache | None, new_BL: Tensor, past: int) -> Tensor:
        if cache is None or past == 0:
            return new_BL[:, :0]
        is_visual = self._in_cache.get(cache)
        last = None if self._last is None else self._last.is_visual
        if is_visual is None and last is not None and last.shape[1] == past:
            is_visual = last  # a pass that was given no cache has made this one
        if is_visual is None or len(is_visual) != len(new_BL) or is_visual.shape[1] < past:
            raise ConfigurationError(
                f"it is unknown which of the {past} cached tokens are visual; start from the "
                "prompt, inside of the intervention."
            )
        return is_visual[:, :past]


@contextmanager
def follow_passes(model: nn.Module, image_token_id: int) -> Iterator[Passes]:
    """Inside, the yielded object knows the tokens of each forward pass of `model`.

    `model` is a model that reads images, with its language-model head.
    """
    passes = Passes(model, image_token_id)
    body = _body_of(model)
    names = list(signature(body.forward).parameters)

    def begin(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        # LLaVA-NeXT's model with its head passes the ids on by their place
        passes.begin(dict(zip(names, args, strict=False)) | kwargs)

    with acting(model) as actor:
        actor.hook(body, None, begin, before=True)
        actor.hook(decoder_of(model), None, passes.reach_decoder, before=True)
        yield passes


def _body_of(model: Any) -> Any:
    """What is given the ids of tokens in every pass: the model without its head or, where that is
    the decoder itself or does not hold it, the model."""
    body, decoder = getattr(model, "model", None), decoder_of(model)
    if not isinstance(body, nn.Module) or body is decoder:
        return model
    return body if any(module is decoder for module in body.modules()) else model


def _real(mask: Any, is_visual_BS: Tensor, past: int) -> Tensor:
    """bool [B, S], from a padding mask [B, S], or from whether tokens attend to themselves."""
    if isinstance(mask, dict):  # one for each type of layer
        some = [one for one in mask.values() if getattr(one, "ndim", 0) == 4]
        mask = mask.get("full_attention", some[0] if some else None)
    real = torch.ones_like(is_visual_BS)
    if mask is None:
        return real
    if getattr(mask, "ndim", 0) == 2:
        return mask.bool()
    if getattr(mask, "ndim", 0) == 4:
        total = is_visual_BS.shape[1]
        queries = torch.arange(past, total, device=mask.device)
        offset = max(total - mask.shape[-1], 0)  # with a sliding window it starts later
        diagonal_BL = mask[:, 0, queries - past, queries - offset]
        is_open = diagonal_BL if mask.dtype == torch.bool else diagonal_BL == 0
        real[:, past:] = is_open
        return real
    raise ConfigurationError(
        f"the attention mask is a {type(mask).__name__}, which does not show what is "
        "padding; use attn_implementation 'eager' or 'sdpa'."
    )
