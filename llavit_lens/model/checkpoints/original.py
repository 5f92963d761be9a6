"""What the configuration of an original LLaVA checkpoint means, in transformers' terms."""

from __future__ import annotations

import ast
from typing import Any

from transformers import AutoConfig, PreTrainedConfig

from llavit_lens.errors import CheckpointError, one_line
from llavit_lens.model.checkpoints.find_tower import Tower
from llavit_lens.model.processing import build_image_processor
from llavit_lens.model.tiles import MERGE_TYPES
from llavit_lens.model.tower_rules import layer_fault

_FAMILY_BY_TYPE = {
    "llava": "llama",  # what LLaVA-1.5 called itself before "llava_llama"
    "llava_llama": "llama",
    "llava_mistral": "mistral",
    "llava_phi3": "phi3",
    "llava_qwen": "qwen2",
    "llava_qwen3": "qwen3",
}
_NOT_OF_THE_LANGUAGE_MODEL = (
    "mm_",
    "image_",
    "tune_",
    "freeze_",
    "unfreeze_",
    "use_mm_",
    "vision_",
    "tokenizer_",
    "_",
    "architectures",
    "model_type",
    "transformers_version",
    "pretraining_tp",
)
_ASPECT_RATIOS = (None, "square", "pad", "anyres")


def require_served(name: str, fields: dict[str, Any]) -> None:
    """Refuse what cannot be built exactly from transformers' parts.

    Raises:
        CheckpointError: naming the setting.
    """
    tower = fields["mm_vision_tower"]
    if not isinstance(tower, str) or not tower:
        raise CheckpointError(f"{name}: names no vision tower (mm_vision_tower is {tower!r})")
    refusals = [
        (
            fields.get("mm_projector_type", "linear") != "mlp2x_gelu",
            f"its projector is {fields.get('mm_projector_type', 'linear')!r}, not 'mlp2x_gelu'",
        ),
        (
            bool(fields.get("mm_resampler_type")),
            f"it resamples visual tokens ({fields.get('mm_resampler_type')})",
        ),
        (
            bool(fields.get("mm_use_im_start_end")),
            "it puts tokens around each image (mm_use_im_start_end)",
        ),
        (bool(fields.get("s2")), "it looks at images at several scales (s2)"),
        (
            fields.get("image_aspect_ratio") not in _ASPECT_RATIOS,
            f"image_aspect_ratio={fields.get('image_aspect_ratio')!r} is none of LLaVA-1.5's or "
            "LLaVA-NeXT's",
        ),
        (
            merge_type(fields) not in (None, *MERGE_TYPES),
            f"it merges tiles in an unknown way (mm_patch_merge_type={merge_type(fields)!r})",
        ),
        (
            fields.get("mm_vision_select_feature", "patch") not in ("patch", "cls_patch"),
            f"mm_vision_select_feature={fields.get('mm_vision_select_feature')!r} is unknown",
        ),
    ]
    for refused, reason in refusals:
        if refused:
            raise CheckpointError(f"{name}: {reason}; this is not supported")


def is_llavas(key: str) -> bool:
    """Whether a field of config.json is LLaVA's own, and not of the language model."""
    return key.startswith(_NOT_OF_THE_LANGUAGE_MODEL)


def llava_type(name: str, family: str | None) -> str:
    """LLaVA's `model_type` over a decoder family; CheckpointError for one that is unknown here."""
    for kind, served in reversed(_FAMILY_BY_TYPE.items()):
        if served == family:
            return kind
    raise CheckpointError(
        f"{name}: a base of type {family!r} is not supported; there are: "
        + ", ".join(sorted(set(_FAMILY_BY_TYPE.values())))
    )


def merge_type(fields: dict[str, Any]) -> str | None:
    """How tiles of images are merged, None if there are no tiles.

    "spatial_unpad" is LLaVA-NeXT (1.6), "flat" the default of LLaVA's code.
    """
    if fields.get("image_aspect_ratio") != "anyres":
        return None
    return fields.get("mm_patch_merge_type", "flat")


def text_config(name: str, fields: dict[str, Any], has_head: bool) -> PreTrainedConfig:
    """The language model's configuration, which stands among LLaVA's own fields.

    If no field says whether the unembedding is tied to the word embeddings, it is tied where the
    checkpoint has none (`has_head`).

    Raises:
        CheckpointError: a decoder family that is unknown here.
    """
    kind = fields.get("model_type")
    if kind not in _FAMILY_BY_TYPE:
        types = ", ".join(_FAMILY_BY_TYPE)
        raise CheckpointError(f"{name}: model_type {kind!r} is not supported; there are: {types}")
    kept = {key: value for key, value in fields.items() if not is_llavas(key)}
    kept.setdefault("tie_word_embeddings", not has_head)
    try:
        return AutoConfig.for_model(_FAMILY_BY_TYPE[kind], **kept)
    except Exception as error:  # transformers may raise anything
        raise CheckpointError(
            f"{name}: its configuration does not make sense ({one_line(error)})"
        ) from error


def feature_settings(
    name: str, fields: dict[str, Any], tower: Tower, own_tower: bool
) -> dict[str, Any]:
    """Which vision layer is used, and with or without the class token.

    LLaVA's code drops SigLIP's last layer and takes the output of what is left, whatever
    `mm_vision_select_layer` says; SigLIP has no class token to drop.

    Raises:
        CheckpointError: the tower has no such layer, or each tile would keep its class token.
    """
    if not tower.class_tokens:
        return {
            "vision_feature_layer": -1 if own_tower else -2,
            "vision_feature_select_strategy": "full",
        }
    layer = fields.get("mm_vision_select_layer", -2)
    fault = layer_fault(tower.config, [layer])
    if fault:
        raise CheckpointError(
            f"{name}: mm_vision_select_layer={layer!r}{fault}; correct its config.json"
        )
    patches_only = fields.get("mm_vision_select_feature", "patch") == "patch"
    if not patches_only and merge_type(fields) is not None:
        raise CheckpointError(
            f"{name}: every tile of an image keeps its class token (mm_vision_select_feature="
            f"{fields['mm_vision_select_feature']!r} with image_aspect_ratio='anyres'), which has "
            "no place among the patches; this is not supported"
        )
    return {
        "vision_feature_layer": layer,
        "vision_feature_select_strategy": "default" if patches_only else "full",
    }


def pinpoints(name: str, fields: dict[str, Any]) -> list[list[int]]:
    """The resolutions of Any-Res as transformers has them, (height, width); LLaVA's are the other
    way around, and may be a string."""
    value = fields.get("image_grid_pinpoints")
    try:
        pairs: Any = ast.literal_eval(value) if isinstance(value, str) else value
        return [[int(height), int(width)] for width, height in pairs]
    except (ValueError, SyntaxError, TypeError) as error:
        raise CheckpointError(
            f"{name}: image_grid_pinpoints={value!r} is no list of (width, height)"
        ) from error


def image_processor(name: str, fields: dict[str, Any], tower: Tower) -> Any:
    """The image processor that prepares images as the checkpoint says, with the tower's pixels."""
    mode = "pad" if fields.get("image_aspect_ratio") == "pad" else "crop"
    if merge_type(fields) is not None:
        mode = "anyres"
    if mode == "crop" and not tower.class_tokens:
        return tower.image_processor  # SigLIP's stretches images
    resolutions = pinpoints(name, fields) if mode == "anyres" else []
    return build_image_processor(mode, tower.config.image_size, resolutions, tower.image_processor)
