"""Fields of a model's config that are set while it is loaded."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any

from huggingface_hub.errors import StrictDataclassError

from llavit_lens.errors import ConfigurationError, one_line
from llavit_lens.vlm.families import family_of
from llavit_lens.vlm.hugging_face import NAMES


def override(config: Any, processor: Any, overrides: dict[str, Any], name: str) -> None:
    """Set fields of the config of the model `name`, and make its processor follow.

    Raises:
        ConfigurationError: a field that it does not have, a value that makes no sense, or one that
            the processor cannot follow.
    """
    fields = config.to_dict()  # not all attributes: others are methods, or follow from these
    family, unknown = family_of(config), [key for key in overrides if key not in fields]
    if unknown:
        raise ConfigurationError(
            f"{name}: a {config.model_type} model has no switch {', '.join(unknown)}"
            f"{family.advise(unknown, name) or _nearest(unknown, [*fields, *NAMES])}"
        )
    try:
        for key, value in overrides.items():
            setattr(config, key, value)
        config.validate()
    except (StrictDataclassError, TypeError, ValueError) as error:
        raise ConfigurationError(f"{name}: {one_line(error)}") from error
    family.follow(processor, config, list(overrides), name)


def _nearest(unknown: Sequence[str], known: Sequence[str]) -> str:
    """What may have been meant, as the end of a sentence."""
    found = [near for key in unknown for near in get_close_matches(key, known, n=1, cutoff=0.75)]
    return f"; did you mean {', '.join(found)}?" if found else ""
