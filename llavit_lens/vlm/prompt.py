"""What a model is given: one prompt about one image or several, or a batch of prompts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import pad

from llavit_lens.errors import ConfigurationError, printable
from llavit_lens.images.layout import VisualLayout
from llavit_lens.inputs import whole_number
from llavit_lens.vlm.families.batching import USUAL, Batching

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Prompt:
    """What a model is given.

    Attributes:
        text: the question in the model's chat format.
        images: RGB, turned upright, in the order of the prompt.
        inputs: what the processor made of text and images, on the model's device.
        layouts: where the visual tokens of each image lie.
    """

    text: str
    images: tuple[Image.Image, ...]
    inputs: Any
    layouts: tuple[VisualLayout, ...]

    def __repr__(self) -> str:
        return (
            f"Prompt({printable(self.text, 80)!r}, {self.length} tokens, of them "
            f"{summary_of(self.layouts)})"
        )

    @property
    def image(self) -> Image.Image:
        """The only image.

        Raises:
            ConfigurationError: there are several.
        """
        return only(self.images, "prompt.images")

    @property
    def layout(self) -> VisualLayout:
        """Where the visual tokens of the only image lie.

        Raises:
            ConfigurationError: there are several images.
        """
        return only(self.layouts, "prompt.layouts")

    @property
    def length(self) -> int:
        """How many tokens it has."""
        return int(self.inputs["input_ids"].shape[1])


def only(of_each_image: Sequence[T], where: str, what_to_do: str = "") -> T:
    """What there is of the only image.

    Raises:
        ConfigurationError: there are several images; it says where all of them are, or what to do.
    """
    if len(of_each_image) != 1:
        advice = what_to_do or f"take one of {where}, such as {where}[0]"
        raise ConfigurationError(
            f"the prompt is about {len(of_each_image)} images, and this is about one: {advice}"
        )
    return of_each_image[0]


def image_number(number: int, count: int) -> int:
    """The number of an image from the first, 0; a negative one counts from the last.

    Raises:
        ConfigurationError: there is no such image.
    """
    chosen = whole_number(number, "image")
    if not -count <= chosen < count:
        images = "1 image" if count == 1 else f"{count} images"
        raise ConfigurationError(f"there is no image {number}: the prompt is about {images}")
    return chosen % count


def summary_of(layouts: Sequence[VisualLayout]) -> str:
    """The visual tokens of all images: '64 visual tokens, 8 x 8 patches'."""
    if len(layouts) == 1:
        return layouts[0].summary
    return f"{sum(map(len, layouts))} visual tokens of {len(layouts)} images"


def lacks_start_token(tokenizer: Any, prompt: str) -> bool:
    """Whether the tokenizer has to add the start token: a chat template may have written it."""
    start = tokenizer.bos_token
    return not (start and prompt.startswith(start))


def of_text(inputs: Mapping[str, Any]) -> list[str]:
    """The model's arguments that say something of each token: [1, seq], as `input_ids`.

    All others are about images. So names have to be known of none.
    """
    shape = inputs["input_ids"].shape
    return [
        name
        for name, value in inputs.items()
        if isinstance(value, Tensor)
        and value.shape == shape
        and not value.is_floating_point()
        and not name.startswith(("pixel", "image"))
    ]


def fit_together(one: Prompt, other: Prompt, batching: Batching = USUAL) -> bool:
    """Whether two prompts can be in one batch, and are read there as they are alone."""
    if one.inputs.keys() != other.inputs.keys():
        return False
    if "attention_mask" not in one.inputs and one.length != other.length:
        return False  # nothing would tell the model which tokens are padding
    text = of_text(one.inputs)
    if text != of_text(other.inputs):
        return False
    if batching.fills_up:
        return True
    about_images = (name for name in one.inputs if name not in text)
    return all(
        _but(batching.axes.get(name, 0), one.inputs[name])
        == _but(batching.axes.get(name, 0), other.inputs[name])
        for name in about_images
    )


def _but(axis: int, value: Tensor) -> tuple[int, ...]:
    """The sizes of an argument along all axes but one."""
    sizes = list(value.shape)
    del sizes[axis]
    return tuple(sizes)


def collate(
    prompts: Sequence[Prompt],
    pad_id: int,
    answer: Tensor | None = None,
    copies: int = 1,
    batching: Batching = USUAL,
) -> dict[str, Tensor]:
    """The model's arguments for a batch: shorter prompts are padded on the left.

    Args:
        prompts: at least one, of one model.
        pad_id: the token that fills up shorter prompts.
        answer: ids [A] that follow each prompt.
        copies: rows for each prompt.
        batching: of the model's family.

    Raises:
        ConfigurationError: prompts of several models; images of several sizes, where the model
            reads them one by one only.
    """
    inputs = {}
    text = set(of_text(prompts[0].inputs))
    if any(prompt.inputs.keys() != prompts[0].inputs.keys() for prompt in prompts):
        raise ConfigurationError(
            "these prompts have different kinds of arguments, so they cannot be in one batch; run "
            "them one by one"
        )
    for name in prompts[0].inputs:
        axis = batching.axes.get(name, 0)
        values: list[Tensor] = [prompt.inputs[name] for prompt in prompts]
        if name in text:
            longest = max(prompt.length for prompt in prompts)
            padding = pad_id if name == "input_ids" else 0
            values = [pad(value, (longest - value.shape[1], 0), value=padding) for value in values]
            if answer is not None:
                after = _of_answer(name, answer, batching.answer_type).to(values[0])
                values = [torch.cat([value, after[None]], dim=1) for value in values]
        else:
            values = _as_large_as_the_largest(values, axis, batching.fills_up)
        inputs[name] = torch.cat([value for value in values for _ in range(copies)], axis)
    return inputs


def _as_large_as_the_largest(values: Sequence[Tensor], axis: int, fills_up: bool) -> list[Tensor]:
    """Images of different numbers of tiles, or of different sizes, with zeros after them.

    Processors fill batches up in this way, and models know by sizes or masks what is real. Along
    `axis` they are joined, so there they may differ.
    """
    most = [max(sizes) for sizes in zip(*(value.shape for value in values), strict=True)]
    filled_up = []
    for value in values:
        missing = [m - size for m, size in zip(most, value.shape, strict=True)]
        missing[axis] = 0
        if any(missing) and not fills_up:
            raise ConfigurationError(
                "images that this model sees in several sizes cannot be in one batch: it would "
                "read the smaller ones otherwise than alone; run their prompts one by one"
            )
        edges = [edge for after in reversed(missing) for edge in (0, after)]  # the last axis first
        filled_up.append(pad(value, edges) if any(missing) else value)
    return filled_up


def _of_answer(name: str, answer: Tensor, answer_type: int) -> Tensor:
    """What an argument of text is at the answer's tokens: they are real, and no image tokens."""
    if name == "input_ids":
        return answer
    values = {"attention_mask": 1, "token_type_ids": answer_type}
    return torch.full_like(answer, values.get(name, 0))
