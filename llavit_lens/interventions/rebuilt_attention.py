"""Changes to attention in decoders that this package rebuilds: LLaViT's, and those of its families.

Their attention takes a mask of booleans with every implementation, and knows visual tokens.

Shape letters: B batch, H heads (or 1), L new tokens, M keys of a layer, D model width, E head
width.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from llavit_lens.errors import ConfigurationError
from llavit_lens.interventions.changes import AttentionChange, Changes
from llavit_lens.interventions.masks import Keys
from llavit_lens.interventions.passes import Pass
from llavit_lens.interventions.verify import Expected, stop_verifying, verify_next_call
from llavit_lens.model.compat import CACHE, cache_of
from llavit_lens.vlm.acting import Acting
from llavit_lens.vlm.hooks import hook_points


class RebuiltChanges(Changes):
    """Through what the layers of such a decoder are given."""

    _silent: set[tuple[int, bool]]

    def enter(self, change: AttentionChange) -> None:
        super().enter(change)
        self._silent.clear()

    def _check(self, change: AttentionChange) -> None:
        hook_points(self._vlm.model)  # adds them, and every layer has to have them

    def _set_hooks(self, actor: Acting) -> None:
        self._silent = set()
        self._attentions = [layer.self_attn for layer in self._decoder.layers]
        for index, attention in enumerate(self._attentions):
            self._set_hooks_of_layer(actor, index, attention)
        self._hooks.callback(self._stop_verifying)

    def _set_hooks_of_layer(self, actor: Acting, index: int, attention: Any) -> None:
        def is_in_force() -> bool:
            return bool(self._here(index))

        what = f"an intervention in decoder layer {index}"
        before, after = self._before_layer(index), self._after_layer(index)
        actor.hook(attention, what, before, before=True, needed=is_in_force)
        # a forward that is not ours, to which a change means nothing, does not come to this point
        result = attention.hook_z
        actor.hook(result, f"{what}, given to attention,", after, first=True, needed=is_in_force)
        self._expect_reading(actor, index)

    def _stop_verifying(self) -> None:
        for attention in self._attentions:
            stop_verifying(attention)

    def _begin_pass(self) -> None:
        super()._begin_pass()
        self._without_update: set[int] = set()
        self._was_bidirectional = False
        self._causal: Any = None

    def _before_pass(self, module: nn.Module, args: Any, kwargs: dict[str, Any]) -> None:
        """Build the mask that a causal model would have, before any layer fills the cache."""
        super()._before_pass(module, args, kwargs)
        self._stop_verifying()  # a pass that failed may have left some of it
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
            here = self._here(index)
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
        states_BLD: Tensor = kwargs["hidden_states"]
        length = states_BLD.shape[1]
        keys = Keys.of(cache_of(kwargs), index, length)
        mask = kwargs["attention_mask"]
        if self._was_bidirectional and any(change.causal for change in here):
            mask = self._causal
            if isinstance(mask, dict):
                mask = mask[self._decoder.config.layer_types[index]]
            new |= {"attention_mask": mask, "attention_runs": None}
        added: Tensor | None = None
        if any(change.cut or change.add for change in here):
            mask, added = self._edited(index, here, mask, keys, states_BLD)
            new["attention_mask"] = mask
        if False in updates:
            added = None  # by Eq. 5 those queries are left out
        # Where nothing changes there is nothing to verify.
        if self._must_verify(index, here, length) and mask is not kwargs["attention_mask"]:
            # What padding attends to does not matter, and differs between kinds of masks.
            real_BL = current.is_real[:, current.past :].to(states_BLD.device)
            closed = ~self._allowed(mask, keys, states_BLD) & real_BL[:, None, :, None]
            expected = Expected(index, closed, added, current.visual_tokens.text)
            self._unread.add(index)
            verify_next_call(module, expected, then=lambda: self._has_read(index, length))
        return new

    def _has_visual_branch(self, current: Pass) -> bool:
        """As in LLaViT's own forward pass: text after cached tokens attends plainly."""
        return current.past == 0 or len(current.visual_tokens.visual) > 0
