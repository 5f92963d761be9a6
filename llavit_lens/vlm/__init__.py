"""One loaded vision-language model: where its visual tokens lie, what it thinks, what it says."""

from __future__ import annotations

from llavit_lens.images.layout import VisualLayout
from llavit_lens.images.open import open_image
from llavit_lens.vlm.load import load
from llavit_lens.vlm.trace import Trace
from llavit_lens.vlm.vlm import VLM

__all__ = ["VLM", "Trace", "VisualLayout", "load", "open_image"]
