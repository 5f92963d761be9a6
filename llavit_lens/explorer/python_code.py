"""The program that computes what the page shows, to be pasted into a file or a notebook."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

from llavit_lens.explorer.lens_cache import ANSWER_TOKENS
from llavit_lens.explorer.offered_models import OfferedModels
from llavit_lens.explorer.panes import Pane
from llavit_lens.explorer.view import OWN, View
from llavit_lens.inputs import DEFAULT_PROMPT
from llavit_lens.results.matching import matched_layer, partners

if TYPE_CHECKING:
    from llavit_lens.explorer.input_image import InputImage
    from llavit_lens.explorer.start import Start

_WIDTH = 88


def python_code(
    panes: Sequence[Pane],
    lead: Pane,
    image: InputImage,
    view: View,
    start: Start,
    models: OfferedModels,
) -> str:
    """The answers and the words of all panes, with their interventions, as a program.

    It prints each answer, and the words of the pinned patch at the layer that is shown (of all
    patches, if none is pinned).

    Args:
        panes: those that answer.
        lead: the first of those that show their words: `start` is about its layers and patches.
        image: what they look at.
        view: for the question and the number of words.
        start: the layer and the patch that are shown.
        models: for the names of models, which on a public page hold no paths.
    """
    lines = ["import llavit_lens as ll", "", f"image = {_image(image)}"]
    lines += [f"question = {_text(view.prompt or DEFAULT_PROMPT)}"]
    loaded = None
    for number, pane in enumerate(panes, 1):
        if pane.spec != loaded:
            lines += ["", f"vlm = {_load(pane, models)}"]
            loaded = pane.spec
        name = "words" if len(panes) == 1 else f"words_{number}"
        lines += _read(pane, name, lead, view.k, start)
    return "\n".join(lines)


def _image(image: InputImage) -> str:
    if image.is_example:
        return f"ll.example({_text(image.name)})"
    name = image.file_name or "image.png"
    whose = "your own image" if image.name == OWN else "an image of the corpus"
    return f"{_text(name)}  # {whose}: give its path"


def _text(text: str) -> str:
    """As Python writes it, between double quotes."""
    return json.dumps(text, ensure_ascii=False)


def _load(pane: Pane, models: OfferedModels) -> str:
    spec = pane.spec
    settings = (("device", spec.device), ("dtype", spec.dtype))
    chosen = "".join(f', {name}="{value}"' for name, value in settings if value != "auto")
    return f"ll.load({_text(models.to_link(spec.name))}{chosen})"


def _read(pane: Pane, name: str, lead: Pane, k: int, start: Start) -> list[str]:
    depth, is_cosine = pane.result.depth, start.layer < 0
    layer = 0 if is_cosine else matched_layer(start.layer, lead.result.depth, depth)
    lens = "input_similarity" if is_cosine else "logit_lens"
    lines = [
        f"print(vlm.generate(image, question, max_new_tokens={ANSWER_TOKENS}))",
        f"{name} = ll.{lens}(vlm.trace(image, question), k={k})",
    ]
    if pane.ablations:
        head = _with([ablation.code(depth) for ablation in pane.ablations])
        lines = [*head, *(f"    {line}" for line in lines)]
    return [*lines, f"print({name}.{_words(pane, lead, layer, start.patch)})"]


def _with(calls: Sequence[str]) -> list[str]:
    line = f"with {', '.join(calls)}:"
    if len(line) <= _WIDTH:
        return [line]
    return ["with (", *(f"    {call}," for call in calls), "):"]


def _words(pane: Pane, lead: Pane, layer: int, patch: int | None) -> str:
    if patch is None:
        return f"by_token({layer})"
    layout = pane.result.words.layout
    if pane is not lead:
        patch = int(partners(lead.result.words.layout, layout)[patch])
    tile = f", tile={layout.tile[patch]}" if len(layout.grid) > 1 else ""
    return f"at({layer}, row={layout.row[patch]}, col={layout.col[patch]}{tile})"
