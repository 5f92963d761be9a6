"""Readings of tiny models, as the explorer's bench makes them."""

from __future__ import annotations

from typing import Any

from PIL import Image

from llavit_lens.explorer.bench import Reading
from llavit_lens.lens.input_similarity import input_similarity
from llavit_lens.lens.logit_lens import logit_lens
from llavit_lens.vlm.vlm import VLM


def reading_of(vlm: VLM, image: Image.Image, k: int = 6, key: Any = None) -> Reading:
    """What the bench makes of a model that is at hand already."""
    trace = vlm.trace(image)
    return Reading(key or vlm.name, trace, logit_lens(trace, k), input_similarity(trace, k), "cpu")
