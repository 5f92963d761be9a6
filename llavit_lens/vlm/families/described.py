"""The families that transformers' `AutoModelForImageTextToText` loads, a line each."""

from __future__ import annotations

from typing import Any

from llavit_lens.rows import VisualAttentionMode
from llavit_lens.vlm.families import tile_rules
from llavit_lens.vlm.families.batching import Batching
from llavit_lens.vlm.families.blocks import all_marked, marked_runs
from llavit_lens.vlm.families.coordinates import coordinates
from llavit_lens.vlm.families.family import Family, check_template
from llavit_lens.vlm.families.grid_thw import padded_thw, stretched_thw
from llavit_lens.vlm.families.no_map import no_map
from llavit_lens.vlm.families.one_piece import cropped, padded_square
from llavit_lens.vlm.families.onevision import granite, onevision
from llavit_lens.vlm.families.pooled import pooled
from llavit_lens.vlm.families.rows import rows_of_codes, rows_of_patches
from llavit_lens.vlm.families.shaped_tiles import tiles_then_whole, whole_then_slices
from llavit_lens.vlm.families.tiles import tiles
from llavit_lens.vlm.families.unknown import unknown

_QUESTION = "{image}\n{question}"
_QWEN = "<|vision_start|>{image}<|vision_end|>{question}"
_GLM = "<|begin_of_image|>{image}<|end_of_image|>{question}"


def _always(config: Any) -> VisualAttentionMode:
    """Visual tokens see later ones in every layer, within its window where it is a sliding one.

    Gemma 3's see those of their own image alone (with pan-and-scan, of their own crop), Molmo2's
    those of all images, and its tags at starts, ends and columns too; PaliGemma's all of the
    images and of the question.
    """
    return "bidirectional"


def _if_for_vision(config: Any) -> VisualAttentionMode:
    """Gemma 4's text config says whether visual tokens see later ones of their own image. They do
    in sliding layers alone: the others stay causal."""
    text = getattr(config, "text_config", config)
    whom = getattr(text, "use_bidirectional_attention", None)
    return "bidirectional" if whom in ("vision", "all") else "causal"


def _family(*model_types: str, **what: Any) -> Family:
    return Family(
        model_types=model_types,
        **{"validate": check_template, "plain_prompt": _QUESTION, **what},
    )


OTHER = _family(
    layout=unknown, kind="unknown", precision="measured", visual_attention=_if_for_vision
)
"""Any model type that no line below names."""

DESCRIBED = (
    _family(
        "qwen2_vl",
        "qwen2_5_vl",
        "qwen3_vl",
        "qwen3_vl_moe",
        "qwen3_5",
        "qwen3_5_moe",
        "ernie4_5_vl_moe",
        "paddleocr_vl",
        "exaone4_5",
        "hyperclovax_vision_v2",
        "lfm3_vl",
        "cosmos3_omni",
        "video_llama_3",
        layout=stretched_thw,
        kind="one grid",
        plain_prompt=_QWEN,
    ),
    _family(
        "glm4v",
        "glm4v_moe",
        "glm46v",
        "glm_ocr",
        layout=stretched_thw,
        kind="one grid",
        plain_prompt=_GLM,
    ),
    _family("kimi_k25", layout=padded_thw, kind="one grid"),
    _family("chameleon", layout=cropped, kind="codes"),
    _family("janus", "deepseek_vl", "deepseek_vl_hybrid", layout=padded_square, kind="one grid"),
    _family(
        "paligemma",
        layout=tiles(tile_rules.one_tile),
        kind="one grid",
        plain_prompt="{image}{question}",
        visual_attention=_always,
        batching=Batching(answer_type=1),  # tokens of type 0 see each other
        blocks=all_marked("token_type_ids", 0),  # the question too
    ),
    _family(
        "gemma3",
        layout=tiles(tile_rules.pan_and_scan),
        kind="tiles",
        plain_prompt="{image}{question}",
        visual_attention=_always,
        blocks=marked_runs("token_type_ids"),
    ),
    _family(
        "internvl",
        "qianfan_ocr",
        "aya_vision",
        "cohere2_vision",
        layout=tiles(tile_rules.canvas),
        kind="tiles",
    ),
    _family(
        "got_ocr2",
        layout=tiles(tile_rules.canvas),
        kind="tiles",
        plain_prompt="<img>{image}</img>\n{question}",
    ),
    _family("ovis2", layout=tiles(tile_rules.covering), kind="tiles"),
    _family("idefics3", "smolvlm", layout=tiles(tile_rules.splits), kind="tiles"),
    _family("llama4", layout=tiles(tile_rules.fitted), kind="tiles"),
    _family("mistral3", "lighton_ocr", layout=rows_of_patches, kind="rows"),
    _family("llava_onevision", layout=onevision, kind="stitched tiles"),
    _family("granite4_vision", layout=granite, kind="stitched tiles"),
    _family("lfm2_vl", layout=tiles_then_whole, kind="shaped tiles"),
    _family(
        "minicpmv4_6",
        layout=whole_then_slices,
        kind="shaped tiles",
        batching=Batching(axes={"pixel_values": 3}),  # one strip of patches
    ),
    _family(
        "molmo2",
        layout=pooled,
        kind="given indices",
        visual_attention=_always,
        blocks=all_marked("mm_token_type_ids", 1),  # tokens that start images and end rows too
    ),
    _family(
        "emu3",
        layout=rows_of_codes,
        kind="codes",
        batching=Batching(fills_up=False),  # convolutions and norms of its tower see the filling
    ),
    _family(
        "gemma4",
        layout=coordinates,
        kind="coordinates",
        plain_prompt="{image}{question}",
        visual_attention=_if_for_vision,
        blocks=marked_runs("mm_token_type_ids"),
    ),
    _family(
        "blip-2",
        "instructblip",
        "idefics2",
        "aria",
        layout=no_map,
        kind="no map",
        precision="none",
    ),
)
