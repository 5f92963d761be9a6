"""How sharp the image is on the page, and how sharp the model sees it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from llavit_lens.explorer.lens_cache import LensResult
    from llavit_lens.images.layout import VisualLayout

Size = tuple[int, int]
"""Width and height in pixels."""


def resolution(shown: Size, results: Sequence[tuple[str, LensResult]]) -> str:
    """In a sentence, for the results of one or two models, each with its model's title."""
    seen = {title: _seen(result) for title, result in results}
    known = {title: text for title, text in seen.items() if text}
    if not known:
        return f"Shown at {_pixels(shown)} pixels."
    if len(set(seen.values())) == 1:
        who = "the model sees" if len(seen) == 1 else "both models see"
        return f"Shown at {_pixels(shown)} pixels; {who} {next(iter(known.values()))}."
    each = "; ".join(f"{title} sees {text}" for title, text in known.items())
    return f"Shown at {_pixels(shown)} pixels; {each}."


def _seen(result: LensResult) -> str:
    """What the vision tower is given; "" if it is not known."""
    if result.input_size is None:
        return ""
    layout = result.words.layout
    one, tiles = _pixels(result.input_size), len(layout.grid)
    if tiles == 1:
        return one if _covers(layout) else f"{one} of the middle square"
    if layout.whole is None:
        return f"{one} of each of {tiles} parts"
    return f"{one} of the whole and {one} of each of {tiles - 1} parts"


def _covers(layout: VisualLayout) -> bool:
    """Whether the patches cover the image, but for a narrow rest that fits no whole patch."""
    size = np.array(layout.image_size)
    boxes = layout.boxes[layout.on_image]
    least, most = boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)
    return bool((most - least >= 0.95 * size).all())


def _pixels(size: Size) -> str:
    return f"{size[0]} × {size[1]}"


def input_size_of(config: object, layout: VisualLayout | None = None) -> Size | None:
    """(width, height) of what a model's vision tower takes; None if its config does not say, or
    says another size than that of the patches of `layout`: the largest of a tower that takes any.
    """
    vision = getattr(config, "vision_config", None)
    size, patch = (getattr(vision, name, None) for name in ("image_size", "patch_size"))
    if isinstance(size, (list, tuple)) and len(size) == 2:
        height, width = map(int, size)
    elif isinstance(size, int):
        height = width = size
    else:
        return None
    if layout is not None and isinstance(patch, int) and patch > 0:
        lines = [
            divmod(side // patch, n)
            for grid in layout.grid
            for side, n in zip((height, width), grid, strict=True)
        ]
        if any(rest for _, rest in lines) or len({merged for merged, _ in lines}) > 1:
            return None
    return width, height
