"""`ll.register_family`: what this package has to know of a model of one's own."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from string import Formatter
from typing import Any, get_args

import numpy as np

from llavit_lens.errors import ConfigurationError
from llavit_lens.images.layout import VisualLayout
from llavit_lens.results.check import check_layout
from llavit_lens.rows import VisualAttentionMode
from llavit_lens.vlm.families import change_family
from llavit_lens.vlm.families.family import Family, LayoutFunction
from llavit_lens.vlm.families.reading import Reading

_FIELDS = ["image", "question"]


def register_family(
    model_type: str,
    *,
    layout: LayoutFunction | None = None,
    plain_prompt: str | None = None,
    decoder: Callable[[Any], Any] | None = None,
    tower: Callable[[Any], Any] | None = None,
    projector: Callable[[Any], Any] | None = None,
    visual_attention: VisualAttentionMode | None = None,
    validate: Callable[[Any, Any, str], None] | None = None,
) -> Family:
    """Say how models of one `model_type` are read: for models of your own, or to correct ours.

        ll.register_family("my_model", layout=my_layout, plain_prompt="{image}\\n{question}")
        vlm = ll.load(model, processor=processor)
        ll.check_layout(vlm, "photo.jpg").ok

    What you leave out stays as it is known for that model type. Of a type that is not
    described here, the layout is measured, and the rest is what most models have. Positions are not
    asked for: visual tokens are where `input_ids` hold the config's `image_token_id`.

    Args:
        model_type: of the model's config.
        layout: (reading) -> VisualLayout, where the visual tokens of one image lie; see
            `llavit_lens.vlm.families.reading.Reading`, and `in_views` in `views.py` there, which
            makes a layout of regions and grids.
        plain_prompt: what a question becomes without a chat template; holds `{image}`, for the
            token that stands for an image, and `{question}`.
        decoder: of a model: the module of the language model that reads visual tokens.
        tower, projector: of a model: the modules that make visual features, and visual tokens of
            them; or None.
        visual_attention: what visual tokens attend to by the model's own design.
        validate: (config, processor, name) -> None; raises `LlavitLensError` for a model and a
            processor that do not belong together.

    Returns:
        What is now known of that model type.

    Raises:
        ConfigurationError: an argument that makes no sense. Later, where it is used: a layout
            function that returns no layout, or one that does not fit the image or the prompt.
    """
    if not isinstance(model_type, str) or not model_type or model_type != model_type.strip():
        raise ConfigurationError(
            f"model_type={model_type!r}: give the model_type of the model's config, such as "
            "'my_model'"
        )
    changes: dict[str, Any] = {
        "layout": layout,
        "decoder": decoder,
        "tower": tower,
        "projector": projector,
        "validate": validate,
    }
    for name, function in changes.items():
        if function is not None and not callable(function):
            raise ConfigurationError(f"{name}={function!r}: give a function")
    if layout is not None:
        changes["layout"] = _checked(layout, model_type)
    if plain_prompt is not None:
        changes["plain_prompt"] = _checked_prompt(plain_prompt)
    if visual_attention is not None:
        if visual_attention not in get_args(VisualAttentionMode):
            modes = ", ".join(map(repr, get_args(VisualAttentionMode)))
            raise ConfigurationError(f"visual_attention={visual_attention!r}: give one of {modes}")
        changes["visual_attention"] = lambda config: visual_attention
    given = {name: change for name, change in changes.items() if change is not None}
    return change_family(model_type, **given)


def _checked(layout: LayoutFunction, model_type: str) -> LayoutFunction:
    """The function, and each of its layouts looked at."""

    @wraps(layout)
    def checked(reading: Reading) -> VisualLayout:
        found = layout(reading)
        who = f"the layout function of {model_type!r}"
        if not isinstance(found, VisualLayout):
            raise ConfigurationError(f"{who} returned {type(found).__name__}, no VisualLayout")
        try:
            check_layout(found)
        except ConfigurationError as error:
            raise ConfigurationError(f"{who} is wrong: {error}") from error
        if found.image_size != reading.image_size:
            raise ConfigurationError(
                f"{who} is wrong: image_size={found.image_size}, but the (width, height) of the "
                f"image is {reading.image_size}"
            )
        if not np.isin(found.all_positions, reading.positions).all():
            raise ConfigurationError(
                f"{who} is wrong: it names positions that hold no image token; take them from "
                "reading.positions"
            )
        return found

    return checked


def _checked_prompt(prompt: str) -> str:
    """Raise ConfigurationError unless the prompt has its two places and nothing else to fill."""
    try:
        names = [name for _, name, *_ in Formatter().parse(prompt) if name is not None]
    except (TypeError, ValueError):
        names = []
    if sorted(names) != _FIELDS:
        raise ConfigurationError(
            f"plain_prompt={prompt!r}: give a text that holds {{image}} and {{question}}, each "
            "once, such as '{image}\\n{question}'"
        )
    return prompt
