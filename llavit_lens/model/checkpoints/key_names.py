"""Key names: what each layout calls a weight, and the name that the model has for it.

The layouts of transformers' own folders, old and new, are known to transformers (its conversion
mapping); here is only what it does not know: LLaVA's original names.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from torch import Tensor
from transformers import PreTrainedConfig, PreTrainedModel
from transformers.conversion_mapping import get_model_conversion_mapping
from transformers.core_model_loading import WeightConverter, WeightRenaming, rename_source_key

from llavit_lens.errors import CheckpointError
from llavit_lens.model.checkpoints.weights import LazyTensor

Layout = tuple[tuple[str, str], ...]
"""(pattern of a whole source key, its replacement); the first that matches counts."""

# What follows `model.vision_tower.` differs by tower class, and transformers knows how.
_ORIGINAL_TOWER = (
    r"model\.vision_tower\.vision_tower\.(vision_model\..+)",
    r"model.vision_tower.\1",
)
_LANGUAGE_MODEL: Layout = (
    (r"model\.((?:embed_tokens|layers|norm)\..+)", r"model.language_model.\1"),
    (r"(lm_head\.weight)", r"\1"),
)
_PROJECTOR: Layout = (
    (r"mm_projector\.0\.(weight|bias)", r"model.multi_modal_projector.linear_1.\1"),
    (r"mm_projector\.2\.(weight|bias)", r"model.multi_modal_projector.linear_2.\1"),
)

ORIGINAL: Layout = (
    *_LANGUAGE_MODEL,
    *((rf"model\.{source}", target) for source, target in _PROJECTOR),
    _ORIGINAL_TOWER,
    (r"model\.image_newline", "model.image_newline"),
)
"""A whole model written by LLaVA's own code."""

PROJECTOR: Layout = tuple((rf"(?:.*\.)?{source}", target) for source, target in _PROJECTOR)
"""`mm_projector.bin`. LLaVA reads all that follows `mm_projector.`, so any prefix is right."""

BASE_MODEL: Layout = _LANGUAGE_MODEL
"""A language model by itself, as transformers writes it."""

TOWER: Layout = ((r"(vision_model\..+)", r"model.vision_tower.\1"),)
"""A CLIP or SigLIP model, whole or its vision half, as transformers writes it."""

HARMLESS_BUFFERS: Layout = (
    (r"(?:.*\.)?rotary_emb\.inv_freq", "rotary frequencies: computed from the configuration"),
    (r"(?:.*\.)?embeddings\.position_ids", "the numbers 0, 1, 2, …"),
)
"""Keys that old versions of transformers saved and that hold nothing new: not read."""

TOWER_EXTRAS: Layout = (
    (r"text_model\..+", "the text half of CLIP or SigLIP"),
    (r"(?:text|visual)_projection\.weight", "CLIP's way from its halves to their common space"),
    (r"logit_(?:scale|bias)", "of CLIP's or SigLIP's loss"),
)
"""Keys of a CLIP or SigLIP model that no LLaVA has a use for: not read."""


def is_listed(key: str, layout: Layout) -> bool:
    return any(re.fullmatch(pattern, key) for pattern, _ in layout)


def apply_layout(key: str, layout: Layout) -> str | None:
    """The replacement of a key, None if the layout does not know it."""
    for pattern, replacement in layout:
        if re.fullmatch(pattern, key):
            return re.sub(pattern, replacement, key)
    return None


def native_names(model: PreTrainedModel) -> Callable[[str], str]:
    """transformers' own renaming of keys, old or new, to those of `model` (on the meta device).

    The function raises CheckpointError for a key if its tensor would have to be changed.
    """
    transforms = get_model_conversion_mapping(model)
    renamings = [step for step in transforms if isinstance(step, WeightRenaming)]
    converters = [step for step in transforms if isinstance(step, WeightConverter)]
    state = model.state_dict()

    def rename(key: str) -> str:
        name, converter = rename_source_key(
            key, renamings, converters, model.base_model_prefix, state
        )
        if converter is not None:
            raise CheckpointError(f"{key}: transformers stores this weight in another form now")
        return name

    return rename


def fit(
    name: str, weights: Mapping[str, LazyTensor], model: PreTrainedModel, foreign: list[str]
) -> dict[str, LazyTensor]:
    """Match weights with a model (on the meta device): each key used once, nothing missing.

    Args:
        name: of the checkpoint, for messages.
        weights: by the name that their layout gives them, without harmless ones.
        model: what they should be the weights of.
        foreign: keys that are known not to belong there.

    Returns:
        The weights under the model's names, in the model's order. `lm_head.weight` is left out
        where it is tied to the word embeddings.

    Raises:
        CheckpointError: naming what is missing (as the model calls it), or foreign, doubled, of a
            wrong shape or no float (as the source calls it).
    """
    expected: dict[str, Tensor] = model.state_dict()
    rename = native_names(model)
    foreign = list(foreign)
    doubled: list[str] = []
    shapes: list[str] = []
    types: list[str] = []
    fitting: dict[str, LazyTensor] = {}
    for name_in_layout, tensor in weights.items():
        native = rename(name_in_layout)
        if native not in expected:
            foreign.append(tensor.key)
        elif native in fitting:
            doubled.append(f"{fitting[native].key} and {tensor.key}")
        elif tensor.shape != tuple(expected[native].shape):
            shape, right = list(tensor.shape), list(expected[native].shape)
            shapes.append(f"{tensor.key} ({shape} instead of {right})")
        elif not tensor.dtype.is_floating_point:
            types.append(f"{tensor.key} ({str(tensor.dtype).removeprefix('torch.')})")
        fitting[native] = tensor
    missing = [key for key in expected if key not in fitting]
    tied = model.config.tie_word_embeddings
    if tied and "lm_head.weight" in missing:
        missing.remove("lm_head.weight")
    faults = {
        "missing": missing,
        "foreign": foreign,
        "there twice": doubled,
        "of another shape": shapes,
        "not floating-point": types,
    }
    refuse_faults(name, faults)
    if tied and "lm_head.weight" in fitting:
        _drop_tied_head(name, fitting, model.config)
    return {key: fitting[key] for key in expected if key in fitting}


def _drop_tied_head(name: str, fitting: dict[str, LazyTensor], config: PreTrainedConfig) -> None:
    head = fitting.pop("lm_head.weight")
    if not head.read().equal(fitting["model.language_model.embed_tokens.weight"].read()):
        raise CheckpointError(
            f"{name}: its configuration ties lm_head.weight to the word embeddings, but the two "
            "differ; set tie_word_embeddings to false in its config.json if they should"
        )


def refuse_faults(name: str, faults: Mapping[str, list[str]]) -> None:
    """Raise CheckpointError if there are any keys, listed by what is wrong with them."""
    listed = [f"{kind}: {_listed(keys)}" for kind, keys in faults.items() if keys]
    if listed:
        raise CheckpointError(
            f"{name}: the weights do not fit the architecture; {'; '.join(listed)}"
        )


def _listed(keys: list[str], most: int = 5) -> str:
    first = ", ".join(sorted(keys)[:most])
    return first if len(keys) <= most else f"{first} and {len(keys) - most} more"


def rename_all(
    tensors: Mapping[str, LazyTensor], layout: Layout
) -> tuple[dict[str, LazyTensor], list[str]]:
    """Weights under the layout's names, and the keys that it does not know."""
    renamed: dict[str, LazyTensor] = {}
    unknown: list[str] = []
    for key, tensor in without_buffers(tensors).items():
        name = apply_layout(key, layout)
        if name is None or name in renamed:
            unknown.append(key)
        else:
            renamed[name] = tensor
    return renamed, unknown


def without_buffers(tensors: Mapping[str, LazyTensor]) -> dict[str, LazyTensor]:
    """Weights that are none of HARMLESS_BUFFERS."""
    return {key: tensor for key, tensor in tensors.items() if not is_listed(key, HARMLESS_BUFFERS)}
