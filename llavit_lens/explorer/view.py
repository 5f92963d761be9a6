"""What the page shows, as the query parameters of a link; a link may hold anything."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from llavit_lens.errors import ConfigurationError
from llavit_lens.explorer.ablation import of_link
from llavit_lens.explorer.choices import COLORS, LABELS, MODES, PAIRS, PER, SCALES
from llavit_lens.viewer.wording import shortened

SIMILARITY = "similarity"
"""The layer's name in a link for the input similarity (Eq. 4)."""
UNPINNED = -1
"""The patch of a view without a pinned patch; "none" in a link."""
OWN = "own"
"""The image's name in a link if it is the user's own, which no link holds."""
MOST_WORDS = 10
_NAMES = {("layer", -1): SIMILARITY, ("patch", UNPINNED): "none"}
"""Numbers that have names in a link."""
_OF_CORPUS = re.compile(r"corpus-([0-9]{1,12})")
_LENGTHS = {
    **{"prompt": 500, "word": 64, "model": 200, "other": 200, "picture": 80, "ablation": 400},
    "index": 300,
}
_CHOICES = {
    "mode": MODES,
    "color": COLORS,
    "scale": SCALES,
    "labels": LABELS,
    "pair": PAIRS,
    "per": PER,
}
_MOST_LAYERS = 1000
_MOST_PATCHES = 1_000_000


@dataclass(frozen=True)
class View:
    """One view; None: the page chooses, for the image and the model.

    Attributes:
        picture: name of an example scene, `OWN`, or an image of `index`: see `corpus_picture`.
        model: as `load` takes it.
        mode: "look" at one model, "compare" it with `other`, "ablate" it, or search a "corpus".
        other: the second model.
        layer: number of the layer, -1 for the input similarity.
        patch: index of the pinned patch among the visual tokens; `UNPINNED`: none.
        color: what the colors show, of `COLORS`.
        scale: their range, of `SCALES`.
        labels: how the words are shown, of `LABELS`.
        k: number of words of a patch.
        word: the searched word.
        prompt: the question; "" for the default.
        ablation: interventions with their decoder layers (see `ablation.of_link`).
        pair: which models are ablated, and which words are shown, of `PAIRS`.
        index: of the corpus that is searched; "" for the first one that the page offers.
        at: the layer that is searched; None: all.
        least: probability of what is found, in per cent.
        per: what is found, of `PER`.
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
    index: str = ""
    at: int | None = None
    least: int = 0
    per: str = "patch"

    def __post_init__(self) -> None:
        for name, most in _LENGTHS.items():
            if len(getattr(self, name)) > most:
                raise ConfigurationError(f"{name} is longer than {most} characters; shorten it")
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in choices:
                raise ConfigurationError(
                    f"{name} is {shortened(str(getattr(self, name)))!r}, but must be one of: "
                    f"{', '.join(filter(None, choices))}"
                )
        of_link(self.ablation)
        bounds = {
            "layer": (-1, _MOST_LAYERS),
            "patch": (UNPINNED, _MOST_PATCHES),
            "k": (1, MOST_WORDS),
            "at": (0, _MOST_LAYERS),
            "least": (0, 100),
        }
        for name, (low, high) in bounds.items():
            value = getattr(self, name)
            if value is not None and not low <= value <= high:
                raise ConfigurationError(f"{name} is {value}, but must lie in {low} to {high}")

    @property
    def has_two_models(self) -> bool:
        return needs_two_models(self.mode, self.pair)

    def to_query(self) -> dict[str, str]:
        """Query parameters, without those that have their default values."""
        query = {}
        for field in fields(self):
            value = getattr(self, field.name)
            if value != field.default:
                query[field.name] = _NAMES.get((field.name, value), str(value))
        return query

    @classmethod
    def from_query(cls, query: Mapping[str, str]) -> tuple[View, list[str]]:
        """The view of a link, and a message for each parameter that cannot be used.

        Such a parameter is left out, and the rest of the link still counts. Parameters with other
        names are ignored.
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


def corpus_picture(number: int) -> str:
    """The name, as `View.picture`, of an image of the index."""
    return f"corpus-{number}"


def number_in_corpus(picture: str) -> int | None:
    """The number of an image of the index; None for other images."""
    found = _OF_CORPUS.fullmatch(picture)
    return int(found[1]) if found else None


def needs_two_models(mode: str, pair: str) -> bool:
    """Whether a view of this mode and pair also shows the second model."""
    return mode == "compare" or (mode == "ablate" and pair != "one")


def _parsed(name: str, text: str, default: Any) -> Any:
    if default is not None and not isinstance(default, int):
        if not text.isprintable():
            raise ConfigurationError(f"{name} holds characters that cannot be shown; leave it out")
        return text
    for (parameter, number), number_name in _NAMES.items():
        if (name, text) == (parameter, number_name):
            return number
    if not re.fullmatch(r"[0-9]{1,7}", text):  # int() takes underscores and other digits as well
        raise ConfigurationError(f"{name} is {shortened(text)!r}, but must be a whole number")
    return int(text)
