"""What a view puts side by side: models as they are, models with interventions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from llavit_lens.errors import ConfigurationError
from llavit_lens.explorer.ablation import Ablation, of_link, title_of
from llavit_lens.explorer.choices import OF_TEXT, Offer
from llavit_lens.explorer.view import View
from llavit_lens.lens.difference import difference

if TYPE_CHECKING:
    from llavit_lens.explorer.bench import Reading, Source

UNCHANGED = 1e-3
"""A smaller difference is rounding: another kernel of attention."""
Read = Callable[[str, tuple[Ablation, ...]], "tuple[Source, Reading]"]
"""Reads with a model, by its name, and interventions."""


@dataclass(frozen=True, eq=False)
class Side:
    """One of the readings that the page shows.

    Attributes:
        title: in words.
        source: the model.
        ablations: the interventions in force; none: the model as it is.
        reading: what it made of the picture.
    """

    title: str
    source: Source
    ablations: tuple[Ablation, ...]
    reading: Reading


def sides_of(view: View, offer: Offer, read: Read) -> tuple[list[Side], list[Side]]:
    """All sides that answer, and those one or two whose words are shown.

    Raises:
        LlavitLensError: a model that does not work, or interventions that do not fit it.
    """

    def side(name: str, ablations: tuple[Ablation, ...] = (), title: str = "") -> Side:
        source, reading = read(name, ablations)
        return Side(title or offer.title(name), source, ablations, reading)

    both = view.mode == "compare" or (view.mode == "ablate" and view.pair != "one")
    if both and view.other == view.model:
        raise ConfigurationError("both models are the same: choose another second model")
    names = (
        (view.other, view.model) if both else (view.model,)
    )  # the baseline left, as in the paper
    whole = [side(name) for name in names]
    ablations = of_link(view.ablation) if view.mode == "ablate" else ()
    if not ablations:
        return whole, whole
    answering, pairs = [], {}
    for name, before in zip(names, whole, strict=True):
        title = _title(ablations, before)
        model = f"{offer.title(name)}, " if both else ""
        before = Side(f"{model}as it is" if both else "As it is", before.source, (), before.reading)
        pair = [before, side(name, ablations, model + title)]
        answering += pair
        pairs[name] = pair
    if view.pair == "after":
        return answering, [pairs[view.other][1], pairs[view.model][1]]
    return answering, pairs[view.other if view.pair == "other" else view.model]


def _title(ablations: Sequence[Ablation], side: Side) -> str:
    try:
        return title_of(ablations, side.reading.depth)
    except ConfigurationError as error:
        raise ConfigurationError(f"{side.title}: {error}") from error


def apart_of(left: Reading, right: Reading) -> np.ndarray:
    """How far two readings disagree (see `lens.difference`): float32 [slots, n of `left`], 0 to 1.

    Slot 0 is the input similarity, slot l + 1 the logit lens at layer l.
    """
    pairs = ((left.similarity, right.similarity), (left.words, right.words))
    return np.concatenate([difference(a, b, left.trace, right.trace) for a, b in pairs])


def why_unchanged(shown: Sequence[Side], apart: np.ndarray | None) -> str | None:
    """Why no word on any patch changes, if none does, of a model before and after."""
    if apart is None or apart.max() >= UNCHANGED or shown[0].source != shown[1].source:
        return None
    if all(ablation.kind in OF_TEXT for ablation in shown[1].ablations):
        return "this changes what text reads, and the words are read off patches"
    return "this model already does that"
