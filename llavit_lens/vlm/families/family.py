"""What the rest of the package has to know of a family of models: one `Family` says it all."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from llavit_lens.errors import ConfigurationError
from llavit_lens.images.layout import Precision, VisualLayout
from llavit_lens.model.chat import chat_prompt, image_mark
from llavit_lens.rows import VisualAttentionMode
from llavit_lens.vlm.decoder import usual_decoder
from llavit_lens.vlm.families.batching import USUAL, Batching
from llavit_lens.vlm.families.blocks import Blocks, no_blocks
from llavit_lens.vlm.families.reading import Reading

Kind = Literal[
    "one grid",
    "tiles",
    "stitched tiles",
    "rows",
    "shaped tiles",
    "given indices",
    "coordinates",
    "codes",
    "no map",
    "unknown",
]
"""How an image becomes visual tokens."""

LayoutFunction = Callable[[Reading], VisualLayout]
"""Where the visual tokens of one image of a prompt lie.

Tiles stand in the order of the processor's; which of them shows the whole image, the layout says.

Raises ConfigurationError where the tokens are not those of such an image.
"""


_IMAGE_PART = re.compile(r"(<[^<>]*>)*\{image\}(<[^<>]*>)*\n?")
"""The part of a plain prompt that is there once for each image: its token, and tags around it."""


def image_token_id(config: Any) -> int:
    """The id that stands for one visual token in `input_ids`.

    It is the model's. That of the processor may be another one: the token that stands for a whole
    image in a prompt.
    """
    token_id: int = config.image_token_id  # transformers knows it by this name in every config
    return token_id


def check_template(config: Any, processor: Any, name: str) -> None:
    """What is checked of families that have no rules of their own.

    Raises:
        CheckpointError: the processor's chat template is broken.
    """
    chat_prompt(processor, "What?", name)


def _nothing(*_: Any) -> None:
    pass


def usual_tower(model: Any) -> Any:
    """The vision tower where most families have it."""
    return getattr(getattr(model, "model", None), "vision_tower", None)


def usual_projector(model: Any) -> Any:
    """The projector where most families have it."""
    return getattr(model.model, "multi_modal_projector", None)


@dataclass(frozen=True)
class Family:
    """Models that are built alike.

    Attributes:
        model_types: `model_type` of their configs.
        layout: where visual tokens lie.
        validate: (config, processor, name) -> None; raises LlavitLensError for a model and a
            processor that do not belong together. `name` is the checkpoint's, for messages.
        plain_prompt: what a question becomes where there is no chat template; holds `{image}`, for
            the token that stands for an image in a prompt, and `{question}`.
        kind: how the image becomes tokens, in a word or two.
        precision: how boxes are known: see `VisualLayout`.
        decoder: of a model: the module of the language model that reads visual tokens.
        tower, projector: of a model: the modules that make visual features, and visual tokens of
            them; None where there is none.
        visual_attention: of a config: what visual tokens attend to by the model's own design.
        batching: how several prompts, or a prompt and an answer, become one batch.
        blocks: which tokens see each other, where that is "bidirectional" and not Eq. 8.
        complete_processor: (processor, config) -> None; adds, in place, what processors of older
            releases do not say.
        follow: (processor, config, changed, name) -> None; makes the processor, in place, prepare
            images as the config wants them, of which the fields `changed` were overridden. Raises
            ConfigurationError where it cannot.
        advise: (switches, name) -> what to do about overrides of fields that the config lacks, as
            the end of a sentence; "" where there is no advice.
    """

    model_types: tuple[str, ...]
    layout: LayoutFunction
    validate: Callable[[Any, Any, str], None]
    plain_prompt: str
    kind: Kind = "one grid"
    precision: Precision = "exact"
    decoder: Callable[[Any], Any] = usual_decoder
    tower: Callable[[Any], Any] = usual_tower
    projector: Callable[[Any], Any] = usual_projector
    visual_attention: Callable[[Any], VisualAttentionMode] = lambda config: "causal"
    batching: Batching = USUAL
    blocks: Blocks = no_blocks
    complete_processor: Callable[[Any, Any], None] = _nothing
    follow: Callable[[Any, Any, Sequence[str], str], None] = _nothing
    advise: Callable[[Sequence[str], str], str] = lambda switches, name: ""

    def __repr__(self) -> str:
        return f"Family({', '.join(self.model_types) or 'other models'})"

    def layouts(self, reading: Reading) -> tuple[VisualLayout, ...]:
        """Where the visual tokens of each image of a prompt lie, in the order of the images.

        Args:
            reading: of the first image, as `reading_of` makes it.

        Raises:
            ConfigurationError: the prompt holds no visual token, or not those of its images.
        """
        if len(reading.positions) == 0:
            raise ConfigurationError(
                f"{type(reading.processor).__name__} writes no token "
                f"{image_token_id(reading.config)}, the model's image token: model and processor "
                "do not belong together"
            )
        found: list[VisualLayout] = []
        for index in range(len(reading.image_sizes)):
            layout = self.layout(replace(reading, index=index))
            found.append(layout)
            taken = len(layout.all_positions)
            reading = replace(reading, positions=reading.positions[taken:])
        if len(reading.positions):
            raise ConfigurationError(
                f"{len(reading.positions)} visual tokens are those of no image; is the image "
                "token in the prompt more often than there are images?"
            )
        return tuple(found)

    def prompt(self, processor: Any, question: str, name: str, images: int = 1) -> str:
        """A question in the chat format of a checkpoint, after a token for each image.

        `images` is 0 for a question in text alone.

        Raises:
            CheckpointError: the chat template is broken.
        """
        prompt = chat_prompt(processor, question, name, images)
        if prompt is None:
            plain = _IMAGE_PART.sub(lambda part: part[0] * images, self.plain_prompt)
            return plain.format(image=image_mark(processor), question=question)
        return prompt


def image_positions(inputs: Mapping[str, Any], config: Any) -> np.ndarray:
    """Where the visual tokens of one prompt stand in the sequence: int64 [n], ascending."""
    is_visual = inputs["input_ids"][0] == image_token_id(config)
    return np.flatnonzero(is_visual.cpu().numpy()).astype(np.int64)


def reading_of(
    inputs: Mapping[str, Any],
    processor: Any,
    config: Any,
    image_sizes: Sequence[tuple[int, int]],
    text: str = "",
    options: Mapping[str, Any] | None = None,
) -> Reading:
    """The reading of the first image of a prompt; the arguments are those of `Reading`."""
    return Reading(
        inputs=inputs,
        processor=processor,
        config=config,
        image_sizes=tuple(image_sizes),
        positions=image_positions(inputs, config),
        text=text,
        options=options or {},
    )
