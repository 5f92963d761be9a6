"""Models with adapters: PEFT's wrapper is refused in one line, the model inside is read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from tiny import tiny_image
from tiny_vlm import tiny_vlm
from torch import nn

import llavit_lens as ll
from llavit_lens.errors import ConfigurationError
from llavit_lens.studies.attention_distance.measure import attention_distances
from llavit_lens.vlm.vlm import VLM


class LikePeft(nn.Module):
    """What PEFT's wrapper shows of itself: other attributes are those of what it wraps."""

    def __init__(self, model: nn.Module, prompts: bool = False) -> None:
        super().__init__()
        self.base_model = nn.Module()
        self.base_model.model = model
        if prompts:
            self.prompt_encoder = nn.Module()

    def get_base_model(self) -> nn.Module:
        return self.base_model.model  # type: ignore[return-value]

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            base = super().__getattr__("base_model")
            return base.model if name == "model" else getattr(base.model, name)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.base_model.model(*args, **kwargs)  # type: ignore[operator]


CALLS: dict[str, Callable[[VLM], Any]] = {
    "trace": lambda vlm: vlm.trace(tiny_image()),
    "hook_names": lambda vlm: vlm.hook_names,
    "run_with_cache": lambda vlm: vlm.run_with_cache(tiny_image()),
    "knock_out": lambda vlm: ll.knock_out(vlm, "last->visual").__enter__(),
    "knock_out heads": lambda vlm: ll.knock_out(vlm, "last->visual", heads=[0]).__enter__(),
    "visual_attention": lambda vlm: ll.visual_attention(vlm, "causal").__enter__(),
    "ablate": lambda vlm: ll.ablate_visual_attention(vlm).__enter__(),
    "text_projections": lambda vlm: ll.text_projections(vlm).__enter__(),
    "patch": lambda vlm: ll.patch(vlm, tiny_image(), "resid_pre", positions="last").__enter__(),
    "attention_patterns": lambda vlm: ll.attention_patterns(vlm, tiny_image()),
    "attention_distances": lambda vlm: attention_distances(vlm, tiny_image()),
    "check": lambda vlm: ll.check_visual_attention(vlm, tiny_image()),
    "restore_map": lambda vlm: ll.restore_map(vlm, tiny_image(), tiny_image(), "Why?", " a"),
}


@pytest.mark.parametrize("call", CALLS)
def test_the_wrapper_is_refused_everywhere_in_the_same_words(call: str) -> None:
    vlm = tiny_vlm("llavit")
    wrapped = VLM(LikePeft(vlm.model), vlm.processor, "wrapped")
    with pytest.raises(ConfigurationError, match=r"give VLM .* peft_model\.base_model\.model, or"):
        CALLS[call](wrapped)


def test_learned_prompts_have_no_place_in_a_layout() -> None:
    vlm = tiny_vlm("llavit")
    wrapped = VLM(LikePeft(vlm.model, prompts=True), vlm.processor, "wrapped")
    with pytest.raises(ConfigurationError, match="learned tokens before the prompt"):
        wrapped.trace(tiny_image())


@pytest.mark.parametrize(
    "options",
    [
        {"target_modules": ["lm_head", "q_proj", "embed_tokens"]},
        {"target_modules": ["q_proj"], "modules_to_save": ["lm_head"]},
        {"target_modules": ["lm_head"], "use_dora": True},
        {"target_modules": ["q_proj"], "trainable_token_indices": {"embed_tokens": [5, 9]}},
    ],
)
def test_peft_itself(options: dict[str, Any]) -> None:
    peft = pytest.importorskip("peft", reason="PEFT is not installed")
    vlm = tiny_vlm("llavit")
    torch.manual_seed(3)
    model = peft.get_peft_model(vlm.model, peft.LoraConfig(r=4, init_lora_weights=False, **options))
    with pytest.raises(ConfigurationError, match=r"peft_model\.base_model\.model"):
        VLM(model, vlm.processor, "wrapped").trace(tiny_image())
    inner = VLM(model.base_model.model, vlm.processor, "inner")
    if "modules_to_save" in options:
        with torch.no_grad():
            inner.model.lm_head.modules_to_save["default"].weight.mul_(1.3)
    trace = inner.trace(tiny_image())
    words = ll.logit_lens(trace, k=4, layers=[-1])
    own = inner.run(tiny_image())[0, torch.as_tensor(trace.layout.positions)].log_softmax(-1)
    assert np.abs(words.values[0] - own.topk(4).values.detach().numpy()).max() < 5e-5
    with torch.no_grad():
        given = inner.model.get_input_embeddings()(torch.arange(len(trace.embedding)))
    cosines = nn.functional.cosine_similarity(trace.hidden[0][:, None], given[None], dim=2)
    near = ll.input_similarity(trace, k=3)
    assert np.abs(near.values[0] - cosines.topk(3).values.numpy()).max() < 1e-6


@pytest.mark.parametrize("bits", [4, 8])
def test_bitsandbytes_itself(bits: int) -> None:
    bnb = pytest.importorskip("bitsandbytes", reason="bitsandbytes is not installed")
    vlm = tiny_vlm("llavit")
    head = vlm.model.lm_head
    sizes = head.in_features, head.out_features
    if bits == 4:
        made = bnb.nn.Linear4bit(*sizes, bias=False, compute_dtype=torch.float32)
        made.weight = bnb.nn.Params4bit(head.weight.data.clone(), requires_grad=False)
    else:
        made = bnb.nn.Linear8bitLt(*sizes, bias=False, has_fp16_weights=False)
        codes = bnb.nn.Int8Params(
            head.weight.data.clone(), requires_grad=False, has_fp16_weights=False
        )
        made.weight = codes
    vlm.model.lm_head = made.to("cpu")
    if bits == 8:  # its activations are rounded in each product
        made.eval()
        with pytest.raises(ConfigurationError, match="llm_int8_skip_modules"):
            vlm.trace(tiny_image())
        return
    trace = vlm.trace(tiny_image())
    words = ll.logit_lens(trace, k=4, layers=[-1])
    own = vlm.run(tiny_image())[0, torch.as_tensor(trace.layout.positions)].log_softmax(-1)
    assert np.abs(words.values[0] - own.topk(4).values.numpy()).max() < 5e-5
