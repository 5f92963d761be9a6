"""What a notebook and an error say of a model and its tensors, in a few words."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from PIL import Image
from torch import Tensor

from llavit_lens.card import card, facts, to_type
from llavit_lens.errors import printable

if TYPE_CHECKING:
    from llavit_lens.vlm.vlm import VLM

_SQUARE = 448
"""Pixels of a side of the image whose visual tokens a card counts."""


def stored_as(tensor: Tensor) -> str:
    """`float32 on cpu`."""
    return f"{str(tensor.dtype).removeprefix('torch.')} on {tensor.device}"


def vlm_line(vlm: VLM) -> str:
    """A VLM in one line."""
    known = [_kind(vlm), f"{_parameters(vlm)} parameters", _layers(vlm), _at(vlm)]
    return f"VLM({printable(vlm.name, 80)}, {', '.join(map(str, known))})"


def vlm_card(vlm: VLM) -> str:
    """A VLM as a notebook shows it: HTML."""
    values = {
        "name": printable(vlm.name),
        "revision": vlm.revision,
        "family": f"{_kind(vlm)} ({type(vlm.model).__name__})",
        "parameters": _parameters(vlm),
        "language model": f"{_layers(vlm)}, {_heads(vlm)}",
        "visual tokens": _visual_tokens(vlm),
        "visual tokens attend": vlm.visual_attention,
        "weights": _at(vlm),
    }
    code = {
        "trace = vlm.trace(image)": "one pass; then: ll.logit_lens(trace, k=3)",
        'vlm.generate(image, "What is in the image?")': "the model's answer",
        "vlm.hook_names": "places to look at, or to change",
    }
    known = {name: value for name, value in values.items() if value is not None}
    return card(vlm_line(vlm), facts(known), to_type(code))


def _kind(vlm: VLM) -> str:
    return str(getattr(vlm.model.config, "model_type", "model"))


def _parameters(vlm: VLM) -> str:
    number = float(sum(parameter.numel() for parameter in vlm.model.parameters()))
    for unit in ("", " thousand", " million"):
        if number < 1000:
            return f"{number:.3g}{unit}"
        number /= 1000
    return f"{number:.3g} billion"


def _layers(vlm: VLM) -> str:
    return _or_unknown(lambda: f"{vlm.decoder.n_layers} layers")


def _heads(vlm: VLM) -> str:
    return _or_unknown(lambda: f"{vlm.decoder.n_heads} heads in each")


def _visual_tokens(vlm: VLM) -> str:
    """How many there are of a square image: of others there may be more, or fewer."""
    square = Image.new("RGB", (_SQUARE, _SQUARE), "gray")
    summary = _or_unknown(lambda: vlm.prepare(square).layout.summary)
    return f"{summary} (of a square image)"


def _at(vlm: VLM) -> str:
    return f"{str(vlm.model.dtype).removeprefix('torch.')} on {vlm.device}"


def _or_unknown(fact: Callable[[], str]) -> str:
    """The fact, where the model is built such that it can be known."""
    try:
        return fact()
    except Exception:  # libraries have errors of their own, and a card must never fail
        return "unknown"
