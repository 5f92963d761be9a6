"""The whole model after the vision tower, against loops in float64 written from the equations.

Error budget: transformers computes RMSNorm, rotary angles and the eager softmax in float32 even in
a float64 model, so results may differ by some hundred float32 roundings (2^-24 each) of the largest
logit: 256 * 2^-24 = 1.5e-5 of it.
"""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
import torch
from tiny import (
    DECODER_FAMILIES,
    TABLE_ROWS,
    TWO_IMAGES_PROMPT,
    tiny_inputs,
    tiny_llavit,
    tiny_text_config,
)
from torch import Tensor
from transformers import PreTrainedConfig

from llavit_lens.model import LlavitForConditionalGeneration, LlavitProcessor

BUDGET = 256 * 2.0**-24


def linear(weights: dict[str, Tensor], name: str, x: Tensor) -> Tensor:
    y = weights[f"{name}.weight"] @ x
    return y + weights[f"{name}.bias"] if f"{name}.bias" in weights else y


def rms_norm(weight: Tensor, x: Tensor, epsilon: float) -> Tensor:
    return weight * x / torch.sqrt((x * x).mean() + epsilon)


def rotary(head: Tensor, position: int, length: int, text: PreTrainedConfig) -> Tensor:
    """Rotate each pair (e, e + R/2) of the first R entries by position * theta^(-2e/R).

    Longrope divides the angle of pair e by a factor of its own, short or long by the length of the
    sequence, and scales what it rotates by sqrt(1 + ln(factor) / ln(original length)).
    """
    rope = text.rope_parameters
    half = int(head.shape[0] * rope.get("partial_rotary_factor", 1.0)) // 2
    slower, scale = [1.0] * half, 1.0
    if rope["rope_type"] == "longrope":
        original = text.original_max_position_embeddings
        slower = rope["long_factor" if length > original else "short_factor"]
        scale = math.sqrt(1.0 + math.log(rope["factor"]) / math.log(original))
    rotated = head.clone()
    for e in range(half):
        angle = position * rope["rope_theta"] ** (-e / half) / slower[e]
        a, b = head[e], head[e + half]
        rotated[e] = scale * (a * math.cos(angle) - b * math.sin(angle))
        rotated[e + half] = scale * (a * math.sin(angle) + b * math.cos(angle))
    return rotated


def queries_keys_values(
    weights: dict[str, Tensor], attention: str, suffix: str, h: Tensor, text: PreTrainedConfig
) -> list[Tensor]:
    """Of one token, before rotation: [heads, width], [groups, width], [groups, width]."""
    heads, groups = text.num_attention_heads, text.num_key_value_heads
    if f"{attention}.qkv_proj.weight" in weights:  # Phi-3
        fused = linear(weights, f"{attention}.qkv_proj{suffix}", h)
        rows = list(fused.view(heads + 2 * groups, -1).split([heads, groups, groups]))
    else:
        rows = [
            linear(weights, f"{attention}.{name}_proj{suffix}", h).view(number, -1)
            for name, number in zip("qkv", (heads, groups, groups), strict=True)
        ]
    for index, name in enumerate(("q_norm", "k_norm")):  # Qwen3
        if f"{attention}.{name}.weight" in weights:
            norm = weights[f"{attention}.{name}.weight"]
            rows[index] = torch.stack(
                [rms_norm(norm, head, text.rms_norm_eps) for head in rows[index]]
            )
    return rows


def gate_and_up(weights: dict[str, Tensor], mlp: str, h: Tensor) -> tuple[Tensor, Tensor]:
    if f"{mlp}.gate_up_proj.weight" in weights:  # Phi-3
        gate, up = linear(weights, f"{mlp}.gate_up_proj", h).chunk(2)
        return gate, up
    return linear(weights, f"{mlp}.gate_proj", h), linear(weights, f"{mlp}.up_proj", h)


def window_of(text: PreTrainedConfig, layer: int) -> float:
    """How many tokens, itself included, a token reaches back to."""
    window = getattr(text, "sliding_window", None)
    if (
        window is None
        or getattr(text, "layer_types", ["sliding_attention"] * (layer + 1))[layer]
        != "sliding_attention"
    ):
        return math.inf
    return window


def naive_logits(
    model: LlavitForConditionalGeneration, ids: Tensor, pixel_values: Tensor, **switches: Any
) -> Tensor:
    """Logits [L, vocabulary] of one unpadded prompt, token by token and head by head."""
    config, text = model.config, model.config.text_config
    separate = switches.get("separate_visual_qkv", True)
    mode = switches.get("visual_attention", "bidirectional")
    chosen = switches.get("vision_feature_layer", -2)
    weights = {name: value.double() for name, value in model.state_dict().items()}
    heads, groups = text.num_attention_heads, text.num_key_value_heads
    epsilon = text.rms_norm_eps
    visual = [token == config.image_token_id for token in ids.tolist()]
    length = len(visual)

    # Local and global features: CLIP layers side by side, without the class token, then the MLP.
    layers = model.model.vision_tower(pixel_values, output_hidden_states=True).hidden_states
    tapped = [chosen] if isinstance(chosen, int) else chosen
    features = torch.cat([layers[index] for index in tapped], dim=-1)[:, 1:].flatten(0, 1)
    patches = []
    for feature in features:
        x = linear(weights, "model.multi_modal_projector.linear_1", feature)
        x = x * 0.5 * (1.0 + torch.erf(x / math.sqrt(2.0)))
        patches.append(linear(weights, "model.multi_modal_projector.linear_2", x))
    embedding = weights["model.language_model.embed_tokens.weight"]
    supply = iter(patches)
    x = [next(supply) if visual[i] else embedding[ids[i]] for i in range(length)]

    for index in range(text.num_hidden_layers):
        layer = f"model.language_model.layers.{index}"
        norm = weights[f"{layer}.input_layernorm.weight"]
        q, k, v = [], [], []
        for i in range(length):
            h = rms_norm(norm, x[i], epsilon)
            suffix = "_visual" if separate and visual[i] else ""  # Eq. 6
            row = queries_keys_values(weights, f"{layer}.self_attn", suffix, h, text)
            q.append([rotary(head, i, length, text) for head in row[0]])
            k.append([rotary(head, i, length, text) for head in row[1]])
            v.append(list(row[2]))
        window = window_of(text, index)
        for i in range(length):
            if not (mode == "none" and visual[i]):  # Eq. 5
                seen = [
                    j
                    for j in range(length)
                    if i - window < j <= i
                    or (mode == "bidirectional" and visual[i] and visual[j])  # Eq. 8
                ]
                z = []
                for head in range(heads):
                    group = head // (heads // groups)
                    scores = torch.stack([q[i][head] @ k[j][group] for j in seen])
                    pattern = torch.softmax(scores / math.sqrt(len(q[i][head])), dim=0)
                    z.append(sum(p * v[j][group] for p, j in zip(pattern, seen, strict=True)))
                x[i] = x[i] + linear(weights, f"{layer}.self_attn.o_proj", torch.cat(z))
        norm = weights[f"{layer}.post_attention_layernorm.weight"]
        for i in range(length):
            h = rms_norm(norm, x[i], epsilon)
            gate, up = gate_and_up(weights, f"{layer}.mlp", h)
            x[i] = x[i] + linear(weights, f"{layer}.mlp.down_proj", gate * torch.sigmoid(gate) * up)

    final = weights["model.language_model.norm.weight"]
    return torch.stack([linear(weights, "lm_head", rms_norm(final, row, epsilon)) for row in x])


SWITCHES = [
    {"separate_visual_qkv": separate, "visual_attention": mode, "vision_feature_layer": layer}
    for separate, mode, layer in itertools.product(
        (False, True), ("causal", "bidirectional", "none"), (-2, [1, 2, -1])
    )
]


@pytest.mark.long
@pytest.mark.parametrize("switches", SWITCHES, ids=lambda s: "-".join(map(str, s.values())))
@torch.no_grad()
def test_logits_are_those_of_the_equations(
    switches: dict[str, Any], processor: LlavitProcessor
) -> None:
    model = tiny_llavit(**switches).double()
    inputs = tiny_inputs(processor, [TWO_IMAGES_PROMPT]).to(torch.float64)
    expected = naive_logits(model, inputs["input_ids"][0], inputs["pixel_values"], **switches)
    for implementation in ("eager", "sdpa"):
        model.set_attn_implementation(implementation)
        logits = model(**inputs).logits[0]
        assert (logits - expected).abs().max() <= BUDGET * expected.abs().max()


@pytest.mark.long
@pytest.mark.parametrize(
    "switches",
    [
        {"separate_visual_qkv": True, "visual_attention": "bidirectional"},
        {"separate_visual_qkv": True, "visual_attention": "none"},
        {"separate_visual_qkv": False, "visual_attention": "causal"},
    ],
    ids=lambda s: "-".join(map(str, s.values())),
)
@pytest.mark.parametrize("family", [*DECODER_FAMILIES, "phi3-longrope, long"])
@torch.no_grad()
def test_every_decoder_family_follows_the_equations(
    family: str, switches: dict[str, Any], processor: LlavitProcessor
) -> None:
    text = (
        tiny_text_config("phi3-longrope", original_max_position_embeddings=40)
        if family.endswith("long")
        else tiny_text_config(family)
    )
    model = tiny_llavit(text_config=text, **switches).double()
    inputs = tiny_inputs(processor, [TWO_IMAGES_PROMPT]).to(torch.float64)
    expected = naive_logits(model, inputs["input_ids"][0], inputs["pixel_values"], **switches)
    for implementation in ("eager", "sdpa"):
        model.set_attn_implementation(implementation)
        logits = model(**inputs).logits[0]
        assert (logits - expected).abs().max() <= BUDGET * expected.abs().max()


@pytest.mark.long
@torch.no_grad()
def test_the_reference_tells_every_switch_apart(processor: LlavitProcessor) -> None:
    """A switch without effect would fail above: settings differ by far more than the budget."""
    model = tiny_llavit().double()
    inputs = tiny_inputs(processor, [TWO_IMAGES_PROMPT]).to(torch.float64)
    results = [
        naive_logits(model, inputs["input_ids"][0], inputs["pixel_values"], **switches)
        for switches in SWITCHES
        if switches["vision_feature_layer"] == -2
    ]
    for one, other in itertools.combinations(results, 2):
        assert (one - other).abs().max() > 100 * BUDGET * one.abs().max()


@pytest.mark.parametrize("row", TABLE_ROWS)
@torch.no_grad()
def test_every_row_of_tables_1_and_3_is_a_config(row: str, processor: LlavitProcessor) -> None:
    model = tiny_llavit(**TABLE_ROWS[row])
    inputs = tiny_inputs(processor)
    assert model(**inputs).logits.isfinite().all()
    has_visual = any("_proj_visual" in name for name in model.state_dict())
    assert has_visual == TABLE_ROWS[row]["separate_visual_qkv"]
