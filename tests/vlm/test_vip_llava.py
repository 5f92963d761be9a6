"""A family that no other test builds, from end to end: VipLlava; its projector reads five layers
of its vision tower."""

from __future__ import annotations

import torch
from tiny import (
    PATCHES,
    PROMPT,
    spread_weights,
    tiny_config_arguments,
    tiny_image,
    tiny_vision_config,
)
from tiny_vlm import LAYERS, plain_processor
from transformers import VipLlavaConfig, VipLlavaForConditionalGeneration

import llavit_lens as ll


def vip_llava() -> ll.VLM:
    """Random weights; the processor is LLaVA's own, as in its checkpoints."""
    arguments = tiny_config_arguments(vision_config=tiny_vision_config(num_hidden_layers=5))
    for name in ("vision_feature_layer", "vision_feature_select_strategy"):
        del arguments[name]
    torch.manual_seed(0)
    config = VipLlavaConfig(**arguments, vision_feature_layers=[-2, -3, -4, -5, 1])
    model = VipLlavaForConditionalGeneration(config).eval()
    spread_weights(model)
    return ll.VLM(model, plain_processor(), name="tiny-vip-llava")


def test_lens_check_and_knockout() -> None:
    """The last layer's words are the model's; attention is causal; Eq. 5 and a knockout act."""
    vlm, image = vip_llava(), tiny_image()
    trace = vlm.trace(image, PROMPT)
    assert trace.hidden.shape[:2] == (LAYERS + 1, PATCHES)
    logits = vlm.run(image, PROMPT)
    words = ll.logit_lens(trace, k=1, layers=[-1])
    expected = logits[0, trace.layout.positions].argmax(-1)
    assert words.ids[0, :, 0].tolist() == expected.tolist()
    assert ll.check_visual_attention(vlm, image, PROMPT).visual_attention == "causal"
    with ll.ablate_visual_attention(vlm, layers=[1]):
        _, cache = vlm.run_with_cache(image, PROMPT, names_filter="*.hook_attn_out")
    silent = [
        (cache["attn_out", layer][0] == 0).all(-1).nonzero().squeeze(1).tolist()
        for layer in range(LAYERS)
    ]
    assert silent == [[], trace.layout.positions.tolist(), []]
    with ll.knock_out(vlm, "last->visual", verify=True):
        assert not torch.equal(vlm.run(image, PROMPT)[0, -1], logits[0, -1])
    assert torch.equal(vlm.run(image, PROMPT), logits)
    assert isinstance(vlm.generate(image, PROMPT, max_new_tokens=2), str)
