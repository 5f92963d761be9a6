"""The sizes in a config.json, checked before a model of such sizes is built.

Names and shapes of all weights are compared with the model later, exactly. But a model of 10^9
layers could not be built to compare them: even without memory for weights that takes hours.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from llavit_lens.errors import CheckpointError

_LAYERS = re.compile(r"(num|n)_(\w+_)?layers?|(en|de)coder_layers|depth|(num|n)_(\w+_)?experts")
_SIZES = re.compile(r"\w+_(size|dim|heads|channels|rank)|d_model|max_position_embeddings")
_LARGEST_SIZE = 2**30
_MOST_LAYERS_UNSEEN = 10_000


def check_sizes(name: str, fields: Mapping[str, Any], weights: Collection[str] = ()) -> None:
    """Refuse more layers or experts than there are weights, and sizes that no model has.

    Args:
        name: of the checkpoint, for messages.
        fields: of its config.json, with those of its parts in them.
        weights: the names of its weights; empty if they are unknown.

    Raises:
        CheckpointError: naming the field.
    """
    most_layers = len(weights) or _MOST_LAYERS_UNSEEN
    for path, value in _numbers(fields):
        key = path.rsplit(".", 1)[-1]
        if _LAYERS.fullmatch(key) and value > most_layers:
            reason = f"its files hold {len(weights)} weights" if weights else "no model has as many"
            raise CheckpointError(
                f"{name}: its config.json says {path}={value}, but {reason}; correct config.json"
            )
        counted = _LAYERS.fullmatch(key) or _SIZES.fullmatch(key)
        if counted and not 0 <= value <= _LARGEST_SIZE:
            raise CheckpointError(
                f"{name}: its config.json says {path}={value}, which no model has; correct "
                "config.json"
            )


def _numbers(fields: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, float]]:
    for key, value in fields.items():
        if isinstance(value, dict):
            yield from _numbers(value, f"{prefix}{key}.")
        elif isinstance(value, (int, float)) and not isinstance(value, bool):
            yield f"{prefix}{key}", value
