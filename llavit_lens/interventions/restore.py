"""Sweeps of activation patching: where a state of one image brings back the answer to it.

Also known as causal tracing (Meng et al. 2022, "Locating and editing factual associations in GPT").

Shape letters: B batch, L tokens, A tokens of the answer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product

import numpy as np
import torch
from torch import Tensor

from llavit_lens.errors import ConfigurationError
from llavit_lens.images.open import ImageSource, pixel_sha256, require_one
from llavit_lens.images.regions import Region
from llavit_lens.interventions.passes import follow_passes
from llavit_lens.interventions.restore_places import Place, PlaceKind, places_of
from llavit_lens.interventions.token_rows import BatchTokens, write_tokens
from llavit_lens.model.hook_points import PATTERN_HOOKS, TEXT_HOOKS, VISUAL_HOOKS
from llavit_lens.printing import print_remark, progress_bar
from llavit_lens.results.restore_map import RestoreMap
from llavit_lens.vlm.answers import Answer, answer_tokens, log_prob_of_tokens
from llavit_lens.vlm.hooks import NamedHook, full_name
from llavit_lens.vlm.layers import Layers, layer_indices
from llavit_lens.vlm.prompt import Prompt
from llavit_lens.vlm.provenance import provenance_of
from llavit_lens.vlm.turns import turn
from llavit_lens.vlm.vlm import VLM, require_vlm

LEAST_DIFFERENCE = 0.01
"""Nats by which the answer must be likelier on the clean image: a share of less is noise."""

_WITHOUT_TOKENS = (*TEXT_HOOKS, *VISUAL_HOOKS, *PATTERN_HOOKS)


@torch.no_grad()
def restore_map(
    vlm: VLM,
    clean: ImageSource,
    corrupted: ImageSource,
    prompt: str,
    answer: Answer,
    *,
    point: str = "resid_pre",
    layers: Layers = "all",
    places: Sequence[PlaceKind] = ("patches", "visual", "text"),
    window: int = 1,
    objects: Mapping[str, Region] | None = None,
    batch_size: int = 16,
    progress: bool = True,
) -> RestoreMap:
    """A sweep of activation patching (causal tracing) over layers and places: the answer's
    log-probability on the corrupted image with one state of the clean one.

    The corrupted image is read once for each (layer, place); at that layer and these tokens the
    activation is that of the pass over the clean image. The sweep takes layers * places /
    batch_size passes, and two for the images themselves.

    Args:
        clean: the image that has the answer.
        corrupted: one that has not, of the same width and height.
        prompt, answer: as for `answer_log_prob`.
        point: the hook point whose activation is restored, such as "resid_pre", "resid_post",
            "attn_out", "mlp_out", "z", "v".
        layers: decoder layers, from 0 as in the names of hook points.
        places: see `PlaceKind`.
        window: "patches" restores this many patches on each side together, around each patch.
        objects: more places: patches by the name of what they show; a box or mask has those that
            it covers by half (see `Region`).
        batch_size: readings in one pass. Results of different batch sizes differ by rounding.
        progress: show on stderr how many passes there are and how far they are.

    Raises:
        ImageError, ConfigurationError: as `answer_log_prob` and `places_of`; images of different
            sizes; an answer that is not likelier on the clean one by `LEAST_DIFFERENCE`.
    """
    require_vlm(vlm)
    for image in (clean, corrupted):
        require_one(image, "restore_map")
    clean_prompt, corrupted_prompt = vlm.prepare(clean, prompt), vlm.prepare(corrupted, prompt)
    _check_alike(clean_prompt, corrupted_prompt)
    if batch_size < 1:
        raise ConfigurationError(f"batch_size={batch_size}: give 1 or more")
    numbers = list(layer_indices(vlm.decoder, layers))
    names = [_name_of(point, layer) for layer in numbers]
    groups = places_of(vlm, corrupted_prompt, places, window, objects)
    tokens = answer_tokens(vlm, clean_prompt, answer)
    clean_log_prob, states = _clean_pass(vlm, clean_prompt, tokens, names)
    corrupted_log_prob = float(log_prob_of_tokens(vlm, corrupted_prompt, tokens))
    _check_difference(clean_log_prob, corrupted_log_prob)
    return RestoreMap(
        point=point,
        layers=numbers,
        n_layers=vlm.decoder.n_layers,
        places=groups,
        window=window,
        clean=clean_log_prob,
        corrupted=corrupted_log_prob,
        restored=_sweep(vlm, corrupted_prompt, tokens, states, groups, batch_size, progress),
        layout=corrupted_prompt.layout,
        question=prompt,
        answer=answer if isinstance(answer, str) else vlm.tokenizer.decode(tokens),
        last_token=clean_prompt.length - 1,
        model=vlm.name,
        clean_image=clean_prompt.image,
        corrupted_image=corrupted_prompt.image,
        provenance={
            **provenance_of(vlm, clean_prompt),
            "corrupted_image_sha256": pixel_sha256(corrupted_prompt.image),
        },
    )


def _clean_pass(
    vlm: VLM, prompt: Prompt, answer: Tensor, names: list[str]
) -> tuple[float, dict[str, Tensor]]:
    """log p(answer), and the activations [L, ...] of the prompt at these hook points."""
    states: dict[str, Tensor] = {}

    def keep(activation: Tensor, hook: NamedHook) -> None:
        states[hook.name] = activation[0, : prompt.length].clone()

    log_prob = float(log_prob_of_tokens(vlm, prompt, answer, fwd_hooks=[(names, keep)]))
    return log_prob, {name: states[name] for name in names}


def _sweep(
    vlm: VLM,
    prompt: Prompt,
    answer: Tensor,
    states: dict[str, Tensor],
    places: list[Place],
    batch_size: int,
    progress: bool,
) -> np.ndarray:
    """float64 [states, places], log p(answer) with each of the states at each of the places."""
    restored = np.empty((len(states), len(places)))
    starts = range(0, len(places), batch_size)
    passes = list(product(enumerate(states.items()), starts))
    if progress:
        print_remark(
            f"{len(states)} layers x {len(places)} places = {restored.size} restorations in "
            f"{len(passes)} passes"
        )
    for (row, (name, state)), start in progress_bar(passes, "restoring") if progress else passes:
        batch = places[start : start + batch_size]
        columns = slice(start, start + len(batch))
        restored[row, columns] = _restored(vlm, prompt, answer, name, state, batch)
    return restored


def _restored(
    vlm: VLM, prompt: Prompt, answer: Tensor, name: str, state: Tensor, places: list[Place]
) -> np.ndarray:
    """float64 [places], log p(answer) with the clean `state` [L, ...] at each of the places."""
    tokens = BatchTokens.of_samples(
        [torch.as_tensor(place.tokens, device="cpu") for place in places]
    )
    new = state[tokens.place.to(state.device)]
    with turn(vlm.model), follow_passes(vlm.model, vlm.image_token_id) as passes:

        def put(activation: Tensor, hook: NamedHook) -> Tensor:
            return write_tokens(hook, activation, tokens, passes.current, new)

        log_probs = log_prob_of_tokens(vlm, prompt, answer, len(places), [(name, put)])
    return log_probs.numpy()


def _check_difference(clean: float, corrupted: float) -> None:
    if clean - corrupted < LEAST_DIFFERENCE:
        raise ConfigurationError(
            f"there is nothing to restore: log p(answer) is {clean:.3f} on the clean image and "
            f"{corrupted:.3f} on the corrupted one; choose an answer that the clean image makes "
            "likelier"
        )


def _check_alike(clean: Prompt, corrupted: Prompt) -> None:
    if clean.length != corrupted.length or clean.layout != corrupted.layout:
        raise ConfigurationError(
            f"the images are of {_size(clean)} and {_size(corrupted)} pixels, so their patches "
            "are not the same; give two images of the same width and height"
        )


def _size(prompt: Prompt) -> str:
    return " x ".join(map(str, prompt.layout.image_size))


def _name_of(point: str, layer: int) -> str:
    name = full_name(point, layer)
    if NamedHook(name).kind in _WITHOUT_TOKENS:
        raise ConfigurationError(
            f"{point!r} cannot be restored token by token; use q, k, v, z, attn_out, mlp_out, "
            "resid_pre, resid_mid or resid_post"
        )
    return name
