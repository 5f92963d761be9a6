"""The interventions that the page offers, behind one door."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from llavit_lens.errors import ConfigurationError
from llavit_lens.explorer.choices import ABLATIONS

if TYPE_CHECKING:
    from llavit_lens.vlm.vlm import VLM


@dataclass(frozen=True)
class Ablation:
    """An intervention on layers `first` to `last` of a model, counted from 1; 0: the last one."""

    kind: str
    first: int = 1
    last: int = 0

    def title(self, depth: int) -> str:
        """In words, for a model of `depth` layers."""
        name = ABLATIONS[self.kind]
        name = name[0].lower() + name[1:]
        if (self.first, self.last or depth) == (1, depth):
            return f"{name}, all layers"
        return f"{name}, layers {self.first} to {self.last or depth}"


@contextmanager
def applied(vlm: VLM, ablation: Ablation | None, depth: int) -> Iterator[None]:
    """Inside, the model runs with the intervention.

    Raises:
        ConfigurationError: no such layers, or an intervention that this model does not allow.
    """
    if ablation is None:
        yield
        return
    first, last = ablation.first, ablation.last or depth
    if not 1 <= first <= last <= depth:
        raise ConfigurationError(
            f"layers {first} to {last} are not all there: the model has layers 1 to {depth}"
        )
    from llavit_lens.interventions.ablation import ablate_visual_attention
    from llavit_lens.interventions.knockout import knock_out, visual_attention

    layers = range(first - 1, last)  # interventions count decoder layers from 0
    if ablation.kind == "visual_attention":
        intervention = ablate_visual_attention(vlm, layers)
    elif ablation.kind == "causal":
        intervention = visual_attention(vlm, "causal", layers)
    elif ablation.kind == "bidirectional":
        intervention = visual_attention(vlm, "bidirectional", layers)
    else:
        intervention = knock_out(vlm, ablation.kind, layers)
    with intervention:
        yield
