"""What nnsight reads and edits on LLaViT is what our own hooks read and edit: no difference at all.

Run by test_nnsight.py in a process of its own, because importing nnsight gives every object of the
process a `save`.
"""

from __future__ import annotations

from typing import Any

import nnsight
import pytest
import torch
from tiny import DECODER_FAMILIES, tiny_image, tiny_llavit, tiny_processor, tiny_text_config
from tiny_vlm import FAMILIES, LAYERS, tiny_vlm
from torch import Tensor

from llavit_lens.model.hook_points import PATTERN_HOOKS
from llavit_lens.vlm.vlm import VLM

IMAGE = tiny_image()


def wrap(vlm: VLM) -> tuple[Any, dict[str, Tensor], Tensor]:
    """The model as nnsight has it, its inputs, and the positions of its visual tokens."""
    vlm.add_hook_points()  # to transformers' own layers, before nnsight wraps them
    prompt = vlm.prepare(IMAGE)
    return nnsight.NNsight(vlm.model), dict(prompt.inputs), torch.as_tensor(prompt.layout.positions)


def zero_at(positions: Tensor) -> Any:
    """A hook that puts zeros at some positions."""
    return lambda activation, hook: activation.index_fill(1, positions, 0.0)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_residual_stream_of_visual_tokens(family: str) -> None:
    vlm = tiny_vlm(family)
    logits, cache = vlm.run_with_cache(IMAGE, names_filter="blocks.*.hook_resid_post")
    wrapped, inputs, visual = wrap(vlm)
    layers = wrapped.model.language_model.layers
    with torch.no_grad(), wrapped.trace(**inputs):
        states = nnsight.save([layer.output[:, visual] for layer in layers])
        shown = wrapped.lm_head.output.save()
    assert len(states) == LAYERS
    for layer, state in enumerate(states):
        assert torch.equal(state, cache["resid_post", layer][:, visual])
    assert torch.equal(shown, logits)


@pytest.mark.parametrize("family", FAMILIES)
def test_attention_zeroed_at_visual_positions(family: str) -> None:
    vlm = tiny_vlm(family)
    wrapped, inputs, visual = wrap(vlm)
    hook = ("blocks.1.hook_attn_out", zero_at(visual))
    expected, before = vlm.run_with_hooks(IMAGE, fwd_hooks=[hook]), vlm.run(IMAGE)
    with torch.no_grad(), wrapped.trace(**inputs):
        wrapped.model.language_model.layers[1].self_attn.output[0][:, visual] = 0
        at_module = wrapped.lm_head.output.save()
    with torch.no_grad(), wrapped.trace(**inputs):
        wrapped.model.language_model.layers[1].hook_attn_out.output[:, visual] = 0
        at_hook_point = wrapped.lm_head.output.save()
    assert not torch.equal(expected, before)
    assert torch.equal(at_module, expected) and torch.equal(at_hook_point, expected)


@pytest.mark.parametrize("family", ["qwen2", "qwen3", "llama-bias", "mistral-window"])
def test_the_visual_branch_of_q_proj_edited(family: str) -> None:
    vlm = VLM(tiny_llavit(text_config=tiny_text_config(family)), tiny_processor(), name=family)
    wrapped, inputs, _ = wrap(vlm)
    hook = ("blocks.1.attn.hook_q_visual", lambda q_VHE, where: 2 * q_VHE)
    expected, before = vlm.run_with_hooks(IMAGE, fwd_hooks=[hook]), vlm.run(IMAGE)
    with torch.no_grad(), wrapped.trace(**inputs):
        projection = wrapped.model.language_model.layers[1].self_attn.q_proj_visual
        projection.output = 2 * projection.output
        logits = wrapped.lm_head.output.save()
    assert not torch.equal(expected, before)
    assert torch.equal(logits, expected)


@pytest.mark.parametrize("implementation", ["eager", "sdpa"])
@pytest.mark.parametrize("family", sorted(DECODER_FAMILIES))
def test_every_hook_point(family: str, implementation: str) -> None:
    vlm = VLM(tiny_llavit(text_config=tiny_text_config(family)), tiny_processor(), name=family)
    vlm.model.set_attn_implementation({"text_config": implementation})
    wrapped, inputs, _ = wrap(vlm)
    names = [
        name.rsplit(".", 1)[-1]
        for name in vlm.hook_names
        if name.startswith("blocks.1.attn.")
        and (implementation == "eager" or not name.endswith(PATTERN_HOOKS))
    ]
    attention = wrapped.model.language_model.layers[1].self_attn
    with torch.no_grad(), wrapped.trace(**inputs):
        seen = nnsight.save({})
        for name in order(names):
            seen[name] = getattr(attention, name).output
        logits = wrapped.lm_head.output.save()
    expected, cache = vlm.run_with_cache(
        IMAGE, names_filter=[f"blocks.1.attn.{name}" for name in names]
    )
    assert torch.equal(logits, expected)
    for name in names:
        assert torch.equal(seen[name], cache[f"blocks.1.attn.{name}"]), name


def order(names: list[str]) -> list[str]:
    """As a pass meets them: rows of text and visual tokens, for q, k and v in turn; the rest."""
    rows = [f"hook_{kind}_{branch}" for kind in "qkv" for branch in ("text", "visual")]
    return [
        *(name for name in rows if name in names),
        *(name for name in names if name not in rows),
    ]


def test_the_wrapped_model_works_without_nnsight() -> None:
    vlm = tiny_vlm("llavit")
    before = vlm.run(IMAGE)
    wrap(vlm)
    assert torch.equal(vlm.run(IMAGE), before)
    assert torch.equal(vlm.run_with_cache(IMAGE, names_filter="*.hook_z")[0], before)
