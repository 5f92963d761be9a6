"""Patching: what is put in place is what the source had, where it should be and nowhere else."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from tiny import PROMPT, SHORT_PROMPT, tiny_image, tiny_inputs, tiny_processor
from tiny_vlm import FAMILIES, LAYERS, tiled_vlm, tiny_vlm
from torch import Tensor

from llavit_lens.errors import ConfigurationError
from llavit_lens.interventions.patching import PROJECTOR_OUTPUT, patch
from llavit_lens.vlm.answers import answer_log_prob
from llavit_lens.vlm.hooks import NamedHook
from llavit_lens.vlm.vlm import VLM

ONE, TWO = tiny_image(1), tiny_image(2)
SOURCE = (TWO, PROMPT)


def by_torch_hook(vlm: VLM, layer: int, edit: Callable[[Tensor], Tensor]) -> Tensor:
    """Logits with the input of a decoder layer edited: nothing of ours but the model."""

    def replace(module: object, args: tuple, kwargs: dict) -> tuple[tuple, dict]:
        if args:
            return (edit(args[0]), *args[1:]), kwargs
        return args, {**kwargs, "hidden_states": edit(kwargs["hidden_states"])}

    decoder_layer = vlm.model.model.language_model.layers[layer]
    handle = decoder_layer.register_forward_pre_hook(replace, with_kwargs=True)
    try:
        return vlm.run(ONE, PROMPT)
    finally:
        handle.remove()


@pytest.mark.long
@pytest.mark.parametrize("family", FAMILIES)
def test_all_visual_tokens_at_the_projector_are_the_other_picture(family: str) -> None:
    vlm = tiny_vlm(family)
    expected = vlm.run(TWO, PROMPT)
    said = vlm.generate(TWO, PROMPT, max_new_tokens=6)
    states = vlm.trace(TWO, PROMPT).hidden
    with patch(vlm, SOURCE):
        assert torch.equal(vlm.run(ONE, PROMPT), expected)
        assert torch.equal(vlm.trace(ONE, PROMPT).hidden, states)
        assert vlm.generate(ONE, PROMPT, max_new_tokens=6) == said
        assert vlm.generate(ONE, PROMPT, max_new_tokens=6, use_cache=False) == said
        assert answer_log_prob(vlm, ONE, PROMPT, " red") == answer_log_prob(
            tiny_vlm(family), TWO, PROMPT, " red"
        )
    assert not torch.equal(vlm.run(ONE, PROMPT), expected)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("layer", range(LAYERS))
def test_a_region_equals_a_plain_hook_that_moves_the_rows(family: str, layer: int) -> None:
    vlm = tiny_vlm(family)
    layout = vlm.prepare(TWO, PROMPT).layout
    taken = [layout.positions[layout.index(*cell)] for cell in [(0, 0), (0, 1), (2, 3)]]
    put = [layout.positions[layout.index(*cell)] for cell in [(3, 3), (1, 1), (0, 1)]]
    _, cache = vlm.run_with_cache(TWO, PROMPT, "blocks.*.hook_resid_pre")
    source = cache["resid_pre", layer]

    def edit(states: Tensor) -> Tensor:
        states = states.clone()
        for there, here in zip(taken, put, strict=True):
            states[0, here] = source[0, there]
        return states

    expected = by_torch_hook(vlm, layer, edit)
    regions = {"from_region": [(0, 0), (0, 1), (2, 3)], "to_region": [(3, 3), (1, 1), (0, 1)]}
    with patch(vlm, SOURCE, f"blocks.{layer}.hook_resid_pre", **regions):
        patched = vlm.run(ONE, PROMPT)
    assert torch.equal(patched, expected)
    assert not torch.equal(patched, vlm.run(ONE, PROMPT))


def rows_of(name: str, activation: Tensor, tokens: list[int]) -> tuple[Tensor, object]:
    """The activation and an index into it, told from its shape alone."""
    if activation.ndim == 4 and name.endswith(("pattern", "scores")):
        return activation, (slice(None), slice(None), tokens)
    return activation, tokens if activation.ndim == 3 and "attn.hook" in name else (0, tokens)


@pytest.mark.long
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("positions", ["visual", "all", [-1, 9]])
def test_every_hook_point_takes_what_the_source_had(family: str, positions: object) -> None:
    vlm = tiny_vlm(family)
    vlm.model.set_attn_implementation({"text_config": "eager"})  # as patterns would
    prepared = vlm.prepare(ONE, PROMPT)
    visual = prepared.layout.positions.tolist()
    every = list(range(prepared.length))
    tokens = {"visual": visual, "all": every}.get(str(positions), [prepared.length - 1, 9])
    layer = "blocks.1."  # all are alike
    names = [name for name in vlm.hook_names if name.startswith(layer)]
    names = [n for n in names if family == "llava" or not n.endswith(("_text", "_visual"))]
    _, source = vlm.run_with_cache(TWO, PROMPT, names)
    _, before = vlm.run_with_cache(ONE, PROMPT, names)
    for name in names:
        with patch(vlm, SOURCE, name, positions=positions):
            _, after = vlm.run_with_cache(ONE, PROMPT, name)
        expected = before[name].clone()
        there, index = rows_of(name, source[name], tokens)
        expected[index] = there[index]
        assert torch.equal(after[name], expected), name
        assert not torch.equal(after[name], before[name])


def test_rows_of_a_branch() -> None:
    vlm = tiny_vlm("llavit")
    prepared = vlm.prepare(ONE, PROMPT)
    visual = prepared.layout.positions.tolist()
    text = [token for token in range(prepared.length) if token not in visual]
    for branch, own, other in (("visual", visual, text), ("text", text, visual)):
        name, chosen = f"blocks.1.attn.hook_q_{branch}", [own[-1], own[2]]
        _, source = vlm.run_with_cache(TWO, PROMPT, name)
        _, before = vlm.run_with_cache(ONE, PROMPT, name)
        with patch(vlm, SOURCE, name, positions=chosen):
            _, after = vlm.run_with_cache(ONE, PROMPT, name)
        expected = before[name].clone()
        expected[[-1, 2]] = source[name][[-1, 2]]
        assert torch.equal(after[name], expected) and not torch.equal(after[name], before[name])
        message = (
            f"rows of {branch} tokens only, and token {other[-2]} .* use blocks.1.attn.hook_q,"
        )
        with (
            pytest.raises(ConfigurationError, match=message),
            patch(vlm, SOURCE, name, positions=[own[0], other[-2]]),
        ):
            pass


def test_the_last_token_of_the_prompt_and_not_of_the_answer() -> None:
    vlm = tiny_vlm("llavit")
    name = "blocks.1.hook_resid_post"
    with patch(vlm, SOURCE, name, positions="last"):
        patched = answer_log_prob(vlm, ONE, PROMPT, " red square")
        _, cache = vlm.run_with_cache(ONE, PROMPT, name)
    _, source = vlm.run_with_cache(TWO, PROMPT, name)
    last = vlm.prepare(ONE, PROMPT).length - 1
    assert torch.equal(cache[name][:, -1], source[name][:, -1])

    def replace(out: Tensor, hook: object) -> Tensor:
        out = out.clone()
        out[:, last] = source[name][:, -1]
        return out

    with vlm.hooks([(name, replace)]):
        assert answer_log_prob(vlm, ONE, PROMPT, " red square") == patched
    assert answer_log_prob(vlm, ONE, PROMPT, " red square") != patched


def test_a_pattern_serves_an_answer_behind_the_prompt_too() -> None:
    vlm = tiny_vlm("llavit")
    vlm.model.set_attn_implementation("eager")
    whole = answer_log_prob(vlm, TWO, PROMPT, " red")
    names = [f"blocks.{layer}.attn.hook_{what}" for layer in range(LAYERS) for what in "v"]
    names += [f"blocks.{layer}.attn.hook_pattern" for layer in range(LAYERS)]
    with patch(vlm, SOURCE, [*names, PROJECTOR_OUTPUT], positions="all"):
        assert answer_log_prob(vlm, ONE, PROMPT, " red") == whole


def test_batches_with_padding_and_beams() -> None:
    vlm = tiny_vlm("llavit")
    name = "blocks.1.hook_resid_pre"
    prompts = [SHORT_PROMPT, f"a blue circle. {PROMPT}"]  # pictures at different places
    inputs = tiny_inputs(vlm.processor, prompts)  # padded on the left
    seen: list[Tensor] = []
    region = {"from_region": [(0, 0), (1, 2)], "to_region": [(3, 1), (2, 2)]}
    layouts = [vlm.prepare(tiny_image(n), p).layout for n, p in enumerate(prompts)]
    _, source = vlm.run_with_cache(TWO, PROMPT, name)
    with (
        torch.no_grad(),
        patch(vlm, SOURCE, name, **region),
        vlm.hooks([(name, lambda out, hook: seen.append(out))]),
    ):
        with vlm.reading(*layouts):
            vlm.model(**inputs)
            vlm.model.generate(**inputs, max_new_tokens=2, num_beams=2, do_sample=False)
        with pytest.raises(ConfigurationError, match="needs to know where the patches"):
            vlm.model(**inputs)
    assert [len(states) for states in seen] == [2, 4, 4]  # the last is a step of the beams
    of_source = vlm.prepare(TWO, PROMPT).layout
    taken = [of_source.positions[of_source.index(*cell)] for cell in region["from_region"]]
    for row, layout in enumerate(layouts):
        before = int((inputs["attention_mask"][row] == 0).sum())
        put = [layout.positions[layout.index(*cell)] + before for cell in region["to_region"]]
        assert torch.equal(seen[0][row, put], source[name][0, taken])
        for beam in (2 * row, 2 * row + 1):
            assert torch.equal(seen[1][beam, put], source[name][0, taken])


def test_rows_of_a_branch_in_a_batch() -> None:
    vlm = tiny_vlm("llavit")
    inputs = tiny_inputs(vlm.processor, [SHORT_PROMPT, PROMPT])  # padded on the left
    for branch in ("visual", "text"):
        name = f"blocks.1.attn.hook_k_{branch}"
        kept: dict[str, Tensor] = {}

        def keep(rows: Tensor, hook: NamedHook, kept: dict = kept) -> None:
            kept[hook.name] = rows

        _, source = vlm.run_with_cache(TWO, PROMPT, name)
        n_text = len(source[name])
        positions = "visual" if branch == "visual" else [-1, 0]
        with torch.no_grad(), vlm.hooks([(name, keep)]):
            vlm.model(**inputs)
            before = kept[name]
            with patch(vlm, SOURCE, name, positions=positions), vlm.hooks([(name, keep)]):
                vlm.model(**inputs)
        expected = before.clone()
        if branch == "visual":
            expected[:16] = expected[16:] = source[name]
        else:
            padding = int((inputs["attention_mask"][0] == 0).sum())
            per_row = inputs["input_ids"].shape[1] - 16
            assert n_text == per_row
            expected[[per_row - 1, 2 * per_row - 1]] = source[name][-1]
            expected[[padding, per_row]] = source[name][0]
        assert torch.equal(kept[name], expected) and not torch.equal(expected, before)


@pytest.mark.parametrize("what", ["q", "k"])
def test_rotated_rows_do_not_go_behind_padding(what: str) -> None:
    vlm = tiny_vlm("llava")
    name = f"blocks.1.attn.hook_rot_{what}"
    ids = tiny_inputs(tiny_processor(), [SHORT_PROMPT, f"a blue circle. {PROMPT}"])
    inputs = {key: value for key, value in ids.items() if key != "mm_token_type_ids"}
    with torch.no_grad(), patch(vlm, SOURCE, name):
        vlm.run(ONE, PROMPT)
        with pytest.raises(
            ConfigurationError, match=f"before sample 0: patch blocks.1.attn.hook_{what},"
        ):
            vlm.model(**inputs)
    with torch.no_grad(), patch(vlm, SOURCE, f"blocks.1.attn.hook_{what}"):
        vlm.model(**inputs)


def test_tiles_and_masks() -> None:
    vlm = tiled_vlm("spatial_unpad")
    wide = tiny_image(3, 60, 30)
    mask = np.zeros((30, 60), dtype=bool)
    mask[:, :30] = True
    name = "blocks.0.hook_resid_pre"
    layout = vlm.prepare(wide, PROMPT).layout
    left = layout.positions[layout.boxes[:, 2] <= 31]
    assert len(left) == 24  # 8 of the base tile, 16 of the first
    _, source = vlm.run_with_cache(wide, PROMPT, name)
    with patch(vlm, (wide, PROMPT), from_region=mask):
        _, after = vlm.run_with_cache(tiny_image(4, 60, 30), PROMPT, name)
    assert torch.equal(after[name][0, left], source[name][0, left])
    assert not torch.equal(after[name][0, left + 2], source[name][0, left + 2])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"positions": "visul"}, "give 'visual', 'last', 'all'"),
        ({"positions": "last", "from_region": [(0, 0)]}, "not both"),
        ({"to_region": [(0, 0)]}, "give from_region too"),
        ({"positions": [400]}, "there is no token 400"),
        ({"positions": []}, "positions is empty"),
        ({"from_region": [(0, 0)], "to_region": [(0, 0), (0, 1)]}, "1 patches .* 2 patches"),
        (
            {"from_region": (5, 0, 35, 8), "to_region": (5, 0, 13, 30)},
            "1 rows, 4 col.*4 rows, 1 col",
        ),
        ({"from_region": (0, 0, 1, 1)}, "covers no patch"),
        ({"from_region": [(9, 0)]}, "no patch at row 9"),
        ({"from_region": [(0, 0), (0, 0)]}, "named twice"),
        ({"from_region": np.ones((2, 2), dtype=bool)}, "mask of pixels is 2 x 2"),
        ({"names": "blocks.0.hook_resid_per"}, "did you mean"),
    ],
)
def test_mistakes_are_named_and_leave_nothing_behind(options: dict, message: str) -> None:
    vlm = tiny_vlm("llavit")
    before = vlm.run(ONE, PROMPT)
    with pytest.raises(ConfigurationError, match=message), patch(vlm, SOURCE, **options):
        vlm.run(ONE, PROMPT)
    assert torch.equal(vlm.run(ONE, PROMPT), before)


def test_what_does_not_fit_is_refused() -> None:
    vlm = tiled_vlm("flat")
    with (
        pytest.raises(ConfigurationError, match="of the source cannot replace"),
        patch(vlm, (tiny_image(0, 60, 30), PROMPT)),
    ):
        vlm.run(tiny_image(0, 30, 30), PROMPT)
    vlm = tiny_vlm("llavit")
    with (
        pytest.raises(ConfigurationError, match="number for each token of the prompt"),
        patch(vlm, (TWO, SHORT_PROMPT), "blocks.0.attn.hook_pattern"),
    ):
        vlm.run(ONE, PROMPT)


def test_nothing_to_patch_is_an_error() -> None:
    vlm, image = tiny_vlm("llavit"), tiny_image()
    sources: list[tuple] = [(image,), (image, "What?", "Why?"), ()]
    for source in sources:
        with pytest.raises(ConfigurationError, match=f"not a tuple of {len(source)}"):
            patch(vlm, source)
    with pytest.raises(ConfigurationError, match="positions is empty"):
        patch(vlm, image, positions=[])
    with pytest.raises(ConfigurationError, match="names holds no hook point"):
        patch(vlm, image, [])
