"""Families that are not described here: measured where their pixels show how."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

from llavit_lens.errors import ConfigurationError
from llavit_lens.images.layout import VisualLayout
from llavit_lens.vlm.families.measured import measured_thw, measured_tiles
from llavit_lens.vlm.families.no_map import no_map
from llavit_lens.vlm.families.reading import Reading

_QUERIES = ("qformer", "perceiver", "resampler", "num_quer")
"""Parts of the names of fields that only configs of models with queries have."""


def unknown(reading: Reading) -> VisualLayout:
    """Tiles of pixels or a grid that the processor names, measured; tokens without a map, with a
    warning that says why, where they are neither.

    Raises:
        ConfigurationError: images without a map differ in their number of visual tokens.
    """
    if "image_grid_thw" not in reading.inputs and _has_queries(reading.config):
        return no_map(reading)
    try:
        return _measured(reading)
    except ConfigurationError as error:
        warnings.warn(
            f"{reading.config.model_type} models are not described here, and {error}. You get "
            "words by token, and no map; ll.register_family adds a type (docs/families.md)",
            stacklevel=2,
        )
        return VisualLayout.without_map(
            reading.equal_share(), reading.image_size, precision="unknown"
        )


def _measured(reading: Reading) -> VisualLayout:
    if "image_grid_thw" in reading.inputs:
        return measured_thw(reading)
    pixels = reading.inputs.get("pixel_values")
    if pixels is None or pixels.ndim < 4 or pixels.shape[-3] != 3:
        shape = "none" if pixels is None else " x ".join(str(side) for side in pixels.shape)
        raise ConfigurationError(f"their pixels ({shape}) do not show where visual tokens lie")
    return measured_tiles(reading)


def _has_queries(config: Any) -> bool:
    """Whether a config, or one inside it, speaks of queries that read a whole image."""
    fields = config.to_dict() if hasattr(config, "to_dict") else vars(config)
    return _speaks_of_queries(fields)


def _speaks_of_queries(fields: Mapping[Any, Any]) -> bool:
    return any(
        any(part in str(name) for part in _QUERIES)
        or (isinstance(value, Mapping) and name != "text_config" and _speaks_of_queries(value))
        for name, value in fields.items()
        if value is not None
    )
