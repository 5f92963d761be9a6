"""What the page shows, as the query parameters of a link: nothing in a link is trusted."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from llavit_lens.errors import ConfigurationError
from llavit_lens.explorer.ablation import of_link
from llavit_lens.explorer.choices import COLORS, LABELS, MODES, PAIRS, SCALES

SIMILARITY = "similarity"
"""The layer's name in a link for the input similarity (Eq. 4)."""
UNPINNED = -1
"""The patch if the user wants none to be pinned; "none" in a link."""
OWN = "own"
"""The picture's name in a link if it is the user's own, which no link holds."""
MOST_WORDS = 10
_WORDS = {("layer", -1): SIMILARITY, ("patch", UNPINNED): "none"}
"""Numbers that are words in a link."""
_LENGTHS = {"prompt": 500, "word": 64, "model": 200, "other": 200, "picture": 80, "ablation": 400}
_CHOICES = {
    "mode": MODES,
    "color": COLORS,
    "scale": SCALES,
    "labels": LABELS,
    "pair": PAIRS,
}
_MOST_LAYERS = 1000
_MOST_PATCHES = 1_000_000


@dataclass(frozen=True)
class View:
    """One view. None: chosen by the page for the picture and the model at hand.

    Attributes:
        picture: name of an example scene, or `OWN`.
        model: as `load` takes it.
        mode: "look" at one model, "compare" it with `other`, or "ablate" it.
        other: the second model.
        layer: number of the layer, -1 for the input similarity.
        patch: index of the pinned patch among the visual tokens; `UNPINNED`: none.
        color: what the colors show.
        scale: from which value to which they go; "" as suits the color.
        labels: how the words are shown; "" as the patches are many or few.
        k: how many words of a patch.
        word: the word that is searched.
        prompt: the question; "" for the default.
        ablation: which interventions, with their decoder layers (see `ablation.of_link`).
        pair: of `PAIRS`: which models are ablated, and whose words are shown.
    """

    picture: str = ""
    model: str = "demo:llavit"
    mode: str = "look"
    other: str = "demo:baseline"
    layer: int | None = None
    patch: int | None = None
    color: str = "probability"
    scale: str = ""
    labels: str = ""
    k: int = 5
    word: str = ""
    prompt: str = ""
    ablation: str = "visual_attention"
    pair: str = "one"

    def __post_init__(self) -> None:
        for name, most in _LENGTHS.items():
            if len(getattr(self, name)) > most:
                raise ConfigurationError(f"{name} is longer than {most} characters; shorten it")
        for name, known in _CHOICES.items():
            if getattr(self, name) not in known:
                raise ConfigurationError(
                    f"{name} is {_cut(getattr(self, name))!r}, but must be one of: "
                    f"{', '.join(filter(None, known))}"
                )
        of_link(self.ablation)
        bounds = {
            "layer": (-1, _MOST_LAYERS),
            "patch": (UNPINNED, _MOST_PATCHES),
            "k": (1, MOST_WORDS),
        }
        for name, (low, high) in bounds.items():
            value = getattr(self, name)
            if value is not None and not low <= value <= high:
                raise ConfigurationError(f"{name} is {value}, but must lie in {low} to {high}")

    def to_query(self) -> dict[str, str]:
        """Query parameters; what is as by default is left out."""
        query = {}
        for field in fields(self):
            value = getattr(self, field.name)
            if value != field.default:
                query[field.name] = _WORDS.get((field.name, value), str(value))
        return query

    @classmethod
    def from_query(cls, query: Mapping[str, str]) -> tuple[View, list[str]]:
        """The view of a link, and what of the link cannot be used, in words.

        Each parameter that makes no sense is left out, and the rest of the link still counts.
        Parameters of other names are ignored.
        """
        view, faults = cls(), []
        for field in fields(cls):
            if (text := query.get(field.name)) is None:
                continue
            try:
                view = replace(view, **{field.name: _parsed(field.name, text, field.default)})
            except ConfigurationError as error:
                faults.append(str(error))
        return view, faults


def _cut(value: Any, most: int = 40) -> str:
    """A value as a message quotes it."""
    text = str(value)
    return text if len(text) <= most else f"{text[:most]}…"


def _parsed(name: str, text: str, default: Any) -> Any:
    if default is not None and not isinstance(default, int):
        if not text.isprintable():
            raise ConfigurationError(f"{name} holds characters that cannot be shown; leave it out")
        return text
    for (known, number), word in _WORDS.items():
        if (name, text) == (known, word):
            return number
    if not re.fullmatch(r"[0-9]{1,7}", text):  # int() takes underscores and other digits as well
        raise ConfigurationError(f"{name} is {_cut(text)!r}, but must be a whole number")
    return int(text)
