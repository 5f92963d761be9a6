"""What a view puts side by side: models as they are, and models with interventions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from llavit_lens.errors import ConfigurationError
from llavit_lens.explorer.ablation import Ablation, of_link, title_of
from llavit_lens.explorer.choices import OF_TEXT
from llavit_lens.explorer.offered_models import OfferedModels
from llavit_lens.explorer.view import View
from llavit_lens.lens.difference import difference

if TYPE_CHECKING:
    from llavit_lens.explorer.lens_cache import LensResult
    from llavit_lens.explorer.model_spec import ModelSpec

UNCHANGED = 1e-3
"""A smaller difference is rounding: another kernel of attention."""
GetResult = Callable[[str, tuple[Ablation, ...]], "tuple[ModelSpec, LensResult]"]
"""Gives the result of a model, by its name, with interventions."""


@dataclass(frozen=True, eq=False)
class Pane:
    """One model's part of the page.

    Attributes:
        title: in words.
        spec: the model.
        ablations: the interventions in force; none: the model as it is.
        result: what it made of the image.
    """

    title: str
    spec: ModelSpec
    ablations: tuple[Ablation, ...]
    result: LensResult


def panes_of(
    view: View, models: OfferedModels, get_result: GetResult
) -> tuple[list[Pane], list[Pane]]:
    """All panes that answer, and those one or two that show their words.

    Raises:
        LlavitLensError: a model that does not work, or interventions that do not fit it.
    """

    def pane(name: str, ablations: tuple[Ablation, ...] = (), title: str = "") -> Pane:
        spec, result = get_result(name, ablations)
        return Pane(title or models.title(name), spec, ablations, result)

    check_pair(view)
    # the baseline on the left, as in the paper
    names = (view.other, view.model) if view.has_two_models else (view.model,)
    whole = [pane(name) for name in names]
    ablations = of_link(view.ablation) if view.mode == "ablate" else ()
    if not ablations:
        return whole, whole
    answering, pairs = [], {}
    for name, before in zip(names, whole, strict=True):
        title = _title(ablations, before)
        model = f"{models.title(name)}, " if view.has_two_models else ""
        as_it_is = f"{model}as it is" if model else "As it is"
        before = Pane(as_it_is, before.spec, (), before.result)
        pair = [before, pane(name, ablations, model + title)]
        answering += pair
        pairs[name] = pair
    if view.pair == "after":
        return answering, [pairs[view.other][1], pairs[view.model][1]]
    return answering, pairs[view.other if view.pair == "other" else view.model]


def check_pair(view: View) -> None:
    """Check that a view of two models does not name one twice.

    Raises:
        ConfigurationError: it does.
    """
    if view.has_two_models and view.other == view.model:
        raise ConfigurationError("both models are the same: choose another second model")


def _title(ablations: Sequence[Ablation], pane: Pane) -> str:
    try:
        return title_of(ablations, pane.result.depth)
    except ConfigurationError as error:
        raise ConfigurationError(f"{pane.title}: {error}") from error


def difference_of(left: LensResult, right: LensResult) -> np.ndarray:
    """How far two results differ (see `lens.difference`): float32 [slots, n of `left`], 0 to 1.

    Slot 0 is the input similarity, slot l + 1 the logit lens at layer l.
    """
    pairs = ((left.similarity, right.similarity), (left.words, right.words))
    return np.concatenate([difference(a, b, left.trace, right.trace) for a, b in pairs])


def unchanged_reason(panes: Sequence[Pane], differences: np.ndarray | None) -> str | None:
    """Why no word on any patch changes between a model before and after; None if one does."""
    if differences is None or differences.max() >= UNCHANGED or panes[0].spec != panes[1].spec:
        return None
    if all(ablation.kind in OF_TEXT for ablation in panes[1].ablations):
        return "this changes what text reads, and the words are read off patches"
    return "this model already does that"
