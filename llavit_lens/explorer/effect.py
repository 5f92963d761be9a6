"""What an intervention changed, in one line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from llavit_lens.explorer.panes import Pane

if TYPE_CHECKING:
    from llavit_lens.explorer.lens_cache import LensResult


def effect(
    before: Pane,
    after: Pane,
    answers: Sequence[str | None],
    layer: int,
    reason: str | None = None,
    verdicts: Sequence[bool | None] = (None, None),
) -> str:
    """Such as "The answer changed; words changed on 23 of 64 patches at layer 4 (most: 57, layer
    6)."

    Args:
        before, after: one model without and with interventions.
        answers: of both; None: not asked yet.
        layer: of the lens, -1 for the input similarity.
        reason: why no word changed, if that is known.
        verdicts: whether each answer is right; None: not known.
    """
    first, second = answers
    parts = []
    if first is not None and second is not None:
        is_same = first == second
        parts.append("the answer stays the same" if is_same else _change(*verdicts))
    changed = words_changed(before.result, after.result)
    n_patches = int(before.result.words.layout.on_image.sum())
    if not changed.any():
        parts.append(f"no word on any patch changed{f': {reason}' if reason else ''}")
    elif layer < 0:
        parts.append("words at the input cannot change")
    else:
        here, most = int(changed[layer]), int(changed.argmax())
        words = f"words changed on {here} of {n_patches} patches at layer {layer}"
        parts.append(words if most == layer else f"{words} (most: {changed[most]}, layer {most})")
    line = "; ".join(parts)
    return f"{line[0].upper()}{line[1:]}."


def _change(before: bool | None, after: bool | None) -> str:
    """What became of an answer that is not the same."""
    if before and after:
        return "the answer is worded differently and still right"
    if before is None or after is None or before == after:
        return "the answer changed"
    return f"the answer is now {'right' if after else 'wrong'}"


def words_changed(before: LensResult, after: LensResult) -> np.ndarray:
    """On how many patches the top word differs, int [depth + 1]: from the projector's output to the
    last layer. Padding does not count."""
    differs = before.words.ids[:, :, 0] != after.words.ids[:, :, 0]
    return differs[:, before.words.layout.on_image].sum(axis=1)
