"""What things are called in a figure: layers, values, models."""

from __future__ import annotations

import re
from collections.abc import Sequence
from math import floor, log10
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from llavit_lens.results.words import Words


def layer_number(words: Words, layer: int) -> int:
    """The layer's number (0 = projector output) for `layer` as `Words.at` takes it.

    Raises:
        ConfigurationError: the layer was not computed.
    """
    return words.layers[words.layer_index(layer)]


def layer_name(words: Words, layer: int) -> str:
    """`input (projector output)`, `layer 3 of 6` or `output (layer 6 of 6)`.

    Where the depth of the model is not on record, a layer has its number only: the last one
    computed need not be the output.
    """
    number = layer_number(words, layer)
    depth = words.provenance.get("n_layers")
    if number == 0:
        return "input (projector output)"
    if depth is None:
        return f"layer {number}"
    return (
        f"output (layer {number} of {depth})" if number == depth else f"layer {number} of {depth}"
    )


def value_name(kind: str) -> str:
    """What the colors mean for words of this kind."""
    if kind == "input_similarity":
        return "cosine of the visual token and the word's embedding"
    return "probability of the word"


def percent(share: float) -> str:
    """`12.3%`; what would round to nothing is `<0.1%`, which a probability above 0 is not."""
    return "<0.1%" if share < 0.0005 else f"{share:.1%}"


def model_name(words: Words) -> str:
    """The model's name as the user gave it."""
    return str(words.provenance.get("model", "model"))


_IMAGE = re.compile(r"<[|]?(?:image|img|vision)[^>]*>|\[IMG[^]]*\]", re.IGNORECASE)
_SIGN = re.compile(r"<[|]|</?s>|<end|\[/?INST\]|ASSISTANT:")


def asked(prompt: str) -> str:
    """What a prompt asks about its image, without the signs of a chat around it; the whole prompt
    where the question does not follow the image."""
    question = _SIGN.split(_IMAGE.split(prompt)[-1])[0].strip()
    return question or prompt


def two_digits(share: float) -> str:
    """In percent, with two digits that count: `38%`, `0.042%`."""
    return f"{share:.{_decimals(share)}%}"


def same_decimals(shares: Sequence[float]) -> list[str]:
    """In percent, all with the decimals that the smallest one above 0 needs; nothing is `0%`."""
    decimals = _decimals(min((share for share in shares if share > 0), default=0.0))
    return [f"{share:.{decimals}%}" if share > 0 else "0%" for share in shares]


def _decimals(share: float) -> int:
    """Of a share in percent with two digits that count."""
    if share <= 0:
        return 0
    rounded = float(f"{100 * share:.1e}")  # 0.0999 % is 0.10 %, not 0.100 %
    return min(max(1 - floor(log10(rounded)), 0), 9)


def end_of_scale(value: float, kind: str) -> str:
    """The end of a scale of colors."""
    return two_digits(value) if kind == "logit_lens" else f"{value:.2g}"
