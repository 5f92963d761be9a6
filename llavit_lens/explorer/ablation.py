"""The interventions that the page offers: any set of them at once, each with its own layers."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from llavit_lens.errors import ConfigurationError
from llavit_lens.explorer.choices import ABLATIONS
from llavit_lens.viewer.wording import shortened

if TYPE_CHECKING:
    from llavit_lens.vlm.vlm import VLM

NOTHING = "none"
"""No intervention, in a link."""
_PART = re.compile(r"([a-z_>-]+)(?::([0-9]{1,4})-([0-9]{1,4})?)?")


@dataclass(frozen=True)
class Ablation:
    """An intervention on some decoder layers, counted from 0 as in the library.

    Attributes:
        kind: of `choices.ABLATIONS`.
        first, last: the first and the last of the layers; None: the model's last layer.
    """

    kind: str
    first: int = 0
    last: int | None = None

    def layers(self, depth: int) -> range:
        """Its layers in a model of `depth` decoder layers.

        Raises:
            ConfigurationError: they are not all there.
        """
        last = depth - 1 if self.last is None else self.last
        if not 0 <= self.first <= last < depth:
            raise ConfigurationError(
                f"decoder layers {self.first} to {last} are not all there: the model has 0 to "
                f"{depth - 1}"
            )
        return range(self.first, last + 1)

    def within(self, depth: int) -> Ablation:
        """The same intervention, on layers that a model of `depth` decoder layers has."""
        first = min(self.first, depth - 1)
        last = None if self.last is None else min(self.last, depth - 1)
        return Ablation(self.kind, first, None if (first, last) == (0, depth - 1) else last)

    def title(self, depth: int) -> str:
        """In words, for a model of `depth` decoder layers."""
        name = ABLATIONS[self.kind]
        name = name[0].lower() + name[1:]
        layers = self.layers(depth)
        if len(layers) == depth:
            return f"{name}, all layers"
        if len(layers) == 1:
            return f"{name}, decoder layer {layers[0]}"
        return f"{name}, decoder layers {layers[0]} to {layers[-1]}"

    def code(self, depth: int) -> str:
        """The library's call for it."""
        layers = self.layers(depth)
        argument = "" if len(layers) == depth else f", layers=range({layers.start}, {layers.stop})"
        if self.kind == "visual_attention":
            return f"ll.ablate_visual_attention(vlm{argument})"
        function = "knock_out" if _is_knockout(self.kind) else "visual_attention"
        return f'll.{function}(vlm, "{self.kind}"{argument})'


def title_of(ablations: Sequence[Ablation], depth: int) -> str:
    """All of them, in words."""
    return "; ".join(ablation.title(depth) for ablation in ablations)


def to_link(ablations: Sequence[Ablation]) -> str:
    """Text of a link, such as `visual_attention,text->visual:2-4`; `:2-` ends at the last layer."""
    parts = []
    for ablation in ablations:
        last = "" if ablation.last is None else ablation.last
        all_layers = (ablation.first, ablation.last) == (0, None)
        parts.append(ablation.kind + ("" if all_layers else f":{ablation.first}-{last}"))
    return ",".join(parts) or NOTHING


def of_link(text: str) -> tuple[Ablation, ...]:
    """Inverse of `to_link`.

    Raises:
        ConfigurationError: there is no such intervention, one is there twice, or its layers are
            not valid.
    """
    ablations: dict[str, Ablation] = {}
    for part in text.split(",") if text != NOTHING else ():
        match = _PART.fullmatch(part)
        if match is None or match[1] not in ABLATIONS:
            raise ConfigurationError(
                f"ablation is {shortened(part)!r}, but must be one of: {', '.join(ABLATIONS)}; "
                "with decoder layers such as text->visual:2-4, or none"
            )
        if match[1] in ablations:
            raise ConfigurationError(f"ablation has {match[1]} twice; leave one out")
        first, last = int(match[2] or 0), int(match[3]) if match[3] else None
        if last is not None and last < first:
            raise ConfigurationError(f"ablation has {part}: the layers end before they begin")
        ablations[match[1]] = Ablation(match[1], first, last)
    return tuple(ablations[kind] for kind in ABLATIONS if kind in ablations)


@contextmanager
def applied(vlm: VLM, ablations: Sequence[Ablation], depth: int) -> Iterator[None]:
    """Inside, the model runs with all of the interventions.

    Raises:
        ConfigurationError: no such layers, or an intervention that this model does not allow.
    """
    interventions = [(ablation.kind, ablation.layers(depth)) for ablation in ablations]
    with ExitStack() as stack:
        for kind, layers in interventions:
            stack.enter_context(_intervention(vlm, kind, layers))
        yield


def _intervention(vlm: VLM, kind: str, layers: range) -> Any:
    from llavit_lens.interventions.ablation import ablate_visual_attention
    from llavit_lens.interventions.knockout import knock_out, visual_attention

    if kind == "visual_attention":
        return ablate_visual_attention(vlm, layers)
    if _is_knockout(kind):
        return knock_out(vlm, kind, layers)
    return visual_attention(vlm, kind, layers)  # type: ignore[arg-type]


def _is_knockout(kind: str) -> bool:
    """Whether the kind names edges, such as `text->visual`, and not a mode of visual attention."""
    return "->" in kind
