"""Families that nobody has described: measured where their pixels show how."""

from __future__ import annotations

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
    """Tiles of pixels or a grid that the processor names, measured; queries without a map.

    Raises:
        ConfigurationError: the tokens are none of these; or as `measured_tiles`, `measured_thw`.
    """
    if "image_grid_thw" in reading.inputs:
        return measured_thw(reading)
    if _has_queries(reading.config):
        return no_map(reading)
    pixels = reading.inputs.get("pixel_values")
    if pixels is None or pixels.ndim < 4 or pixels.shape[-3] != 3:
        shape = "none" if pixels is None else " x ".join(str(side) for side in pixels.shape)
        raise ConfigurationError(
            f"where the visual tokens of a {reading.config.model_type} model lie is not known "
            f"here, and its pixels ({shape}) do not show it; say it by ll.register_family "
            "(docs/families.md)"
        )
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
