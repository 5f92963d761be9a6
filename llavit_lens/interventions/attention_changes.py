"""All changes to the attention of one model, brought together before each of its layers attends.

However many interventions are open, in whatever order they were opened, a layer attends by

    (its own mask, or the causal one, and edges that are added) without edges that are cut

and visual tokens get no update (Eq. 5) where any intervention says so.

Shape letters: B batch, H heads (or 1), L new tokens, S cached and new tokens, M keys of a layer.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

from torch import Tensor, nn

from llavit_lens.errors import ConfigurationError
from llavit_lens.interventions.edges import Edges
from llavit_lens.interventions.masks import Keys, as_allowed
from llavit_lens.interventions.passes import Pass, follow_passes
from llavit_lens.interventions.verify import Expected, stop_verifying, verify_next_call
from llavit_lens.model.compat import CACHE, cache_of
from llavit_lens.vlm.acting import Acting, acting
from llavit_lens.vlm.attention_choice import attention_by, check_attention
from llavit_lens.vlm.families import decoder_of
from llavit_lens.vlm.hooks import hook_points
from llavit_lens.vlm.turns import owned
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


@contextmanager
def changed(change: AttentionChange) -> Iterator[None]:
    """Inside, the change is in force, together with all others of the same model.

    Raises:
        ConfigurationError: the model has no hook points.
    """
    model = change.vlm.model
    hook_points(model)  # adds them, and every layer has to have them
    with ExitStack() as stack:
        stack.enter_context(owned(model))
        if change.cut or change.add:
            stack.enter_context(attention_by(model, "sdpa", "eager"))
        changes = _of_decoder.setdefault(decoder_of(model), _Changes(model))
        changes.enter(change)
        try:
            yield
        finally:
            changes.leave(change)


def is_changed(model: nn.Module) -> bool:
    """Whether a change is in force in the model."""
    return decoder_of(model) in _of_decoder


class _Changes:
    """The changes in force in one model, and the hooks that make them."""

    def __init__(self, model: Any) -> None:
        self._decoder: Any = decoder_of(model)
        self._open: list[AttentionChange] = []
        self._hooks = ExitStack()
        self._verified: set[tuple[int, bool]] = set()
        self._silent: set[tuple[int, bool]] = set()
        self._begin_pass()

    def enter(self, change: AttentionChange) -> None:
        if not self._open:
            try:
                self._set_hooks(change.vlm)
            except BaseException:
                self._close()
                raise
        self._open.append(change)
        self._verified.clear()
        self._silent.clear()

    def leave(self, change: AttentionChange) -> None:
        self._open.remove(change)
        if not self._open:
            self._close()

    def _close(self) -> None:
        self._hooks.close()
        _of_decoder.pop(self._decoder, None)

    def _set_hooks(self, vlm: VLM) -> None:
        self._vlm = vlm
        self._passes = self._hooks.enter_context(follow_passes(vlm.model, vlm.image_token_id))
        actor = self._hooks.enter_context(acting(vlm.model))
        actor.hook(self._decoder, None, self._before_pass, before=True)
        self._attentions = [layer.self_attn for layer in self._decoder.layers]
        for index, attention in enumerate(self._attentions):
            self._set_hooks_of_layer(actor, index, attention)
        self._hooks.callback(self._stop_verifying)

    def _set_hooks_of_layer(self, actor: Acting, index: int, attention: Any) -> None:
        def is_in_force() -> bool:
            return any(index in change.layers for change in self._open)

        what = f"an intervention in decoder layer {index}"
        before, after = self._before_layer(index), self._after_layer(index)
        actor.hook(attention, what, before, before=True, needed=is_in_force)
        # a forward that is not ours, to which a change means nothing, does not come to this point
        result = attention.hook_z
        actor.hook(result, f"{what}, given to attention,", after, first=True, needed=is_in_force)
        actor.expect(
            f"verify, reading the weights of decoder layer {index},",
            needed=lambda: index in self._unread,
        )

    def _stop_verifying(self) -> None:
        for attention in self._attentions:
            stop_verifying(attention)

    def _begin_pass(self) -> None:
        self._unread: set[int] = set()
        self._without_update: set[int] = set()
        self._was_bidirectional = False
        self._causal: Any = None
        self._edited_masks: dict[Any, tuple[Any, Any, Tensor | None]] = {}

    def _before_pass(self, module: nn.Module, args: Any, kwargs: dict[str, Any]) -> None:
        """Build the mask that a causal model would have, before any layer fills the cache.

        Raises ConfigurationError where attention was set, in between, to one that ignores masks.
        """
        check_attention(self._decoder)
        self._stop_verifying()  # a pass that failed may have left some of it
        self._begin_pass()
        current = self._passes.current
        has_visual = len(current.visual_tokens.visual) > 0
        if has_visual and self._vlm.visual_attention == "bidirectional":
            self._causal = self._decoder.create_masks(
                config=self._decoder.config,
                inputs_embeds=kwargs["inputs_embeds"],
                attention_mask=current.is_real,
                position_ids=kwargs.get("position_ids"),
                **{CACHE: cache_of(kwargs)},
            )
            self._was_bidirectional = True

    def _before_layer(self, index: int) -> Any:
        def before(module: nn.Module, args: Any, kwargs: dict[str, Any]) -> Any:
            here = [change for change in self._open if index in change.layers]
            return (args, kwargs | self._of_layer(index, here, module, kwargs)) if here else None

        return before

    def _after_layer(self, index: int) -> Any:
        def after(module: nn.Module, args: Any, z_BLHE: Tensor) -> None:
            """What visual tokens read is zero by Eq. 5: checked once in a prompt and in a step."""
            kind = (index, z_BLHE.shape[1] > 1)
            if index not in self._without_update or kind in self._silent:
                return
            visual = self._passes.current.visual_tokens.visual.to(z_BLHE.device)
            if bool(z_BLHE.flatten(0, 1)[visual].any()):
                raise ConfigurationError(
                    f"visual tokens still get an update from attention in decoder layer {index}, "
                    "so another forward has taken the place of its own; load the model without it."
                )
            self._silent.add(kind)

        return after

    def _of_layer(
        self, index: int, here: list[AttentionChange], module: Any, kwargs: dict[str, Any]
    ) -> dict[str, Any]:
        """New arguments of a layer's attention."""
        current = self._passes.current
        new: dict[str, Any] = {}
        updates = {change.updates for change in here}
        if updates - {None} and self._has_visual_branch(current):
            new["visual_tokens"] = current.visual_tokens
            new["skip_visual_update"] = False in updates
            if False in updates:
                self._without_update.add(index)
        mask = kwargs["attention_mask"]
        if self._was_bidirectional and any(change.causal for change in here):
            mask = self._causal
            if isinstance(mask, dict):
                mask = mask[self._decoder.config.layer_types[index]]
            new |= {"attention_mask": mask, "attention_runs": None}
        added: Tensor | None = None
        if any(change.cut or change.add for change in here):
            mask, added = self._edited(index, here, mask, kwargs)
            new["attention_mask"] = mask
        if False in updates:
            added = None  # by Eq. 5 those queries are left out
        # Where nothing changes there is nothing to verify; once in a prompt, once in a step.
        kind = (index, kwargs["hidden_states"].shape[1] > 1)
        must_verify = any(change.verify for change in here) and kind not in self._verified
        if must_verify and mask is not kwargs["attention_mask"]:
            # What padding attends to does not matter, and differs between kinds of masks.
            real_BL = current.is_real[:, current.past :].to(kwargs["hidden_states"].device)
            closed = ~self._allowed(index, mask, kwargs) & real_BL[:, None, :, None]
            expected = Expected(index, closed, added, current.visual_tokens.text)
            self._unread.add(index)
            verify_next_call(module, expected, then=lambda: self._has_read(kind))
        return new

    def _has_read(self, kind: tuple[int, bool]) -> None:
        self._verified.add(kind)
        self._unread.discard(kind[0])

    def _has_visual_branch(self, current: Pass) -> bool:
        """As in LLaViT's own forward pass: text after cached tokens attends plainly."""
        return current.past == 0 or len(current.visual_tokens.visual) > 0

    def _allowed(self, index: int, mask: Any, kwargs: dict[str, Any]) -> Tensor:
        """bool [B, H, L, M] of a mask in the form that transformers has it."""
        hidden_BLD: Tensor = kwargs["hidden_states"]
        keys = Keys.of(cache_of(kwargs), index, hidden_BLD.shape[1])
        past = self._passes.current.past
        return as_allowed(mask, hidden_BLD.shape[1], past, keys, hidden_BLD.device)

    def _edited(
        self, index: int, here: list[AttentionChange], mask: Any, kwargs: dict[str, Any]
    ) -> tuple[Any, Tensor | None]:
        """The mask bool [B, H, L, M], or the given one where no edge of it changes, and which of
        its edges were added, if any."""
        length = kwargs["hidden_states"].shape[1]
        keys = Keys.of(cache_of(kwargs), index, length)
        # The same for all layers with the same mask and changes. The mask is kept with it, so that
        # no other mask gets its id.
        device = kwargs["hidden_states"].device  # layers may stand on several
        key = (id(mask), device, keys, tuple(map(id, here)))
        if key not in self._edited_masks:
            given = self._allowed(index, mask, kwargs)
            opened = given
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
                        chosen_H = given.new_zeros(self._decoder.config.num_attention_heads)
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


_of_decoder: WeakKeyDictionary[nn.Module, _Changes] = WeakKeyDictionary()
