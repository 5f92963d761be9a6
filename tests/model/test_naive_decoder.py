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
from tiny import TABLE_ROWS, TWO_IMAGES_PROMPT, tiny_inputs, tiny_llavit
from torch import Tensor

from llavit_lens.model import LlavitForConditionalGeneration, LlavitProcessor

BUDGET = 256 * 2.0**-24


def linear(weights: dict[str, Tensor], name: str, x: Tensor) -> Tensor:
    y = weights[f"{name}.weight"] @ x
    return y + weights[f"{name}.bias"] if f"{name}.bias" in weights else y


def rms_norm(weight: Tensor, x: Tensor, epsilon: float) -> Tensor:
    return weight * x / torch.sqrt((x * x).mean() + epsilon)


def rotary(head: Tensor, position: int, theta: float) -> Tensor:
    """Rotate each pair (e, e + E/2) by position * theta^(-2e/E)."""
    half = head.shape[0] // 2
    rotated = head.clone()
    for e in range(half):
        angle = position * theta ** (-2.0 * e / head.shape[0])
        a, b = head[e], head[e + half]
        rotated[e] = a * math.cos(angle) - b * math.sin(angle)
        rotated[e + half] = a * math.sin(angle) + b * math.cos(angle)
    return rotated


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
    width = text.hidden_size // heads
    theta, epsilon = text.rope_parameters["rope_theta"], text.rms_norm_eps
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
            row = [
                linear(weights, f"{layer}.self_attn.{name}_proj{suffix}", h).view(-1, width)
                for name in "qkv"
            ]
            q.append([rotary(head, i, theta) for head in row[0]])
            k.append([rotary(head, i, theta) for head in row[1]])
            v.append(list(row[2]))
        for i in range(length):
            if not (mode == "none" and visual[i]):  # Eq. 5
                seen = [
                    j
                    for j in range(length)
                    if j <= i or (mode == "bidirectional" and visual[i] and visual[j])  # Eq. 8
                ]
                z = []
                for head in range(heads):
                    group = head // (heads // groups)
                    scores = torch.stack([q[i][head] @ k[j][group] for j in seen])
                    pattern = torch.softmax(scores / math.sqrt(width), dim=0)
                    z.append(sum(p * v[j][group] for p, j in zip(pattern, seen, strict=True)))
                x[i] = x[i] + linear(weights, f"{layer}.self_attn.o_proj", torch.cat(z))
        norm = weights[f"{layer}.post_attention_layernorm.weight"]
        for i in range(length):
            h = rms_norm(norm, x[i], epsilon)
            gate = linear(weights, f"{layer}.mlp.gate_proj", h)
            up = linear(weights, f"{layer}.mlp.up_proj", h)
            x[i] = x[i] + linear(weights, f"{layer}.mlp.down_proj", gate * torch.sigmoid(gate) * up)

    final = weights["model.language_model.norm.weight"]
    return torch.stack([linear(weights, "lm_head", rms_norm(final, row, epsilon)) for row in x])


SWITCHES = [
    {"separate_visual_qkv": separate, "visual_attention": mode, "vision_feature_layer": layer}
    for separate, mode, layer in itertools.product(
        (False, True), ("causal", "bidirectional", "none"), (-2, [1, 2, -1])
    )
]


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
