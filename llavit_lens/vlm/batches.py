"""Traces of many images, several in one forward pass."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from llavit_lens.errors import ConfigurationError, LlavitLensError
from llavit_lens.images.open import ImageSource, is_several, require_one
from llavit_lens.inputs import whole_number
from llavit_lens.vlm.prompt import Prompt
from llavit_lens.vlm.trace import Trace, what
from llavit_lens.vlm.tracing import trace_of_prompt

if TYPE_CHECKING:
    from llavit_lens.vlm.vlm import VLM


def traces_of_images(
    vlm: VLM,
    images: Sequence[ImageSource],
    prompt: str | Sequence[str],
    batch_size: int | None,
) -> list[Trace]:
    """See `VLM.trace_batch`."""
    if not is_several(images):
        raise ConfigurationError(
            f"trace_batch takes a list of images, not {what(images)}; for one image: "
            "vlm.trace(image)"
        )
    if batch_size is not None and whole_number(batch_size, "batch_size") < 1:
        raise ConfigurationError(f"batch_size={batch_size}: give 1 or more, or None")
    prompts = [prompt] * len(images) if isinstance(prompt, str) else list(prompt)
    if len(prompts) != len(images):
        raise ConfigurationError(
            f"there are {len(prompts)} prompts for {len(images)} images; give one for all, or one "
            "for each"
        )
    prepared = [
        _prepared(vlm, image, text, number, len(images))
        for number, (image, text) in enumerate(zip(images, prompts, strict=True))
    ]
    return [trace_of_prompt(vlm, prompt, "visual") for prompt in prepared]


def _prepared(vlm: VLM, image: ImageSource, prompt: str, number: int, count: int) -> Prompt:
    """One prompt; an error says of which image.

    Raises:
        ImageError, ConfigurationError: as `VLM.trace`.
    """
    try:
        require_one(image, "each entry of trace_batch")
        return vlm.prepare(image, prompt)
    except LlavitLensError as error:
        raise type(error)(f"image {number} (of {count}, counted from 0): {error}") from error
