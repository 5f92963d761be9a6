"""The check of who attends to whom passes what is right and finds what is broken on purpose."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import torch
from tiny import (
    DECODER_FAMILIES,
    PROMPT,
    WINDOW,
    tiny_image,
    tiny_llava,
    tiny_llavit,
    tiny_processor,
    tiny_text_config,
)
from tiny_vlm import LAYERS, plain_processor, tiled_vlm
from torch import Tensor

from llavit_lens.errors import ConfigurationError
from llavit_lens.interventions.attention_check import check_visual_attention
from llavit_lens.interventions.attention_probes import AttendedPairs, look_at_attention
from llavit_lens.vlm.expected_attention import expected_mask, sliding_windows
from llavit_lens.vlm.vlm import VLM

IMAGE = tiny_image(1)
NO_COMPILER = pytest.mark.skipif(
    shutil.which("g++") is None, reason="torch compiles flex_attention with g++"
)
BACKENDS = [
    "eager",
    "sdpa",
    "llavit_sdpa",
    pytest.param("flex_attention", marks=[NO_COMPILER, pytest.mark.long]),
]


def llavit(visual_attention: str = "bidirectional", **changes: object) -> VLM:
    model = tiny_llavit(visual_attention=visual_attention, **changes)
    return VLM(model, tiny_processor(), name="tiny-llavit")


def llava(family: str = "qwen2") -> VLM:
    model = tiny_llava(text_config=tiny_text_config(family))
    return VLM(model, plain_processor(), name="tiny-llava")


@contextmanager
def masked_by(vlm: VLM, edit: Callable[[Tensor], Tensor]) -> Iterator[None]:
    """The decoder gets another mask [L, L] than the model built: a bug, made on purpose."""

    def replace(module: object, args: tuple, kwargs: dict) -> tuple[tuple, dict]:
        length = kwargs["inputs_embeds"].shape[1]
        mask = torch.ones(length, length, dtype=torch.bool)
        return args, {**kwargs, "attention_mask": edit(mask)[None, None]}

    decoder = vlm.model.model.language_model
    handle = decoder.register_forward_pre_hook(replace, with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()


@pytest.mark.long
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("mode", ["causal", "bidirectional", "none"])
def test_what_is_right_passes(mode: str, backend: str) -> None:
    vlm = llavit(mode)
    vlm.model.set_attn_implementation({"text_config": backend})
    before = vlm.run(IMAGE, PROMPT)
    report = check_visual_attention(vlm, IMAGE, PROMPT)
    assert report.passed and report.raise_on_failure() is report
    assert (report.visual_attention, report.implementation) == (mode, backend)
    assert (report.n_layers, report.n_heads, report.n_visual) == (LAYERS, 4, 16)
    assert report.n_tokens == vlm.prepare(IMAGE, PROMPT).length
    assert "as it should be" in str(report)
    assert torch.equal(vlm.run(IMAGE, PROMPT), before)


@pytest.mark.long
@pytest.mark.parametrize("family", DECODER_FAMILIES)
def test_every_decoder_family_passes(family: str) -> None:
    assert check_visual_attention(llava(family), IMAGE, PROMPT).visual_attention == "causal"
    vlm = llavit(text_config=tiny_text_config(family))
    assert check_visual_attention(vlm, IMAGE, PROMPT).passed


@pytest.mark.parametrize("kind", ["llava_next", "spatial_unpad"])
def test_tiles_pass_with_their_newlines(kind: str) -> None:
    report = check_visual_attention(tiled_vlm(kind), tiny_image(0, 60, 30), PROMPT)
    assert report.n_visual > 48


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_low_precision_passes(dtype: torch.dtype) -> None:
    vlm = llavit()
    vlm.model.to(dtype)
    assert check_visual_attention(vlm, IMAGE, PROMPT).passed


def test_the_expected_mask_is_equation_8_written_out() -> None:
    is_visual = torch.tensor([0, 1, 1, 0, 1, 0], dtype=torch.bool)
    for mode in ("causal", "bidirectional", "self", "none"):
        for window in (None, 2):
            mask = expected_mask(is_visual, mode, window)
            for i in range(6):
                for j in range(6):
                    wanted = j <= i and (window is None or i - j < window)
                    both = bool(is_visual[i] and is_visual[j])
                    wanted = wanted or (mode == "bidirectional" and both)
                    wanted = wanted and not (mode == "self" and both and i != j)
                    wanted = wanted and not (mode == "none" and bool(is_visual[i]))
                    assert bool(mask[i, j]) == wanted, (mode, i, j)


def test_weights_that_vanish_are_still_seen() -> None:
    """Scores a thousand times as large: most weights are exactly 0, and the mask is the same."""
    vlm = llavit()
    with torch.no_grad():
        for layer in vlm.model.model.language_model.layers:
            layer.self_attn.q_proj.weight.mul_(1000)
            layer.self_attn.q_proj_visual.weight.mul_(1000)
    assert check_visual_attention(vlm, IMAGE, PROMPT).passed


@pytest.mark.parametrize("backend", ["eager", "sdpa"])
def test_a_dropped_mask_between_visual_tokens_is_found(backend: str) -> None:
    vlm = llavit()
    vlm.model.set_attn_implementation({"text_config": backend})
    with masked_by(vlm, lambda mask: mask.tril()):
        report = check_visual_attention(vlm, IMAGE, PROMPT, raise_on_failure=False)
        with pytest.raises(ConfigurationError, match="does not attend as its config says"):
            check_visual_attention(vlm, IMAGE, PROMPT)
    assert not report.passed and "WRONG" in str(report)
    n = report.n_visual
    assert len(report.failures) == LAYERS * (2 if backend == "eager" else 1)
    for line in report.failures:
        assert "does not attend to visual token" in line and "later" in line
        assert f"{4 * n * (n - 1) // 2} such pairs in 4 of 4 heads" in line


def test_bidirectional_where_causal_is_configured_is_found() -> None:
    vlm = llavit("causal")
    visual = torch.as_tensor(vlm.prepare(IMAGE, PROMPT).layout.positions)

    def open_up(mask: Tensor) -> Tensor:
        mask = mask.tril()
        mask[visual[:, None], visual] = True
        return mask

    with masked_by(vlm, open_up):
        report = check_visual_attention(vlm, IMAGE, PROMPT, raise_on_failure=False)
    assert all("visual" in line for line in report.failures)
    assert any("change with visual token" in line for line in report.failures)


def test_one_pair_too_many_in_one_place_is_found() -> None:
    """The last text token is seen by one earlier one."""
    vlm = llava()
    length = vlm.prepare(IMAGE, PROMPT).length

    def leak(mask: Tensor) -> Tensor:
        mask = mask.tril()
        mask[length - 3, length - 1] = True
        return mask

    with masked_by(vlm, leak):
        report = check_visual_attention(vlm, IMAGE, PROMPT, raise_on_failure=False)
    wanted = f"text token {length - 3} attends to text token {length - 1}, later (4 such pairs"
    assert sum(wanted in line for line in report.failures) == LAYERS
    assert (
        f"after layer 0: the states of 1 tokens, the first of them token {length - 3}"
        in (report.failures[-1])
    )


def test_one_head_of_one_layer_is_found() -> None:
    vlm = llava()
    vlm.model.set_attn_implementation({"text_config": "eager"})

    def blind(scores: Tensor, hook: object) -> Tensor:
        scores = scores.clone()
        scores[:, 2, -1, 8] = -torch.inf
        return scores

    with vlm.hooks([("blocks.1.attn.hook_attn_scores", blind)]):
        report = check_visual_attention(vlm, IMAGE, PROMPT, raise_on_failure=False)
    assert [line.split(":")[0] for line in report.failures] == [
        "layer 1",
        "the pattern of layer 1",
    ]
    assert all("token 8, earlier (1 such pairs in 1 of 4 heads)" in x for x in report.failures)


def test_a_leak_outside_of_attention_is_found() -> None:
    vlm = llavit()
    mix = ("blocks.1.hook_mlp_out", lambda out, hook: out + out.mean(1, keepdim=True))
    with vlm.hooks([mix]):
        report = check_visual_attention(vlm, IMAGE, PROMPT, raise_on_failure=False)
    assert report.failures and all("after layer 1" in line for line in report.failures)


def test_an_update_where_there_should_be_none_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    vlm = llavit("none")
    attention = vlm.model.model.language_model.layers[1].self_attn
    plain = type(attention).forward

    def forward(self: object, *args: object, **kwargs: object) -> object:
        return plain(self, *args, **{**kwargs, "skip_visual_update": False})

    monkeypatch.setattr(type(attention), "forward", forward)
    report = check_visual_attention(vlm, IMAGE, PROMPT, raise_on_failure=False)
    assert "visual token" in report.failures[0] and "attends to" in report.failures[0]


def test_attention_that_passes_by_its_hook_points_is_refused() -> None:
    vlm = llavit()
    attention = vlm.model.model.language_model.layers[1].self_attn
    attention.forward = lambda hidden_states, **_: (0 * hidden_states, None)
    with pytest.raises(
        ConfigurationError,
        match=r"hook at blocks.1.attn.hook_rot_q \(and 2 more\) did not act in this pass",
    ):
        check_visual_attention(vlm, IMAGE, PROMPT)


def test_windows_are_read_layer_by_layer() -> None:
    vlm = llava("qwen2-window")  # the first layer attends to everything
    reach: dict[int, int] = {}

    def look(seen: AttendedPairs) -> None:
        reach[seen.layer] = reach.get(seen.layer, 0) + int(seen.pairs[0, -1].sum())

    prepared = vlm.prepare(IMAGE, PROMPT)
    look_at_attention(vlm, prepared, look)
    assert reach == {0: prepared.length, 1: WINDOW, 2: WINDOW}


@pytest.mark.parametrize("decoder", ["mistral-window", "qwen2-window", "phi3-window", "llama"])
def test_windows_are_known_before_there_are_hook_points(decoder: str) -> None:
    vlm = llava(decoder)
    before = sliding_windows(vlm.decoder)
    assert not any(hasattr(layer, "hook_resid_pre") for layer in vlm.decoder.layers)
    vlm.add_hook_points()
    assert sliding_windows(vlm.decoder) == before
    assert any(before) == decoder.endswith("window")
