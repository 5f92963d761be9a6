"""From images and a question to what a model is given; and what is wrong with them, in one line."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from PIL import Image
from torch import nn

from llavit_lens.errors import ConfigurationError, LlavitLensError, one_line, printable
from llavit_lens.images.layout import VisualLayout
from llavit_lens.images.open import Images, open_several
from llavit_lens.model.chat import image_mark
from llavit_lens.vlm.families import decoder_of
from llavit_lens.vlm.families.family import reading_of
from llavit_lens.vlm.image_counts import visual_tokens_of_each
from llavit_lens.vlm.length import check_characters, check_length
from llavit_lens.vlm.processor_options import check_options
from llavit_lens.vlm.prompt import Prompt, lacks_start_token

if TYPE_CHECKING:
    from llavit_lens.vlm.vlm import VLM


def prepared(vlm: VLM, image: Images, prompt: str) -> Prompt:
    """See `VLM.prepare`."""
    opened = open_several(image)
    images = tuple(one.image for one in opened)
    text = vlm.format_prompt(prompt, len(images))
    inputs = _processed(vlm, images, text)
    reading = reading_of(
        inputs,
        vlm.processor,
        vlm.model.config,
        [one.size for one in images],
        text,
        vlm.processor_options,
    )
    layouts = tuple(
        replace(layout, orientation=one.tag)
        for layout, one in zip(vlm.family.layouts(reading), opened, strict=True)
    )
    if len(images) > 1:
        _check_shares(vlm, images, text, layouts)
    return Prompt(text=text, images=images, inputs=inputs, layouts=layouts)


@contextmanager
def images_are_taken(vlm: VLM, images: Sequence[Image.Image]) -> Iterator[None]:
    """Inside, an error of the model before its decoder begins is told as one of the images."""
    model = getattr(vlm.model, "_orig_mod", vlm.model)
    reached = [True]  # until a pass begins

    def reach(whether: bool) -> Any:
        def before(module: nn.Module, args: Any) -> None:
            reached[0] = whether

        return before

    with ExitStack() as stack:
        # transformers' generate may call the tower before it calls the model
        tower = vlm.family.tower(model)
        for module, whether in ((model, False), (tower, False), (decoder_of(model), True)):
            if isinstance(module, nn.Module):
                stack.callback(module.register_forward_pre_hook(reach(whether)).remove)
        try:
            yield
        except torch.OutOfMemoryError:
            raise
        except (RuntimeError, ValueError) as error:
            if reached[0] or isinstance(error, LlavitLensError):
                raise
            raise ConfigurationError(
                f"{vlm.name}: the model does not take {_what_was_given(vlm, images, error)}"
            ) from error


def _check_shares(
    vlm: VLM, images: Sequence[Image.Image], text: str, layouts: Sequence[VisualLayout]
) -> None:
    """Raise ConfigurationError unless each image has as many tokens as are made of it."""

    def count(some: Sequence[Image.Image], of_text: str) -> int:
        ids = _processed(vlm, some, of_text)["input_ids"]
        return int((ids == vlm.image_token_id).sum())

    made = visual_tokens_of_each(count, images, text, image_mark(vlm.processor))
    found = [len(layout.all_positions) for layout in layouts]
    if made != found:
        raise ConfigurationError(
            f"{vlm.name}: it is not known which visual tokens belong to which of the "
            f"{len(images)} images: its processor makes {made} for them, and the layout finds "
            f"{found}; ask about one image at a time"
        )


def _processed(vlm: VLM, images: Sequence[Image.Image], text: str) -> Any:
    """The model's arguments for a prompt in its chat format.

    Raises:
        ConfigurationError: the prompt has not one place for each image, or is longer than the
            model has positions for.
    """
    check_characters(vlm.model.config, text)
    mark = image_mark(vlm.processor)
    count, wanted = text.count(mark), len(images)
    if count != wanted:
        often = "once" if wanted == 1 else f"{wanted} times, once for each image"
        raise ConfigurationError(f"the prompt must hold {mark} {often}, but has it {count} times")
    if vlm.processor_options:
        check_options(vlm.processor, vlm.processor_options, vlm.name)
    try:
        with torch.device("cpu"):  # not torch's default device, which users may set
            inputs = vlm.processor(
                # several as transformers' chats give them: some processors look at that
                images=list(images) if wanted == 1 else [list(images)],
                text=[text],
                return_tensors="pt",
                add_special_tokens=lacks_start_token(vlm.tokenizer, text),
                **vlm.processor_options,
            )
    except LlavitLensError:
        raise
    except Exception as error:  # whatever a processor may raise
        raise ConfigurationError(
            f"{vlm.name}: its processor does not take {_what_was_given(vlm, images, error)}"
        ) from error
    inputs.pop("labels", None)  # of training: PaliGemma's processor makes them unasked
    check_length(vlm.model.config, inputs["input_ids"].shape[1])
    if "attention_mask" in inputs and not inputs["attention_mask"].bool().all():
        raise ConfigurationError(
            f"{vlm.name}: its processor fills the prompt up with padding, which a single "
            "prompt needs none of; take 'padding' out of vlm.processor_options"
        )
    inputs = inputs.to(vlm.device, dtype=vlm.model.dtype)
    for key, value in inputs.items():
        if value.is_floating_point() and not value.isfinite().all():
            raise ConfigurationError(
                f"{vlm.name}: its processor makes {key} that hold NaN or infinity; look at "
                "image_mean, image_std and rescale_factor in its preprocessor_config.json"
            )
    return inputs


def _what_was_given(vlm: VLM, images: Sequence[Image.Image], error: Exception) -> str:
    """What cannot be read, why, and what to do about it: the end of a sentence."""
    reason = f"({type(error).__name__}: {one_line(error)})"
    if vlm.processor_options:
        given = printable(repr(vlm.processor_options))
        return f"processor_options={given} {reason}; change them, or set them to {{}}"
    if len(images) > 1:
        return f"{len(images)} images in one prompt {reason}; ask about one image at a time"
    width, height = images[0].size
    return f"an image of {width} x {height} pixels {reason}; give one of another size"
