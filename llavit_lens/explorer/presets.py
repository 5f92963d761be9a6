"""Experiments that the page offers with one click: a question, an intervention, and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from llavit_lens.explorer.ablation import Ablation
from llavit_lens.explorer.choices import EQ_5, EQ_8

EARLY, LATE, ALL = "early", "late", "all"


@dataclass(frozen=True)
class Preset:
    """One intervention in a part of the decoder layers.

    Attributes:
        label: on its button.
        kind: of `choices.ABLATIONS`.
        part: of the decoder layers: `EARLY` (the first half), `LATE` (the rest) or `ALL`.
        why: what it does, and what its effect says; Markdown.
    """

    label: str
    kind: str
    part: str
    why: str

    def ablation(self, depth: int) -> Ablation:
        """The intervention in a model of `depth` decoder layers."""
        half = max(1, depth // 2)
        if self.part == EARLY and half < depth:
            return Ablation(self.kind, 0, half - 1)
        if self.part == LATE and half < depth:
            return Ablation(self.kind, half, None)
        return Ablation(self.kind)


PRESETS: dict[str, tuple[Preset, ...]] = {
    "Where does the answer come from?": (
        Preset(
            "Text, early",
            "text->visual",
            EARLY,
            "Text does not see the patches in the first half of the layers. If the answer breaks, "
            "the model reads the image there.",
        ),
        Preset(
            "Text, late",
            "text->visual",
            LATE,
            "Text does not see the patches in the second half of the layers. If the answer stays, "
            "the model has read the image before.",
        ),
        Preset(
            "Last token",
            "last->visual",
            ALL,
            "The last token predicts the next word, and it does not see the patches in any layer. "
            "What it still knows of the image comes through other tokens.",
        ),
    ),
    "Which layers need visual attention?": (
        Preset(
            "Early off",
            "visual_attention",
            EARLY,
            f"{EQ_5} Here in the first half of the layers. If words and answer get worse, the "
            "patches exchange here what the model needs.",
        ),
        Preset(
            "Late off",
            "visual_attention",
            LATE,
            f"{EQ_5} Here in the second half of the layers. If the answer stays, the patches are "
            "done by then.",
        ),
        Preset(
            "All off",
            "visual_attention",
            ALL,
            f"{EQ_5} Here in all layers: each patch is read on its own.",
        ),
    ),
    "What may a patch read?": (
        Preset(
            "Patches before it",
            "causal",
            ALL,
            "A patch sees only itself and the patches before it, row by row, as in LLaVA. This "
            "takes Eq. 8 away from a LLaViT.",
        ),
        Preset(
            "All patches",
            "bidirectional",
            ALL,
            f"{EQ_8} LLaViT is trained so; a LLaVA model meets it here for the first time.",
        ),
        Preset(
            "No text",
            "visual->text",
            ALL,
            "Patches do not see the text. If words change, the text had a part in them.",
        ),
    ),
}
"""The experiments, by their question."""


def chosen_preset(ablations: Sequence[Ablation], depth: int) -> Preset | None:
    """The preset whose intervention is the one that is on, and the only one; None: there is none.

    Args:
        ablations: those that are on, with layers that the model has.
        depth: number of decoder layers of the model.
    """
    if len(ablations) != 1:
        return None
    on = ablations[0]
    for presets in PRESETS.values():
        for preset in presets:
            same = preset.ablation(depth)
            if (same.kind, same.layers(depth)) == (on.kind, on.layers(depth)):
                return preset
    return None
