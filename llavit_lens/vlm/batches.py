"""Traces of many images, several in one forward pass."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import torch

from llavit_lens.errors import ConfigurationError, LlavitLensError
from llavit_lens.images.open import ImageSource, is_several, require_one
from llavit_lens.inputs import whole_number
from llavit_lens.vlm.acting import calls_users
from llavit_lens.vlm.prompt import Prompt, fit_together
from llavit_lens.vlm.trace import Trace, what
from llavit_lens.vlm.tracing import traces_of_prompts

if TYPE_CHECKING:
    from llavit_lens.vlm.vlm import VLM

MOST_TOKENS = 4096
"""Of a batch whose size nobody chose: as many prompts, padded to the longest, as have no more."""


class _Asked(NamedTuple):
    number: int
    prompt: Prompt


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
    try:
        prompts = [prompt] * len(images) if isinstance(prompt, str) else list(prompt)
    except TypeError as error:
        raise ConfigurationError(
            f"prompt takes one text for all images, or a list with one for each, not {what(prompt)}"
        ) from error
    if len(prompts) != len(images):
        raise ConfigurationError(
            f"there are {len(prompts)} prompts for {len(images)} images; give one for all, or one "
            "for each"
        )
    batches = trace_batches(vlm, zip(images, prompts, strict=True), batch_size, numbered=True)
    return [trace for batch in batches for trace in batch]


def trace_batches(
    vlm: VLM,
    asked: Iterable[tuple[ImageSource, str]],
    batch_size: int | None,
    numbered: bool = False,
) -> Iterator[list[Trace]]:
    """See `VLM.trace_batches`.

    Images that the model cannot read together come in passes of their own. Where a pass over
    several fails, or needs more memory than there is, each of them gets a pass: an error is then
    that of one image.

    Args:
        numbered: errors say which image, by its place.
    """
    if batch_size is not None and whole_number(batch_size, "batch_size") < 1:
        raise ConfigurationError(f"batch_size={batch_size}: give 1 or more, or None")
    if batch_size is None and calls_users(vlm.model):
        batch_size = 1
    for batch in _batches(vlm, _prepared(vlm, asked, numbered), batch_size):
        if len(batch) > 1:
            try:
                yield traces_of_prompts(vlm, [one.prompt for one in batch], "visual")
                continue
            except (LlavitLensError, torch.OutOfMemoryError):
                pass
        for number, prompt in batch:
            try:
                traces = traces_of_prompts(vlm, [prompt], "visual")
            except LlavitLensError as error:
                if not numbered:
                    raise
                raise _named(error, number) from error
            yield traces


def _prepared(
    vlm: VLM, asked: Iterable[tuple[ImageSource, str]], numbered: bool
) -> Iterator[_Asked]:
    for number, (image, text) in enumerate(asked):
        try:
            require_one(image, "each entry of the list")
            prompt = vlm.prepare(image, text)
        except LlavitLensError as error:
            if not numbered:
                raise
            raise _named(error, number) from error
        yield _Asked(number, prompt)


def _batches(vlm: VLM, asked: Iterable[_Asked], batch_size: int | None) -> Iterator[list[_Asked]]:
    """Runs of prompts that can be in one pass."""
    batch: list[_Asked] = []
    for one in asked:
        longest = max(prompt.length for _, prompt in (*batch, one))
        full = (
            len(batch) == batch_size
            if batch_size is not None
            else (len(batch) + 1) * longest > MOST_TOKENS
        )
        if batch and (full or not fit_together(batch[0].prompt, one.prompt, vlm.family.batching)):
            yield batch
            batch = []
        batch.append(one)
    if batch:
        yield batch


def _named(error: LlavitLensError, number: int) -> LlavitLensError:
    return type(error)(f"image {number} (counted from 0): {error}")
