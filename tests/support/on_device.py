"""Models for tests that run on a CPU and on a GPU, and the float64 answers that they must give.

GPU kernels want heads of 16, 32, 64... numbers, and blocks of 128 tokens: heads are 64 wide here,
images have 64 patches, and a prompt with two images is longer than a block.

An error budget says how many roundings of which size an answer may have gone through. A unit of
rounding u is half of a dtype's eps: 2^-24 in float32, 2^-8 in bfloat16.

Shape letters: B batch, L tokens, H query heads, K key/value heads, E head width.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import torch
from tiny import (
    IMAGE_SIZE,
    spread_weights,
    tiny_inputs,
    tiny_llava,
    tiny_llavit,
    tiny_processor,
    tiny_text_config,
    tiny_vision_config,
)
from tiny_vlm import plain_processor
from torch import Tensor

from llavit_lens.vlm.hooks import NamedHook
from llavit_lens.vlm.vlm import VLM

SIDE = 8
HEADS, HEAD_WIDTH, WIDTH, LAYERS = 4, 64, 256, 3
PROMPT = "USER: <image>\nWhat is in the image? ASSISTANT:"
LONG_PROMPT = f"USER: <image>\n{'What is on the left? ' * 12}ASSISTANT:"
"""Longer than a block: on a GPU torch has no flex_attention for fewer queries and wide heads."""
BATCH = (
    "USER: <image>\nWhat? ASSISTANT:",
    "USER: <image>\nWhat? <image>\nWhat is left? ASSISTANT:",
)
UNIT = 2.0**-24
"""Of float32."""


def vlm_on(
    device: torch.device,
    dtype: torch.dtype = torch.float32,
    family: str = "llavit",
    **switches: Any,
) -> VLM:
    """A model of random weights, the same on every device: `llavit`, or transformers' `llava`."""
    sizes = {
        "vision_config": tiny_vision_config(image_size=SIDE * 7),
        "text_config": tiny_text_config(
            hidden_size=WIDTH, intermediate_size=2 * WIDTH, num_attention_heads=HEADS
        ),
        "image_seq_length": SIDE * SIDE,
    }
    model: Any = tiny_llava(**sizes) if family == "llava" else tiny_llavit(**sizes, **switches)
    spread_weights(model, scale=1.2 / math.sqrt(WIDTH))
    with torch.no_grad():
        model.lm_head.weight.normal_(0, 0.5)
        model.model.language_model.norm.weight.uniform_(0.2, 3.0)
    processor: Any = plain_processor() if family == "llava" else tiny_processor()
    size = 2 * IMAGE_SIZE
    processor.image_processor.size = {"shortest_edge": size}
    processor.image_processor.crop_size = {"height": size, "width": size}
    return VLM(model.to(device, dtype), processor, name=f"random-{family}")


def attend_by(vlm: VLM, implementation: str) -> None:
    """In the decoder alone."""
    vlm.model.set_attn_implementation({"text_config": implementation})


def inputs_for(
    vlm: VLM, prompts: tuple[str, ...] = BATCH, padding_side: str = "left", first_image: int = 0
) -> dict[str, Tensor]:
    """A padded batch on the model's device, in its dtype."""
    inputs = tiny_inputs(vlm.processor, prompts, first_image, padding_side)
    if vlm.model.config.model_type != "llavit":
        inputs.pop("mm_token_type_ids", None)
    return dict(inputs.to(vlm.device, dtype=vlm.model.dtype))


def allowed_pairs(vlm: VLM, inputs: dict[str, Tensor], mode: str) -> Tensor:
    """bool [B, L, L] on the CPU, whether query i may attend to key j: Eq. 8 written out."""
    ids = inputs["input_ids"].cpu()
    real, visual = inputs["attention_mask"].cpu().bool(), ids == vlm.image_token_id
    place = torch.arange(ids.shape[1])
    allowed = (place <= place[:, None]).expand(len(ids), -1, -1)
    if mode == "bidirectional":
        allowed = allowed | (visual[:, :, None] & visual[:, None])
    return allowed & real[:, None]


def float64_logits(vlm: VLM, inputs: dict[str, Tensor]) -> Tensor:
    """[B, L, vocab] of the same weights in float64 on the CPU, by "sdpa": the softmax of "eager" is
    float32."""
    twin = deepcopy(vlm.model).cpu().double()
    twin.set_attn_implementation("sdpa")
    moved = {name: x.cpu() for name, x in inputs.items()}
    moved["pixel_values"] = moved["pixel_values"].double()
    with torch.no_grad():
        return twin(**moved, use_cache=False).logits


def logit_error(vlm: VLM, inputs: dict[str, Tensor], expected: Tensor) -> float:
    """The largest difference of the model's logits at real tokens."""
    with torch.no_grad():
        logits = vlm.model(**inputs, use_cache=False).logits
    real = inputs["attention_mask"].cpu().bool()
    return (logits.cpu().double() - expected)[real].abs().max().item()


def float32_budget(logits: Tensor) -> float:
    """One rounding for each term of the sums that a state goes through, from end to end: in every
    layer the inputs of its products and the keys; then those of the unembedding."""
    terms = LAYERS * (2 * WIDTH + 2 * WIDTH + HEAD_WIDTH + logits.shape[1]) + WIDTH
    return terms * UNIT * logits.abs().max().item()


def recorded_attention(vlm: VLM, run: Callable[[], Any]) -> list[dict[str, Tensor]]:
    """Queries, keys, values and results [B, L, heads, E] of each layer in one pass, in float64."""
    layers: list[dict[str, Tensor]] = [{} for _ in range(LAYERS)]

    def keep(activation: Tensor, where: NamedHook) -> None:
        layers[where.layer()][where.name.split("hook_")[1]] = activation.detach().cpu().double()

    names = ["*.hook_rot_q", "*.hook_rot_k", "*.attn.hook_v", "*.hook_z"]
    with torch.no_grad(), vlm.hooks([(names, keep)]):
        run()
    return layers


def check_attention(
    layer: dict[str, Tensor], allowed: Tensor, dtype: torch.dtype, *, eager: bool, real: Tensor
) -> None:
    """The results of one layer are the attention of its own queries, keys and values.

    `allowed` is bool [B, L, L] or [B, H, L, L]. The budget, for a result that is a sum of w |v|:
    a score of E terms is off by E + 4 roundings of |q| |k| / sqrt(E), a weight by twice that, and
    sums over L keys by 2 L roundings, all of float32. In a lower precision the weights, their sum
    and the result are rounded once each; eager attention rounds its scores too, and scaled.
    """
    expected, terms, size = float64_attention(layer, allowed)
    length, width = allowed.shape[-1], layer["v"].shape[-1]
    relative = UNIT * (2 * (width + 4) * size + 2 * length + 8)
    if dtype != torch.float32:
        low = torch.finfo(dtype).eps / 2
        relative = relative + low * (3 + (4 * size if eager else 0 * size))
    error = (layer["z"] - expected).abs()
    excess = (error - terms * relative[..., None].expm1())[real]
    assert excess.max() <= 0, f"over the budget by {excess.max():.2g}"


def float64_attention(layer: dict[str, Tensor], allowed: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Results [B, L, H, E], the same sums with |v| in place of v, and of each query the largest
    |q| |k| / sqrt(E) [B, L, H] among the keys that it attends to."""
    groups = layer["rot_q"].shape[2] // layer["rot_k"].shape[2]
    q_BHLE = layer["rot_q"].transpose(1, 2)
    k_BHLE, v_BHLE = (
        layer[name].repeat_interleave(groups, 2).transpose(1, 2) for name in ("rot_k", "v")
    )
    closed = ~(allowed if allowed.ndim == 4 else allowed[:, None])
    scale = q_BHLE.shape[-1] ** -0.5
    scores = (q_BHLE @ k_BHLE.transpose(2, 3) * scale).masked_fill(closed, -torch.inf)
    weights = scores.softmax(-1).nan_to_num(0.0)  # a query without any key gets no update
    sizes = (q_BHLE.norm(dim=-1)[..., None] * k_BHLE.norm(dim=-1)[:, :, None] * scale).masked_fill(
        closed, 0.0
    )
    result, terms = ((weights @ x).transpose(1, 2) for x in (v_BHLE, v_BHLE.abs()))
    return result, terms, sizes.amax(-1).transpose(1, 2)
