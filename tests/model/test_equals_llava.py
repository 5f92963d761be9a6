"""All switches off is transformers' LLaVA: the same weights give the same bits."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tiny import DECODER_FAMILIES, tiny_inputs, tiny_llava, tiny_llavit, tiny_text_config

from llavit_lens.model import LlavitForConditionalGeneration, LlavitProcessor

OFF = {"separate_visual_qkv": False, "visual_attention": "causal"}


@pytest.mark.parametrize("implementation", ["eager", "sdpa"])
@pytest.mark.parametrize("layer", [-2, [1, 2, -1]], ids=str)
def test_logits_loss_and_gradients_are_equal(
    layer: int | list[int], implementation: str, processor: LlavitProcessor
) -> None:
    llava = tiny_llava(vision_feature_layer=layer)
    llavit = tiny_llavit(vision_feature_layer=layer, seed=1, **OFF)
    llavit.load_state_dict(llava.state_dict())  # strict: the very same names
    inputs = tiny_inputs(processor)
    outputs = []
    for model in (llava, llavit):
        model.set_attn_implementation(implementation)
        output = model(**inputs, labels=inputs["input_ids"])
        output.loss.backward()
        outputs.append(output)
    ours, theirs = outputs
    assert (ours.logits - theirs.logits).abs().max() == 0.0
    assert ours.loss == theirs.loss
    gradients = dict(llava.named_parameters())
    for name, parameter in llavit.named_parameters():
        if parameter.grad is None:
            assert gradients[name].grad is None, name
        else:
            assert torch.equal(parameter.grad, gradients[name].grad), name


@pytest.mark.long
@pytest.mark.parametrize("implementation", ["eager", "sdpa"])
@pytest.mark.parametrize("family", DECODER_FAMILIES)
@torch.no_grad()
def test_every_decoder_family_is_equal(
    family: str, implementation: str, processor: LlavitProcessor
) -> None:
    """A forward pass over a padded batch, and every logit of a generation with a cache."""
    llava = tiny_llava(text_config=tiny_text_config(family))
    llavit = tiny_llavit(text_config=tiny_text_config(family), seed=1, **OFF)
    llavit.load_state_dict(llava.state_dict())
    inputs = tiny_inputs(processor)
    del inputs["mm_token_type_ids"]  # which LLaVA does not know
    settings = {
        "max_new_tokens": 6,
        "min_new_tokens": 6,
        "do_sample": False,
        "output_logits": True,
        "return_dict_in_generate": True,
    }
    logits, generated = [], []
    for model in (llava, llavit):
        model.set_attn_implementation(implementation)
        logits.append(model(**inputs).logits)
        generated.append(model.generate(**inputs, **settings))
    assert (logits[0] - logits[1]).abs().max() == 0.0
    assert torch.equal(generated[0].sequences, generated[1].sequences)
    for theirs, ours in zip(generated[0].logits, generated[1].logits, strict=True):
        assert (theirs - ours).abs().max() == 0.0


@pytest.mark.parametrize("original_format", [True, False], ids=["legacy keys", "native keys"])
def test_a_llava_folder_loads_as_the_baseline(
    original_format: bool, processor: LlavitProcessor, tmp_path: Path
) -> None:
    llava = tiny_llava()
    llava.save_pretrained(tmp_path, save_original_format=original_format)
    llavit, report = LlavitForConditionalGeneration.from_pretrained(
        tmp_path, output_loading_info=True, **OFF
    )
    assert not any(report.values())
    inputs = tiny_inputs(processor)
    with torch.no_grad():
        assert (llavit.eval()(**inputs).logits - llava(**inputs).logits).abs().max() == 0.0
    del inputs["mm_token_type_ids"]  # which LLaVA does not know
    settings = {"max_new_tokens": 6, "do_sample": False}
    assert torch.equal(llavit.generate(**inputs, **settings), llava.generate(**inputs, **settings))
