"""NaN and infinity are never read as words: not from weights, not from a pass."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import tiny_image, tiny_llavit, tiny_processor
from tiny_vlm import tiny_vlm
from torch import Tensor

from llavit_lens.errors import CheckpointError, ConfigurationError
from llavit_lens.interventions.attention_check import check_visual_attention
from llavit_lens.interventions.restore import restore_map
from llavit_lens.lens.attention import attention_patterns
from llavit_lens.lens.input_similarity import input_similarity
from llavit_lens.lens.logit_lens import logit_lens
from llavit_lens.studies.attention_distance.measure import attention_distances
from llavit_lens.studies.text_only.measure import ask
from llavit_lens.studies.text_only.text_model import text_model
from llavit_lens.studies.text_only.text_questions import TextQuestion
from llavit_lens.vlm.answers import answer_log_prob
from llavit_lens.vlm.finite import nonfinite_weight
from llavit_lens.vlm.load import load
from llavit_lens.vlm.vlm import VLM

DECODER = "model.language_model"
WEIGHTS = (
    "lm_head.weight",
    f"{DECODER}.norm.weight",
    f"{DECODER}.embed_tokens.weight",
    f"{DECODER}.layers.1.mlp.up_proj.weight",
    f"{DECODER}.layers.0.self_attn.k_proj.weight",
    f"{DECODER}.layers.2.self_attn.v_proj_visual.bias",
    "model.multi_modal_projector.linear_1.weight",
    "model.vision_tower.encoder.layers.0.mlp.fc1.weight",
    f"{DECODER}.rotary_emb.inv_freq",
)

PASSES: dict[str, Callable[[VLM], Any]] = {
    "trace": lambda vlm: vlm.trace(tiny_image()),
    "generate": lambda vlm: vlm.generate(tiny_image(), max_new_tokens=3),
    "generate without cache": lambda vlm: vlm.generate(
        tiny_image(), max_new_tokens=3, use_cache=False
    ),
    "run": lambda vlm: vlm.run(tiny_image()),
    "run_with_cache": lambda vlm: vlm.run_with_cache(tiny_image(), names_filter="resid_post"),
    "run_with_hooks": lambda vlm: vlm.run_with_hooks(tiny_image()),
    "answer_log_prob": lambda vlm: answer_log_prob(vlm, tiny_image(), "What?", " a"),
    "restore_map": lambda vlm: restore_map(
        vlm, tiny_image(), tiny_image(), "What?", " a", progress=False
    ),
    "attention_patterns": lambda vlm: attention_patterns(vlm, tiny_image()),
    "attention_distances": lambda vlm: attention_distances(vlm, tiny_image()),
    "check_visual_attention": lambda vlm: check_visual_attention(vlm, tiny_image()),
    "text alone": lambda vlm: list(ask(text_model(vlm), [TextQuestion("What?", "a", "", 0)])),
}


def spoil(model: Any, key: str, value: float, everywhere: bool = False) -> None:
    tensors = dict(model.named_parameters()) | dict(model.named_buffers())
    with torch.no_grad():
        (tensors[key] if everywhere else tensors[key].view(-1)[-1:]).fill_(value)


@pytest.mark.long
@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("key", WEIGHTS)
def test_weights_are_looked_at_first(key: str, value: float) -> None:
    if key.endswith("inv_freq"):  # infinity in a buffer shows in the pass
        value = float("nan")
    model = tiny_llavit()
    spoil(model, key, value)
    with pytest.raises(CheckpointError, match=rf"tiny: {key} holds NaN or infinity"):
        VLM(model, tiny_processor(), "tiny")


def test_a_checkpoint_is_refused_on_load(tmp_path: Path) -> None:
    model = tiny_llavit()
    spoil(model, WEIGHTS[3], float("nan"))
    model.save_pretrained(tmp_path)
    tiny_processor().save_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match=WEIGHTS[3]):
        load(tmp_path)


def test_what_float16_cannot_hold_is_said() -> None:
    model = tiny_llavit()
    spoil(model, WEIGHTS[3], 1e6)
    VLM(model, tiny_processor(), "tiny")
    with pytest.raises(CheckpointError, match="load it with dtype='bfloat16' or 'float32'"):
        VLM(model.half(), tiny_processor(), "tiny")


def test_whole_numbers_and_absent_weights_are_left_alone() -> None:
    model = torch.nn.Linear(2, 2, device="meta")
    model.register_buffer("codes", torch.zeros(2, dtype=torch.int8))
    model.register_buffer("none", torch.zeros(0))
    assert nonfinite_weight(model) is None
    model.register_buffer("entries", torch.eye(2).to_sparse() * float("nan"))
    found = nonfinite_weight(model)
    assert found is not None and found[0] == "entries"


@pytest.mark.long
@pytest.mark.parametrize("make", PASSES)
def test_a_weight_that_was_spoiled_later_stops_every_pass(make: str) -> None:
    vlm = tiny_vlm("llavit")
    key = f"{DECODER}.layers.1.mlp.down_proj.weight"
    spoil(vlm.model, key, float("nan"), everywhere=True)
    told = rf"NaN or infinity at layer 2 in this pass .* its weight {key} is not finite"
    with pytest.raises(ConfigurationError, match=told):
        PASSES[make](vlm)


@pytest.mark.long
@pytest.mark.parametrize("key", ["lm_head.weight", f"{DECODER}.norm.weight"])
@pytest.mark.parametrize("make", PASSES)
def test_so_does_one_behind_the_last_layer(make: str, key: str) -> None:
    vlm = tiny_vlm("llavit")
    spoil(vlm.model, key, float("nan"))
    with pytest.raises(ConfigurationError, match=f"infinity in its logits .* its weight {key}"):
        PASSES[make](vlm)


@pytest.mark.long
@pytest.mark.parametrize("value", [1e38, -1e38])
@pytest.mark.parametrize("make", PASSES)
def test_logits_that_overflow_stop_every_pass(make: str, value: float) -> None:
    vlm = tiny_vlm("llavit")
    with torch.no_grad():
        vlm.model.model.language_model.norm.weight.fill_(30)
        vlm.model.lm_head.weight.fill_(value)
        vlm.model.model.language_model.layers[2].mlp.down_proj.weight.fill_(5)
    with pytest.raises(ConfigurationError, match=r"in its logits .* float32 overflows"):
        PASSES[make](vlm)


@pytest.mark.long
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("make", [name for name in PASSES if name != "text alone"])
def test_a_hook_is_told_of(make: str, value: float) -> None:
    vlm = tiny_vlm("llavit")

    def spoiled(out: Tensor, hook: Any) -> Tensor:
        return torch.full_like(out, value)

    with (
        vlm.hooks([("blocks.1.hook_mlp_out", spoiled)]),
        pytest.raises(ConfigurationError, match=r"at layer 2 in this pass .* a hook"),
    ):
        PASSES[make](vlm)


@pytest.mark.parametrize("make", ["trace", "generate", "attention_patterns"])
def test_one_state_on_which_no_logit_depends_is_seen_too(make: str) -> None:
    vlm = tiny_vlm("llavit")
    one = int(vlm.prepare(tiny_image()).layout.positions[0])

    def spoiled(out: Tensor, hook: Any) -> Tensor:
        if out.shape[1] > 1:
            out = out.clone()
            out[:, one, 5] = float("nan")
        return out

    with (
        vlm.hooks([("blocks.2.hook_mlp_out", spoiled)]),
        pytest.raises(ConfigurationError, match="at layer 3"),
    ):
        PASSES[make](vlm)


def test_float16_overflow_is_named() -> None:
    vlm = tiny_vlm("llavit")
    vlm.model.half()
    with torch.no_grad():
        vlm.model.model.language_model.layers[1].mlp.up_proj.weight.mul_(1e4)
        vlm.model.model.language_model.layers[1].mlp.down_proj.weight.mul_(1e5)
    with pytest.raises(
        ConfigurationError, match="float16 overflows: load it with dtype='bfloat16'"
    ):
        vlm.generate(tiny_image())


def test_words_that_the_model_bars_are_no_fault() -> None:
    vlm = tiny_vlm("llavit")
    barred = torch.arange(5, len(vlm.model.lm_head.weight))
    vlm.model.lm_head.register_forward_hook(
        lambda module, args, logits: logits.index_fill(-1, barred, float("-inf"))
    )
    assert vlm.run(tiny_image()).isneginf().any()
    vlm.generate(tiny_image(), max_new_tokens=3)


def test_pixels_are_looked_at() -> None:
    vlm = tiny_vlm("llavit")
    vlm.processor.image_processor.image_std = [0.0, 0.0, 0.0]
    with pytest.raises(
        ConfigurationError, match=r"pixel_values that hold NaN or infinity.*image_std"
    ):
        vlm.trace(tiny_image())


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_lens_reads_no_nan(value: float) -> None:
    trace = tiny_vlm("llavit").trace(tiny_image())

    def spoiled(table: Tensor) -> Tensor:
        table = table.clone()
        table[0, 3] = value
        return table

    readout = trace.readout
    for lens, broken in (
        (logit_lens, replace(trace, hidden=spoiled(trace.hidden))),
        (
            logit_lens,
            replace(trace, readout=replace(readout, unembedding=spoiled(readout.unembedding))),
        ),
        (
            input_similarity,
            replace(trace, readout=replace(readout, embedding=spoiled(readout.embedding))),
        ),
    ):
        with pytest.raises(ConfigurationError, match="hold NaN or infinity"):
            lens(broken)


def test_nothing_is_left_behind() -> None:
    vlm = tiny_vlm("llavit")
    vlm.run(tiny_image())

    def hooks() -> list[int]:
        decoder = vlm.model.model.language_model
        modules = [vlm.model, *decoder.layers, decoder.norm]
        return [len(m._forward_pre_hooks) + len(m._forward_hooks) for m in modules]

    before = hooks()
    vlm.run(tiny_image())
    spoil(vlm.model, WEIGHTS[0], float("nan"))
    with pytest.raises(ConfigurationError):
        vlm.run(tiny_image())
    assert hooks() == before


def test_a_mask_may_hold_infinity() -> None:
    """But NaN is wrong in a buffer, too."""
    model = tiny_llavit()
    model.register_buffer("causal_mask", torch.full((3, 3), -torch.inf).triu(1))
    VLM(model, tiny_processor(), "tiny")
    model.causal_mask[0, 0] = torch.nan
    with pytest.raises(CheckpointError, match="causal_mask holds NaN"):
        VLM(model, tiny_processor(), "tiny")


class Codes(torch.Tensor):
    """As a quantised weight of another library: no operation but `dequantize`."""

    @classmethod
    def __torch_function__(
        cls, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        if "aminmax" in str(function):
            raise NotImplementedError("aminmax")
        return super().__torch_function__(function, types, args, kwargs or {})

    def dequantize(self) -> Tensor:
        return self.as_subclass(Tensor)


@pytest.mark.parametrize("value", [1.0, float("nan")])
def test_quantised_weights_are_looked_at_as_numbers(value: float) -> None:
    model = tiny_llavit()
    layer = model.model.language_model.layers[0].mlp
    codes = torch.full_like(layer.up_proj.weight, value).as_subclass(Codes)
    layer.up_proj.weight = torch.nn.Parameter(codes, requires_grad=False)
    bad = nonfinite_weight(model)
    assert bad is None if value == 1.0 else bad is not None and "up_proj" in bad[0]


@pytest.mark.parametrize("name", PASSES)
def test_a_compiled_model_is_looked_at_in_every_pass(name: str) -> None:
    vlm = VLM(torch.compile(tiny_llavit(), backend="eager"), tiny_processor(), "tiny")
    spoil(vlm.model, f"_orig_mod.{DECODER}.layers.1.mlp.up_proj.weight", float("nan"), True)
    with pytest.raises(ConfigurationError, match="NaN or infinity at layer 2"):
        PASSES[name](vlm)
