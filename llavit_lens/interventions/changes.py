"""The changes to the attention of one model, and what they have in common in every decoder.

Shape letters: B batch, H heads (or 1), L new tokens, S cached and new tokens, M keys of a layer.
"""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from llavit_lens.errors import ConfigurationError
from llavit_lens.interventions.edges import Edges
from llavit_lens.interventions.masks import Keys, as_allowed
from llavit_lens.interventions.passes import Pass, follow_passes
from llavit_lens.vlm.acting import Acting, acting
from llavit_lens.vlm.attention_choice import check_attention
from llavit_lens.vlm.families import decoder_of
from llavit_lens.vlm.vlm import VLM


@dataclass(frozen=True, eq=False)
class AttentionChange:
    """What one intervention changes in some layers.

    Attributes:
        vlm: the model.
        layers: indices of decoder layers.
        cut, add: edges that are closed and opened.
        heads: the query heads of which edges are cut; None is all.
        causal: visual tokens attend causally, as in a model configured so.
        updates: whether visual tokens get an update; None leaves that as it is.
        verify: whether the weights on closed edges are read.
    """

    vlm: VLM
    layers: tuple[int, ...]
    cut: tuple[Edges, ...] = ()
    add: tuple[Edges, ...] = ()
    heads: tuple[int, ...] | None = None
    causal: bool = False
    updates: bool | None = None
    verify: bool = False


class Changes(ABC):
    """The changes in force in one model, and the hooks that make them."""

    def __init__(self, vlm: VLM) -> None:
        self._vlm = vlm
        self._decoder: Any = decoder_of(vlm.model)
        self._open: list[AttentionChange] = []
        self._hooks = ExitStack()
        self._verified: set[tuple[int, bool]] = set()
        self._begin_pass()

    def enter(self, change: AttentionChange) -> None:
        """Bring a change into force.

        Raises:
            ConfigurationError: the model cannot be changed so.
        """
        self._check(change)
        if not self._open:
            try:
                self._passes = self._hooks.enter_context(
                    follow_passes(self._vlm.model, self._vlm.image_token_id)
                )
                actor = self._hooks.enter_context(acting(self._vlm.model))
                actor.hook(self._decoder, None, self._before_pass, before=True)
                self._set_hooks(actor)
            except BaseException:
                self._hooks.close()
                raise
        self._open.append(change)
        self._verified.clear()

    def leave(self, change: AttentionChange) -> bool:
        """Take a change out of force; whether none is left."""
        self._open.remove(change)
        if not self._open:
            self._hooks.close()
        return not self._open

    @abstractmethod
    def _check(self, change: AttentionChange) -> None:
        """Raise ConfigurationError where a change is not possible in this model."""

    @abstractmethod
    def _set_hooks(self, actor: Acting) -> None:
        """Set hooks on the layers."""

    def _own(self, mask_BHLM: Tensor, here: list[AttentionChange], keys: Keys) -> Tensor:
        """bool [B, H, L, M], what a layer attends to before edges are added and cut."""
        return mask_BHLM

    def _begin_pass(self) -> None:
        self._unread: set[int] = set()
        self._edited_masks: dict[Any, tuple[Any, Any, Tensor | None]] = {}

    def _before_pass(self, module: Any, args: Any, kwargs: dict[str, Any]) -> None:
        """Raise ConfigurationError where attention was set, in between, to one that ignores
        masks."""
        check_attention(self._decoder)
        self._begin_pass()

    def _expect_reading(self, actor: Acting, index: int) -> None:
        """A pass is an error in which weights of this layer were to be read and were not."""
        actor.expect(
            f"verify, reading the weights of decoder layer {index},",
            needed=lambda: index in self._unread,
        )

    def _must_verify(self, index: int, here: list[AttentionChange], length: int) -> bool:
        """Once in a prompt, and once in a step."""
        is_asked = any(change.verify for change in here)
        return is_asked and (index, length > 1) not in self._verified

    def _has_read(self, index: int, length: int) -> None:
        self._verified.add((index, length > 1))
        self._unread.discard(index)

    def _here(self, index: int) -> list[AttentionChange]:
        """The changes in force in one layer."""
        return [change for change in self._open if index in change.layers]

    def _allowed(self, mask: Any, keys: Keys, states_BLD: Tensor) -> Tensor:
        """bool [B, H, L, M] of a mask in the form that transformers has it."""
        past = self._passes.current.past
        return as_allowed(mask, states_BLD.shape[1], past, keys, states_BLD.device)

    def _edited(
        self, index: int, here: list[AttentionChange], mask: Any, keys: Keys, states_BLD: Tensor
    ) -> tuple[Any, Tensor | None]:
        """The mask bool [B, H, L, M], or the given one where no edge of it changes, and which of
        its edges were added, if any."""
        # The same for all layers with the same mask and changes. The mask is kept with it, so that
        # no other mask gets its id.
        device = states_BLD.device  # layers may stand on several
        key = (id(mask), device, keys, tuple(map(id, here)))
        if key not in self._edited_masks:
            given = self._allowed(mask, keys, states_BLD)
            opened = self._own(given, here, keys)
            for change in here:
                for edges in change.add:
                    opened = opened | self._columns(edges, change, keys, given)
            allowed = opened
            for change in here:
                for edges in change.cut:
                    closed = self._columns(edges, change, keys, given)
                    if change.updates is None and not bool((closed & opened).any()):
                        self._warn(edges, index)
                    if change.heads is not None:
                        chosen_H = given.new_zeros(self._vlm.decoder.n_heads)
                        chosen_H[list(change.heads)] = True
                        closed = closed & chosen_H[:, None, None]
                    allowed = allowed & ~closed
            added = allowed & ~given
            edited = mask if bool((allowed == given).all()) else allowed
            self._edited_masks[key] = (mask, edited, added if bool(added.any()) else None)
        return self._edited_masks[key][1:]

    def _warn(self, edges: Edges, layer: int) -> None:
        """Warn that a knockout does nothing to a prompt with an image. Steps of a generation and
        text alone often lack an edge."""
        if self._passes.current.past == 0 and bool(self._passes.current.is_visual.any()):
            warnings.warn(
                f"there is nothing to cut: in layer {layer}, {edges.queries} does not attend to "
                f"{edges.keys} (which={edges.which!r}) in this prompt anyway",
                stacklevel=2,
            )

    def _columns(self, edges: Edges, change: AttentionChange, keys: Keys, own: Tensor) -> Tensor:
        current = self._passes.current
        if change.add:
            _check_none_cached(current)
        return keys.columns(edges.of(current)).to(own.device)


def _check_none_cached(current: Pass) -> None:
    """Raise ConfigurationError where new visual tokens come after cached ones."""
    cached = current.is_visual[:, : current.past]
    if len(current.visual_tokens.visual) > 0 and bool(cached.any()):
        raise ConfigurationError(
            "New visual tokens after cached ones: those would have to attend to the new ones "
            "(Eq. 8), but their keys and values are fixed; start again without the cache."
        )
