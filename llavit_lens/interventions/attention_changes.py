"""All changes to the attention of one model, brought together before each of its layers attends.

However many interventions are open, in whatever order they were opened, a layer attends by

    (its own mask, or the causal one, and edges that are added) without edges that are cut

and visual tokens get no update (Eq. 5) where any intervention says so. Decoders that this package
rebuilds are told so by arguments of their own (`rebuilt_attention`), all others by hooks on what
mixes tokens in them (`any_attention`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from weakref import WeakKeyDictionary

from torch import nn

from llavit_lens.interventions.any_attention import AnyChanges
from llavit_lens.interventions.changes import AttentionChange, Changes
from llavit_lens.interventions.rebuilt_attention import RebuiltChanges
from llavit_lens.model.decoders import rebuilds
from llavit_lens.vlm.attention_choice import attention_by
from llavit_lens.vlm.families import decoder_of
from llavit_lens.vlm.turns import owned
from llavit_lens.vlm.vlm import VLM

__all__ = ["AttentionChange", "changed", "is_changed"]


@contextmanager
def changed(change: AttentionChange) -> Iterator[None]:
    """Inside, the change is in force, together with all others of the same model.

    Raises:
        ConfigurationError: the model cannot be changed so.
    """
    model = change.vlm.model
    with ExitStack() as stack:
        stack.enter_context(owned(model))
        decoder = decoder_of(model)
        changes = _of_decoder.get(decoder) or _changes_of(change.vlm)
        if change.cut or change.add:
            stack.enter_context(attention_by(model, "sdpa", "eager"))
        changes.enter(change)
        _of_decoder[decoder] = changes
        try:
            yield
        finally:
            if changes.leave(change):
                del _of_decoder[decoder]


def is_changed(model: nn.Module) -> bool:
    """Whether a change is in force in the model."""
    return decoder_of(model) in _of_decoder


def _changes_of(vlm: VLM) -> Changes:
    return RebuiltChanges(vlm) if rebuilds(vlm.model) else AnyChanges(vlm)


_of_decoder: WeakKeyDictionary[nn.Module, Changes] = WeakKeyDictionary()
