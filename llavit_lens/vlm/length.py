"""How long a prompt may be: as many tokens as the decoder has positions for."""

from __future__ import annotations

from typing import Any

from llavit_lens.errors import ConfigurationError

_LONGEST_TOKEN = 256
"""Characters: a longer text than this for each position cannot fit, and is not even tokenized."""


def check_characters(config: Any, text: str) -> None:
    """Refuse a text that is too long whatever its tokens are.

    Raises:
        ConfigurationError: it is.
    """
    positions = most_positions(config)
    if positions is not None and len(text) > _LONGEST_TOKEN * positions:
        raise ConfigurationError(
            f"the prompt has {len(text):,} characters, far more than the {positions:,} tokens that "
            "the model has positions for; shorten it"
        )


def check_length(config: Any, tokens: int, new_tokens: int = 0) -> None:
    """Refuse more tokens than the decoder has positions for: it never learned what is there.

    Args:
        config: of the model.
        tokens: of the prompt.
        new_tokens: that are to be generated.

    Raises:
        ConfigurationError: they are more.
    """
    positions = most_positions(config)
    if positions is None or tokens + new_tokens <= positions:
        return
    if tokens <= positions:
        raise ConfigurationError(
            f"the prompt has {tokens:,} tokens, and max_new_tokens={new_tokens:,} more are over "
            f"the {positions:,} that the model has positions for; set it to "
            f"{positions - tokens:,} or less"
        )
    raise ConfigurationError(
        f"the prompt has {tokens:,} tokens, and the model has positions for {positions:,} "
        "(max_position_embeddings); shorten it"
    )


def most_positions(config: Any) -> int | None:
    """The most tokens of a sequence, with what `rope_parameters` adds; None if it does not say."""
    text = config.get_text_config()
    most = getattr(text, "max_position_embeddings", None)
    if not isinstance(most, int):
        return None
    rope = getattr(text, "rope_parameters", None) or {}
    factor = rope.get("factor") or 1
    return max(most, int(factor * (rope.get("original_max_position_embeddings") or most)))
