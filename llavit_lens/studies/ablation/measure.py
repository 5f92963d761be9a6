"""What breaks when visual tokens no longer attend: Eq. 5 put on trained models, layer by layer."""

from __future__ import annotations

from functools import partial

from llavit_lens.errors import ConfigurationError
from llavit_lens.interventions.ablation import ablate_visual_attention
from llavit_lens.interventions.knockout import visual_attention
from llavit_lens.studies.conditions import TRAINED, Condition

NO_UPDATE, SELF_ONLY, WINDOW = "Eq. 5", "only self", "Eq. 5 in"


def conditions(layers: int, window: int) -> list[Condition]:
    """As trained; Eq. 5 everywhere; each token sees only itself and text; Eq. 5 in each window.

    Raises:
        ConfigurationError: the window is larger than the decoder.
    """
    if not 1 <= window <= layers:
        raise ConfigurationError(
            f"--window {window}: the decoder has {layers} layers, so choose 1 to {layers}"
        )
    everywhere = (0, layers - 1)
    planned = [
        TRAINED,
        Condition(NO_UPDATE, *everywhere, ablate_visual_attention),
        Condition(SELF_ONLY, *everywhere, lambda vlm: visual_attention(vlm, "self")),
    ]
    if window < layers:
        for first in range(layers - window + 1):
            apply = partial(ablate_visual_attention, layers=range(first, first + window))
            planned.append(Condition(WINDOW, first, first + window - 1, apply))
    return planned
