"""Linear probes beside the lens: trained on some images, asked about others."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from itertools import tee
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from llavit_lens.errors import ConfigurationError
from llavit_lens.evaluation.labelled.labelled_images import LabelledImage, readable
from llavit_lens.evaluation.labelled.patch_labels import PatchLabels, patch_labels
from llavit_lens.evaluation.readability.probe import Probe
from llavit_lens.evaluation.readability.tally import Tally
from llavit_lens.vlm.trace import Trace
from llavit_lens.vlm.vlm import VLM


class Probes:
    """Of the states and, where an image is one tile, of the tower's output.

    Attributes:
        unreadable: what is wrong with images that cannot be read.

    Raises:
        ConfigurationError: there are images, but too little to learn on them.
    """

    def __init__(self, vlm: VLM, prompt: str, images: Iterable[LabelledImage]) -> None:
        self.unreadable: dict[str, None] = {}
        self._probes: dict[str, Probe] = {}
        self._said: dict[str, np.ndarray] = {}
        self._true: dict[str, np.ndarray] = {}
        n_images = 0
        for image, trace, features, _ in traced(
            vlm, prompt, readable(images, self.unreadable), changes=False, tower=True
        ):
            n_images += 1
            patches, names = _named(patch_labels(trace.layout, image), image)
            if len(patches):
                for measure, states in _states(trace, features).items():
                    self._probes.setdefault(measure, Probe()).add(states[:, patches], names)
        if (n_images or self.unreadable) and not self._probes:
            raise ConfigurationError(
                f"the {n_images} images for the probe show no object with a name; give others, or "
                "none for no probe"
            )
        for measure, probe in self._probes.items():
            probe.solve()
            self._true[measure] = np.zeros(len(probe.names))

    def __bool__(self) -> bool:
        """Whether there is anything that they have learned."""
        return bool(self._probes)

    def count(
        self,
        tally: Tally,
        trace: Trace,
        features: list[Tensor],
        labels: PatchLabels,
        image: LabelledImage,
    ) -> None:
        """Ask the probes about the tokens of an image, and add what was right to its tally."""
        patches, names = _named(labels, image)
        available = _states(trace, features) if self._probes and len(patches) else {}
        for measure, probe in self._probes.items():
            learned = [i for i, name in enumerate(names) if name in probe.names]
            if not learned or measure not in available:
                continue
            true = np.array([probe.names.index(names[i]) for i in learned])
            said = probe.predict(available[measure][:, patches[learned]]).cpu().numpy()
            tally.add((measure, None), (said == true).sum(1), len(learned))
            size = len(probe.names)
            counts = np.stack([np.bincount(of_state, minlength=size) for of_state in said])
            self._said[measure] = self._said.get(measure, 0) + counts
            self._true[measure] += np.bincount(true, minlength=size)

    def add_chance(self, tallies: Sequence[Tally]) -> None:
        """The answers shuffled over all tokens that the probes were asked about."""
        for measure, said in self._said.items():
            true = self._true[measure]
            share = said @ true / true.sum() ** 2
            for tally in tallies:
                if tally.asked.get((measure, None), 0):
                    tally.set_chance((measure, None), share)


def _named(labels: PatchLabels, image: LabelledImage) -> tuple[Tensor, list[str]]:
    """Tokens of objects that have a name, int64 [m], and the m names."""
    names = [thing.name for thing in image.objects]
    of_patches = [(i, names[label]) for i, label in enumerate(labels.label.tolist()) if label >= 0]
    named = [(i, name) for i, name in of_patches if name is not None]
    patches = torch.tensor([i for i, _ in named], dtype=torch.long, device="cpu")
    return patches, [name for _, name in named]


def _states(trace: Trace, features: list[Tensor]) -> dict[str, Tensor]:
    """[S, n, D] of each probe, S being 1 for the tower's output."""
    states = {"probe": trace.hidden}
    n, extra = len(trace.layout), len(trace.layout.off_image)
    # tiles come in another order than tokens; a class token comes first
    if len(trace.layout.grid) == 1 and [tuple(f.shape[:2]) for f in features] == [(1, n + extra)]:
        states["probe_tower"] = features[0][:, extra:]
    return states


class Traced(NamedTuple):
    """What a model made of an image, and of its changes.

    Attributes:
        features: what the tower put out for the image, as `tower_features`.
        changed: a trace for each of its changes.
    """

    image: LabelledImage
    trace: Trace
    features: list[Tensor]
    changed: list[Trace]


def traced(
    vlm: VLM, prompt: str, images: Iterable[LabelledImage], changes: bool, tower: bool
) -> Iterator[Traced]:
    """Images in passes over several; read as they are needed.

    Args:
        changes: trace the changes of each image, too.
        tower: keep what the tower put out.
    """
    images, ahead = tee(images)
    asked = (
        (pixels, prompt)
        for image in ahead
        for pixels in (image.image, *(c.image for c in image.changes if changes))
    )
    kept: AbstractContextManager[list[Tensor]] = tower_features(vlm) if tower else nullcontext([])
    with kept as features:
        traces = _with_features(vlm, asked, features)
        for image in images:
            trace, of_tower = next(traces)
            more = [next(traces)[0] for _ in image.changes if changes]
            if of_tower is None:
                with tower_features(vlm) as of_tower:
                    vlm.trace(image.image, prompt)
            yield Traced(image, trace, of_tower, more)


def _with_features(
    vlm: VLM, asked: Iterable[tuple[Any, str]], features: list[Tensor]
) -> Iterator[tuple[Trace, list[Tensor] | None]]:
    """Traces, and what the tower put out for each: None where a pass over several does not tell
    what it would be in a pass over this image alone, which is one tile."""
    for traces in vlm.trace_batches(asked):
        of_pass = list(features)
        for place, trace in enumerate(traces):
            size = (len(traces), len(trace.layout.all_positions))
            if len(traces) == 1:
                yield trace, of_pass
            elif len(trace.layout.grid) > 1:
                yield trace, []
            elif all(tuple(f.shape[:2]) == size for f in of_pass):
                yield trace, [f[place : place + 1] for f in of_pass]
            else:
                yield trace, None
        features.clear()


@contextmanager
def tower_features(vlm: VLM) -> Iterator[list[Tensor]]:
    """Inside, a pass appends the projector's input to the list: [images, tokens, width].

    The list stays empty for models without a projector.
    """
    features: list[Tensor] = []
    projector: Any = vlm.family.projector(vlm.model)
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
