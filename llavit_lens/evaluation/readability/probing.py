"""Linear probes beside the lens: trained on some pictures, asked about others."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor

from llavit_lens.errors import ConfigurationError
from llavit_lens.evaluation.labelled.images import LabelledImage, Owners, owners_of, readable
from llavit_lens.evaluation.readability.counts import Tally
from llavit_lens.evaluation.readability.probe import Probe
from llavit_lens.vlm.trace import Trace
from llavit_lens.vlm.vlm import VLM


class Probes:
    """Of the states and, where a picture is one tile, of the tower's output.

    Attributes:
        unreadable: what is wrong with pictures that cannot be read.

    Raises:
        ConfigurationError: there are pictures, but too little to learn on them.
    """

    def __init__(self, vlm: VLM, prompt: str, pictures: Iterable[LabelledImage]) -> None:
        self.unreadable: dict[str, None] = {}
        self._probes: dict[str, Probe] = {}
        self._said: dict[str, np.ndarray] = {}
        self._true: dict[str, np.ndarray] = {}
        read = 0
        for picture in readable(pictures, self.unreadable):
            read += 1
            with tower_features(vlm) as features:
                trace = vlm.trace(picture.image, prompt)
            owned, names = _named(owners_of(trace.layout, picture), picture)
            if len(owned):
                for measure, states in _states(trace, features).items():
                    self._probes.setdefault(measure, Probe()).add(states[:, owned], names)
        if (read or self.unreadable) and not self._probes:
            raise ConfigurationError(
                f"the {read} pictures for the probe show no object with a name; give others, or "
                "none for no probe"
            )
        for measure, probe in self._probes.items():
            probe.solve()
            self._true[measure] = np.zeros(len(probe.names))

    def count(
        self,
        tally: Tally,
        trace: Trace,
        features: list[Tensor],
        owners: Owners,
        picture: LabelledImage,
    ) -> None:
        """Ask the probes about the tokens of a picture, and add what was right to its tally."""
        owned, names = _named(owners, picture)
        available = _states(trace, features) if self._probes and len(owned) else {}
        for measure, probe in self._probes.items():
            known = [i for i, name in enumerate(names) if name in probe.names]
            if not known or measure not in available:
                continue
            true = np.array([probe.names.index(names[i]) for i in known])
            said = probe.predict(available[measure][:, owned[known]]).cpu().numpy()
            tally.add((measure, None), (said == true).sum(1), len(known))
            counts = np.stack([np.bincount(own, minlength=len(probe.names)) for own in said])
            self._said[measure] = self._said.get(measure, 0) + counts
            self._true[measure] += np.bincount(true, minlength=len(probe.names))

    def add_chance(self, tallies: Sequence[Tally]) -> None:
        """Answers shuffled over all tokens that were asked."""
        for measure, said in self._said.items():
            true = self._true[measure]
            share = said @ true / true.sum() ** 2
            for tally in tallies:
                if asked := tally.asked.get((measure, None), 0):
                    tally.lucky[measure, None] = share * asked
                    tally.drawn[measure, None] = asked


def _named(owners: Owners, picture: LabelledImage) -> tuple[Tensor, list[str]]:
    """Tokens of objects that have a name, int64 [m], and the m names."""
    names = [thing.name for thing in picture.objects]
    owned = [(i, names[o]) for i, o in enumerate(owners.owner.tolist()) if o >= 0]
    kept = [(i, name) for i, name in owned if name is not None]
    places = torch.tensor([i for i, _ in kept], dtype=torch.long, device="cpu")
    return places, [name for _, name in kept]


def _states(trace: Trace, features: list[Tensor]) -> dict[str, Tensor]:
    """[S, n, D] of each probe, S being 1 for the tower's output."""
    found = {"probe": trace.hidden}
    n, extra = len(trace.layout), len(trace.layout.off_image)
    # tiles come in another order than tokens; a class token comes first
    if len(trace.layout.grid) == 1 and [tuple(f.shape[:2]) for f in features] == [(1, n + extra)]:
        found["probe_tower"] = features[0][:, extra:]
    return found


@contextmanager
def tower_features(vlm: VLM) -> Iterator[list[Tensor]]:
    """Inside, a pass leaves what the projector was given in the list: [pictures, tokens, width].

    The list stays empty for models without a `multi_modal_projector`.
    """
    features: list[Tensor] = []
    projector: Any = getattr(vlm.model.model, "multi_modal_projector", None)
    if projector is None:
        yield features
        return
    handle = projector.register_forward_pre_hook(
        lambda module, args: features.append(args[0].detach())
    )
    try:
        yield features
    finally:
        handle.remove()
