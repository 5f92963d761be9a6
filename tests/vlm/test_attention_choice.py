"""What the decoder attends by, however interventions come and go."""

from __future__ import annotations

from contextlib import suppress
from itertools import permutations
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from family_cases import CASES
from tiny import tiny_image
from tiny_vlm import FAMILIES, tiny_vlm
from transformers import PreTrainedModel

import llavit_lens as ll
from llavit_lens.errors import ConfigurationError
from llavit_lens.vlm.attention_choice import attention_by, implementation_of, of_decoder
from llavit_lens.vlm.vlm import VLM

IMAGE = tiny_image()
MAKERS: dict[str, Any] = {
    "cut": lambda vlm: ll.knock_out(vlm, "last->visual", verify=False),
    "verified": lambda vlm: ll.knock_out(vlm, "text->visual", layers=[1]),
    "causal": lambda vlm: ll.visual_attention(vlm, "causal", layers=[2], verify=False),
    "pattern": lambda vlm: vlm.hooks([("pattern", lambda *_: None)]),
    "ablated": lambda vlm: ll.ablate_visual_attention(vlm, layers=[0]),
}


def choose(vlm: VLM, implementation: str) -> None:
    vlm.model.set_attn_implementation({"text_config": implementation})


@pytest.mark.long
@pytest.mark.parametrize("own", ["llavit_sdpa", "sdpa", "eager"])
@pytest.mark.parametrize("left", list(permutations(range(3))))
def test_what_is_open_stays_in_force_in_any_order(own: str, left: tuple[int, ...]) -> None:
    vlm = tiny_vlm("llavit")
    names = ["cut", "pattern", "verified"]
    expected = {}
    for name in names[::2]:
        choose(vlm, "eager")
        with MAKERS[name](vlm):
            expected[name] = vlm.run(IMAGE)
    choose(vlm, own)
    plain = vlm.run(IMAGE)
    managers = [MAKERS[name](vlm) for name in names]
    for manager in managers:
        manager.__enter__()
    open_ones = set(range(3))
    for index in left:
        managers[index].__exit__(None, None, None)
        open_ones.discard(index)
        by = implementation_of(vlm.model)
        assert by == (
            "eager" if 1 in open_ones else own if own != "llavit_sdpa" or not open_ones else "sdpa"
        )
        if len(open_ones) == 1 and 1 not in open_ones:
            name = names[next(iter(open_ones))]
            budget = 0 if own == by == "eager" else 512 * 2.0**-24 * expected[name].abs().max()
            assert (vlm.run(IMAGE) - expected[name]).abs().max() <= budget
    assert torch.equal(vlm.run(IMAGE), plain)


@pytest.mark.parametrize("family", FAMILIES)
def test_two_knock_outs_the_first_left_first(family: str) -> None:
    """The second is in force until it is left, though nothing verifies it."""
    vlm = tiny_vlm(family)
    choose(vlm, "llavit_sdpa")
    plain = vlm.run(IMAGE)
    with MAKERS["cut"](vlm):
        expected = vlm.run(IMAGE)
    first, second = MAKERS["verified"](vlm), MAKERS["cut"](vlm)
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert torch.equal(vlm.run(IMAGE), expected) and not torch.equal(expected, plain)
    second.__exit__(None, None, None)
    assert torch.equal(vlm.run(IMAGE), plain) and implementation_of(vlm.model) == "llavit_sdpa"


def test_errors_inside_give_back_what_was_there() -> None:
    vlm = tiny_vlm("llavit")
    choose(vlm, "llavit_sdpa")
    first = MAKERS["cut"](vlm)
    first.__enter__()
    with suppress(KeyError), MAKERS["pattern"](vlm):
        first.__exit__(None, None, None)
        assert implementation_of(vlm.model) == "eager"
        raise KeyError
    assert implementation_of(vlm.model) == "llavit_sdpa"


def test_what_a_user_sets_inside_is_kept_at_the_end() -> None:
    vlm = tiny_vlm("llavit")
    choose(vlm, "llavit_sdpa")
    with MAKERS["pattern"](vlm), MAKERS["cut"](vlm):
        expected = vlm.run(IMAGE)
        choose(vlm, "sdpa")
        with MAKERS["pattern"](vlm):
            assert torch.equal(vlm.run(IMAGE), expected)
    assert implementation_of(vlm.model) == "sdpa"


@pytest.mark.parametrize("name", ["cut", "causal"])
def test_attention_that_ignores_masks_set_inside_is_refused(name: str) -> None:
    vlm = tiny_vlm("llavit")
    with MAKERS[name](vlm):
        choose(vlm, "llavit_sdpa")
        with pytest.raises(ConfigurationError, match="was set to 'llavit_sdpa' while an interv"):
            vlm.run(IMAGE)
        choose(vlm, "eager")
        vlm.run(IMAGE)
    with MAKERS["ablated"](vlm):
        choose(vlm, "llavit_sdpa")
        vlm.run(IMAGE)
    assert implementation_of(vlm.model) == "llavit_sdpa"


@pytest.mark.parametrize("name", ["qwen2_vl", "chameleon", "gemma4", "got_ocr2"])
def test_the_decoder_alone_is_set(name: str) -> None:
    """Two of these have towers without "sdpa", and one has a config without parts."""
    model = CASES[name].model()
    towers = [
        module.config
        for module in model.modules()
        if isinstance(module, PreTrainedModel)
        and module.config is not model.config.get_text_config(decoder=True)
        and module.config is not model.config
    ]
    before = [config._attn_implementation for config in towers]
    for kind in ("eager", "sdpa", "eager"):
        with attention_by(model, kind):
            assert implementation_of(model) == kind
            assert [config._attn_implementation for config in towers] == before


def test_a_decoder_that_lies_deeper() -> None:
    text: Any = SimpleNamespace(sub_configs={})
    inner = SimpleNamespace(sub_configs={"text_config": None}, text_config=text)
    other = SimpleNamespace(sub_configs={})
    outer = SimpleNamespace(
        sub_configs={"talker_config": None, "thinker_config": None},
        talker_config=other,
        thinker_config=inner,
    )
    for config, decoder in ((text, text), (inner, text), (outer, text), (other, other)):
        config.get_text_config = lambda decoder, own=decoder: own
    assert of_decoder(outer, "sdpa") == {"thinker_config": {"text_config": "sdpa"}}
