"""Changes to attention in any decoder, by hooks on what mixes tokens in its layers.

Masks that arrive are edited and keep their form, and by Eq. 5 what a mixer puts out is zero at
visual tokens. Where a module attends through transformers' attention interface, the weights that
it uses are read there, and a token that is left without any key gets zero, whatever the
implementation makes of it.

Shape letters: B batch, H heads (or 1), L new tokens, M keys of a layer, D model width, E head
width.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from inspect import signature
from typing import Any

import torch
from torch import Tensor, nn

from llavit_lens.errors import ConfigurationError
from llavit_lens.interventions.changes import AttentionChange, Changes
from llavit_lens.interventions.masks import Keys
from llavit_lens.interventions.verify import Expected, check_weights
from llavit_lens.model.compat import cache_of
from llavit_lens.vlm.acting import Acting
from llavit_lens.vlm.attention_calls import (
    AttentionCall,
    Result,
    intercepted,
    interface_caller,
    used_weights,
)
from llavit_lens.vlm.mixers import Mixer, mask_of, mixers, states_of, with_mask


class AnyChanges(Changes):
    """Through the modules that mix tokens."""

    def _check(self, change: AttentionChange) -> None:
        found = mixers(self._vlm.decoder)
        if change.cut or change.add:
            check_maskable(found, change.layers)
        if change.updates is False:
            _check_separate(found, change.layers)

    def _set_hooks(self, actor: Acting) -> None:
        for mixer in mixers(self._vlm.decoder):
            if mixer.takes_mask:
                self._set_mask_hooks(actor, mixer)
            if mixer.name:
                self._set_update_hooks(actor, mixer)

    def _begin_pass(self) -> None:
        super()._begin_pass()
        self._expected: dict[int, Expected] = {}
        self._keyless: dict[int, Tensor] = {}
        self._silenced: dict[int, Tensor] = {}

    # -- masks

    def _set_mask_hooks(self, actor: Acting, mixer: Mixer) -> None:
        index, what = mixer.layer, f"an intervention in decoder layer {mixer.layer}"
        needed = partial(self._edits, index)
        actor.hook(mixer.module, what, self._before(mixer), before=True, needed=needed)
        self._expect_reading(actor, index)
        caller = interface_caller(mixer.module)
        if caller is None:
            actor.hook(mixer.module, None, self._after_plain(index), first=True)
        else:
            self._hooks.enter_context(intercepted(caller, partial(self._meet, index)))

    def _edits(self, index: int) -> bool:
        return any(change.cut or change.add for change in self._here(index))

    def _before(self, mixer: Mixer) -> Callable[..., Any]:
        index = mixer.layer
        names = list(signature(mixer.module.forward).parameters)

        def before(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            here = [change for change in self._here(index) if change.cut or change.add]
            if not here:
                return None
            states_BLD, given = states_of(args, kwargs), mask_of(module, args, kwargs)
            arguments = dict(zip(names, args, strict=False)) | kwargs
            place = getattr(module, "layer_idx", index)  # in the cache
            keys = self._keys(given, cache_of(arguments), place, states_BLD.shape[1])
            mask, added = self._edited(index, here, given, keys, states_BLD)
            if mask is given:
                return None
            self._note(index, here, mask, added, states_BLD)
            return with_mask(module, args, kwargs, self._in_form_of(given, mask, states_BLD))

        return before

    def _keys(self, mask: Any, cache: Any, place: int, new: int) -> Keys:
        """Those that a mask is about, or, without one, those in the cache."""
        if isinstance(mask, Tensor) and mask.ndim == 4:
            total = self._passes.current.past + new
            # a layer with a window may have given up the first ones
            return Keys(mask.shape[-1], max(total - mask.shape[-1], 0))
        return Keys.of(cache, place, new)

    def _own(self, mask_BHLM: Tensor, here: list[AttentionChange], keys: Keys) -> Tensor:
        """Without later visual tokens, where visual tokens should attend causally.

        Some models have more tokens in the block of an image than its patches, such as those that
        start it and end its rows: all that see later visual tokens.
        """
        if not any(change.causal for change in here):
            return mask_BHLM
        current = self._passes.current
        device = mask_BHLM.device
        key_M = torch.arange(keys.total, device=device) + keys.offset
        query_L = torch.arange(current.past, current.is_visual.shape[1], device=device)
        later_LM = key_M > query_L[:, None]
        visual_BS = current.is_visual.to(device)
        visual_B11M = keys.columns(visual_BS[:, None])
        sees_later_BHL = (mask_BHLM & later_LM & visual_B11M).any(-1)
        block_BL = visual_BS[:, current.past :] | sees_later_BHL.any(1)
        block_BS = torch.cat([visual_BS[:, : current.past], block_BL], 1)
        keys_B11M = keys.columns(block_BS[:, None])
        return mask_BHLM & ~(later_LM & (block_BL[:, None, :, None] | keys_B11M))

    def _in_form_of(self, given: Any, allowed_BHLM: Tensor, states_BLD: Tensor) -> Tensor:
        """The mask as the implementation takes it: booleans, or numbers to be added."""
        if isinstance(given, Tensor) and given.is_floating_point():
            dtype = given.dtype
        elif given is None and self._vlm.decoder.attn_implementation == "eager":
            dtype = states_BLD.dtype
        else:
            return allowed_BHLM
        zeros = torch.zeros((), dtype=dtype, device=allowed_BHLM.device)
        return torch.where(allowed_BHLM, zeros, torch.finfo(dtype).min)

    def _note(
        self,
        index: int,
        here: list[AttentionChange],
        allowed_BHLM: Tensor,
        added: Tensor | None,
        states_BLD: Tensor,
    ) -> None:
        """What the weights of the call that follows have to be."""
        current, length = self._passes.current, states_BLD.shape[1]
        real_BL = current.is_real[:, current.past :].to(states_BLD.device)
        # what padding attends to does not matter, and differs between kinds of masks
        keyless_BHL = ~allowed_BHLM.any(-1) & real_BL[:, None]
        if bool(keyless_BHL.any()):
            self._keyless[index] = keyless_BHL
        if self._must_verify(index, here, length):
            closed = ~allowed_BHLM & (real_BL[:, None] & ~keyless_BHL)[..., None]
            text = current.visual_tokens.text
            self._expected[index] = Expected(index, closed, added, text)
            self._unread.add(index)

    def _meet(self, index: int, call: AttentionCall) -> Result:
        """Attend; tokens without keys get zero, and weights are read where that is asked for."""
        expected, keyless_BHL = self._expected.pop(index, None), self._keyless.pop(index, None)
        self._check_heads(index, call)
        z_BLHE, weights_BHLM = call.run()
        if expected is not None:
            with torch.no_grad():
                parts = used_weights(call) if weights_BHLM is None else [(0, weights_BHLM)]
                check_weights(call.attention, expected, parts)
            self._has_read(index, z_BLHE.shape[1])
        if keyless_BHL is not None:
            z_BLHE = z_BLHE.masked_fill(keyless_BHL.transpose(1, 2)[..., None], 0)
            if weights_BHLM is not None:
                weights_BHLM = weights_BHLM.masked_fill(keyless_BHL[..., None], 0)
        return z_BLHE, weights_BHLM

    def _check_heads(self, index: int, call: AttentionCall) -> None:
        heads = call.mask.shape[1] if isinstance(call.mask, Tensor) else 1
        if heads not in (1, call.q.shape[1]):
            raise ConfigurationError(
                f"decoder layer {index} has {call.q.shape[1]} heads, and not the {heads} that the "
                "config says, so edges cannot be cut in some of them; leave heads out"
            )

    def _after_plain(self, index: int) -> Callable[..., None]:
        """For attention that does not go through the interface: its own weights are read."""

        def after(module: nn.Module, args: Any, result: Any) -> None:
            expected = self._expected.pop(index, None)
            if self._keyless.pop(index, None) is not None:
                raise ConfigurationError(
                    f"a token is left without any key in decoder layer {index}, and what a "
                    f"{type(module).__name__} makes of that is unknown; pass keep_self=True"
                )
            if expected is None:
                return
            weights = result[1] if isinstance(result, tuple) and len(result) > 1 else None
            if not isinstance(weights, Tensor) or weights.ndim != 4:
                raise ConfigurationError(
                    f"the weights of decoder layer {index} cannot be read: its "
                    f"{type(module).__name__} does not return them; load the model with "
                    "attn_implementation='eager', or pass verify=False"
                )
            check_weights(module, expected, [(0, weights)])
            self._has_read(index, weights.shape[2])

        return after

    # -- no update of visual tokens (Eq. 5)

    def _set_update_hooks(self, actor: Acting, mixer: Mixer) -> None:
        index = mixer.layer
        what = f"an intervention on what decoder layer {index} puts out by {mixer.name}"
        needed = partial(self._skips_update, index)
        actor.hook(mixer.module, what, self._silence(index), first=True, needed=needed)
        layer = self._vlm.decoder.layers[index]
        parent = layer.get_submodule(mixer.name.rpartition(".")[0])
        for child in parent.children():
            if child is not mixer.module:
                actor.hook(child, None, self._stays_zero(index))

    def _skips_update(self, index: int) -> bool:
        return any(change.updates is False for change in self._here(index))

    def _silence(self, index: int) -> Callable[..., Any]:
        def after(module: nn.Module, args: Any, result: Any) -> Any:
            if not self._skips_update(index):
                return None
            update = result[0] if isinstance(result, tuple) else result
            self._silenced[index] = update.masked_fill(self._visual_rows(update), 0)
            rest = result[1:] if isinstance(result, tuple) else None
            silenced = self._silenced[index]
            return silenced if rest is None else (silenced, *rest)

        return after

    def _stays_zero(self, index: int) -> Callable[..., None]:
        """A norm after attention has to leave zero as it is."""

        def after(module: nn.Module, args: Any, result: Any) -> None:
            silenced = self._silenced.get(index)
            if silenced is None or not args or args[0] is not silenced:
                return
            out = result[0] if isinstance(result, tuple) else result
            if bool((out.masked_fill(~self._visual_rows(out), 0) != 0).any()):
                raise ConfigurationError(
                    f"in decoder layer {index}, a {type(module).__name__} adds to what attention "
                    "puts out, so visual tokens would get an update without attention; Eq. 5 is "
                    "not possible in this model"
                )

        return after

    def _visual_rows(self, states_BLD: Tensor) -> Tensor:
        """bool [B, L, 1]."""
        current = self._passes.current
        return current.is_visual[:, current.past :, None].to(states_BLD.device)


def check_maskable(found: Iterable[Mixer], layers: Sequence[int]) -> None:
    """Raise ConfigurationError where a mask does not reach all that some layers mix."""
    found = list(found)
    without = [one for one in found if not one.takes_mask]
    wrong = [one for one in without if one.layer in layers]
    if not wrong:
        return
    kinds = dict.fromkeys(one.kind for one in wrong)
    possible = sorted({one.layer for one in found} - {one.layer for one in without})
    instead = f"knock out in {_layers(possible)} only, or use " if possible else "use "
    numbers = sorted({one.layer for one in wrong})
    raise ConfigurationError(
        f"{_layers(numbers)} {'mix' if len(numbers) > 1 else 'mixes'} tokens by "
        f"{' and '.join(kinds)} that no mask reaches; {instead}ablate_visual_attention (Eq. 5)"
    )


def _check_separate(found: Iterable[Mixer], layers: Sequence[int]) -> None:
    """Raise ConfigurationError where what a layer mixes is no part of its own."""
    for mixer in found:
        if mixer.layer in layers and not mixer.name:
            raise ConfigurationError(
                f"decoder layer {mixer.layer} is {mixer.kind} that mixes tokens itself, not by a "
                "part of it, so its update cannot be left out"
            )


def _layers(numbers: Sequence[int]) -> str:
    """Such as "layers 0, 1, 2"."""
    return f"layer{'s' if len(numbers) > 1 else ''} {', '.join(map(str, numbers))}"
