"""What was asked to act in a pass acts in it, or the pass is an error."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from copy import deepcopy
from typing import Any

import pytest
import torch
from tiny import tiny_image
from tiny_vlm import FAMILIES, tiny_vlm
from torch import Tensor, nn
from transformers.generation.configuration_utils import CompileConfig
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

import llavit_lens as ll
from llavit_lens.errors import ConfigurationError
from llavit_lens.model import compilation
from llavit_lens.vlm.hooks import NamedHook
from llavit_lens.vlm.vlm import VLM

IMAGE, OTHER = tiny_image(), tiny_image(1)
STEPS: dict[str, Any] = {"max_new_tokens": 4, "min_new_tokens": 4}
SILENT = "did not act in this pass"


def zero(activation: Tensor, hook: NamedHook) -> Tensor:
    return 0 * activation


EVERYTHING: dict[str, Callable[[VLM], Any]] = {
    "knock_out": lambda vlm: ll.knock_out(vlm, "last->visual", verify=False),
    "verified": lambda vlm: ll.knock_out(vlm, "last->visual"),
    "one head": lambda vlm: ll.knock_out(vlm, "last->visual", heads=1),
    "self": lambda vlm: ll.visual_attention(vlm, "self"),
    "causal": lambda vlm: ll.visual_attention(vlm, "causal"),
    "ablated": lambda vlm: ll.ablate_visual_attention(vlm, layers=[1]),
    "ablated head": lambda vlm: ll.ablate_visual_attention(vlm, heads=2),
    "projections": lambda vlm: ll.text_projections(vlm),
    "patch": lambda vlm: ll.patch(vlm, OTHER, "resid_pre"),
    "hook": lambda vlm: vlm.hooks([("blocks.1.hook_attn_out", zero)]),
    "visual hook": lambda vlm: vlm.hooks([("blocks.1.attn.hook_q_visual", zero)]),
}


def all_results(vlm: VLM) -> dict[str, Any]:
    """What every intervention and every way to look inside gives."""
    results: dict[str, Any] = {}
    for name, make in EVERYTHING.items():
        with make(vlm):
            results[name] = vlm.run(IMAGE)
    with ll.knock_out(vlm, "last->visual"):
        results["answer"] = torch.tensor(ll.answer_log_prob(vlm, IMAGE, "What?", " red"))
        results["bare call"] = vlm.model(**vlm.prepare(IMAGE).inputs).logits.detach()
    _, cache = vlm.run_with_cache(IMAGE)
    results |= {f"cache of {name}": value for name, value in cache.items()}
    results["trace"] = vlm.trace(IMAGE).hidden
    results["patterns"] = torch.as_tensor(ll.attention_patterns(vlm, IMAGE).weights)
    return results


def wrap_model(vlm: VLM) -> VLM:
    return VLM(torch.compile(vlm.model, backend="eager"), vlm.processor, "compiled")


def compile_layers(vlm: VLM) -> VLM:
    for layer in vlm.model.model.language_model.layers:
        layer.compile(backend="eager", fullgraph=True)
    return vlm


def wrap_parts(vlm: VLM) -> VLM:
    layers = vlm.model.model.language_model.layers
    layers[0] = torch.compile(layers[0], backend="eager")
    layers[1].self_attn = torch.compile(layers[1].self_attn, backend="eager")
    vlm.model.model.language_model = torch.compile(vlm.model.model.language_model, backend="eager")
    return vlm


@pytest.fixture(autouse=True)
def nothing_compiled_before() -> None:
    torch._dynamo.reset()  # it counts compilations of all tests


@pytest.fixture(scope="module")
def expected() -> dict[str, Any]:
    return all_results(tiny_vlm("llavit"))


@pytest.mark.long
def test_a_compiled_model_acts_as_one_that_is_not(expected: dict[str, Any]) -> None:
    vlm = tiny_vlm("llavit")
    inputs = vlm.prepare(IMAGE).inputs
    plain = vlm.model(**inputs).logits
    vlm.model.compile(backend="eager")
    for compiled in (vlm, wrap_model(vlm)):
        vlm.model(**inputs)  # which compiles it
        check_same(all_results(compiled), expected)
        assert torch.equal(vlm.model(**inputs).logits, plain)


@pytest.mark.long
@pytest.mark.parametrize("compiled", [compile_layers, wrap_parts])
def test_compiled_parts_act_as_those_that_are_not(
    expected: dict[str, Any], compiled: Callable[[VLM], VLM]
) -> None:
    vlm = compiled(tiny_vlm("llavit"))
    inputs = vlm.prepare(IMAGE).inputs
    plain = vlm.model(**inputs).logits
    check_same(all_results(vlm), expected)
    assert torch.equal(vlm.model(**inputs).logits, plain)


def check_same(results: dict[str, Any], expected: dict[str, Any]) -> None:
    assert results.keys() == expected.keys()
    for name, value in results.items():
        assert torch.equal(value, expected[name]), name


@pytest.mark.long
def test_hook_points_given_to_a_compiled_model_act() -> None:
    expected = tiny_vlm("llava").run_with_cache(IMAGE, names_filter="resid_post")[1]
    vlm = compile_layers(tiny_vlm("llava"))
    inputs = vlm.prepare(IMAGE).inputs
    plain = vlm.model(**inputs).logits
    check_same(vlm.run_with_cache(IMAGE, names_filter="resid_post")[1], expected)
    assert torch.equal(vlm.model(**inputs).logits, plain)


@pytest.mark.long
def test_a_model_compiled_inside_acts_there_and_not_after() -> None:
    vlm = tiny_vlm("llavit")
    inputs = vlm.prepare(IMAGE).inputs
    plain = vlm.model(**inputs).logits
    with vlm.hooks([("blocks.1.hook_attn_out", zero)]):
        expected = vlm.model(**inputs).logits
        compile_layers(vlm)
        assert torch.equal(vlm.model(**inputs).logits, expected)
    assert torch.equal(vlm.model(**inputs).logits, plain) and not torch.equal(expected, plain)


@pytest.mark.long
def test_steps_that_transformers_compiles_act() -> None:
    vlm = tiny_vlm("llavit")
    inputs = vlm.prepare(IMAGE).inputs
    config = CompileConfig(backend="eager")
    config._compile_all_devices = True
    static = {"cache_implementation": "static", "compile_config": config}

    def write(**options: Any) -> list[int]:
        ids = vlm.model.generate(**inputs, **STEPS, do_sample=False, **options)
        return ids[0, inputs["input_ids"].shape[1] :].tolist()

    plain = write()
    assert write(**static) == plain  # which compiles them
    for what in ("knock_out", "ablated", "hook"):
        with EVERYTHING[what](vlm):
            expected = write()
            assert write(**static) == expected != plain
        assert write(**static) == plain


@pytest.mark.long
def test_the_kernel_of_flex_attention_stays_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is a function without hooks, and what the check of attention has to look at."""
    vlm, calls = tiny_vlm("llavit"), 0
    vlm.model.set_attn_implementation({"text_config": "flex_attention"})

    def backend(graph: Any, inputs: Any) -> Any:
        nonlocal calls
        calls += 1
        return graph.forward

    kernel = torch.compile(lambda x: x + 0, backend=backend)

    def attention(module: Any, q: Tensor, k: Tensor, v: Tensor, *_: Any, **__: Any) -> Any:
        return kernel(q).transpose(1, 2), None

    monkeypatch.setitem(ALL_ATTENTION_FUNCTIONS._local_mapping, "flex_attention", attention)
    outside = torch.compile(lambda x: x + 1, backend=backend)
    with vlm.hooks([("blocks.1.attn.hook_z", lambda z, hook: outside(z) - 1)]):
        vlm.run(IMAGE)
    assert calls == 1


class Frozen:
    """A model as compiled code has it: as it was, whatever hooks were set on it since."""

    def __init__(self, model: nn.Module) -> None:
        self.copy = deepcopy(model)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.copy(*args, **kwargs)


def freeze_model(vlm: VLM) -> VLM:
    vlm.model._compiled_call_impl = Frozen(vlm.model)
    return vlm


def freeze_decoder(vlm: VLM) -> VLM:
    decoder = vlm.model.model.language_model
    decoder._compiled_call_impl = Frozen(decoder)
    return vlm


def freeze_wrapped(vlm: VLM) -> VLM:
    vlm = wrap_model(vlm)
    vlm.model.forward = Frozen(vlm.model._orig_mod)
    return vlm


@pytest.mark.long
@pytest.mark.parametrize("what", EVERYTHING)
@pytest.mark.parametrize("freeze", [freeze_model, freeze_decoder, freeze_wrapped])
def test_compiled_code_that_no_stance_of_torch_switches_off_is_found(
    freeze: Callable[[VLM], VLM], what: str
) -> None:
    vlm = freeze(tiny_vlm("llavit"))
    with pytest.raises(ConfigurationError, match=SILENT), EVERYTHING[what](vlm):
        vlm.run(IMAGE)
    looks = (
        vlm.run,  # which looks for NaN
        vlm.trace,
        vlm.run_with_cache,
        lambda image: ll.attention_patterns(vlm, image),
    )
    for look in looks:
        with pytest.raises(ConfigurationError, match=SILENT):
            look(IMAGE)


def test_stances_are_given_back_in_any_order() -> None:
    calls = 0

    def backend(graph: Any, inputs: Any) -> Any:
        nonlocal calls
        calls += 1
        return graph.forward

    torch._dynamo.reset()
    function = torch.compile(lambda x: x + 1, backend=backend)
    first, second = compilation.uncompiled(), compilation.uncompiled()
    first.__enter__()
    second.__enter__()
    function(torch.ones(1))
    with compilation.compiled_kernel():
        assert calls == 0
        function(torch.ones(1))
        assert calls == 1
    first.__exit__(None, None, None)
    function(torch.ones(2))
    assert calls == 1
    second.__exit__(None, None, None)
    function(torch.ones(3))
    assert calls == 2


class Wrapper(nn.Module):
    def __init__(self, inner: nn.Module, factor: float = 1) -> None:
        super().__init__()
        self.inner, self.factor = inner, factor

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.inner(*args, **kwargs)


class Skipped(nn.Module):
    self_attn = None  # which LLaViT asks for its window

    def forward(self, hidden_states: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        return hidden_states


def skip_a_layer(model: Any) -> None:
    model.model.language_model.layers[1] = Skipped()


def leave_layers_out(model: Any) -> None:
    decoder = model.model.language_model
    decoder.layers = decoder.layers[:1]


def patch_a_layer(model: Any) -> None:
    model.model.language_model.layers[1].forward = lambda hidden_states, **_: hidden_states


def patch_attention(model: Any) -> None:
    attention = model.model.language_model.layers[1].self_attn
    attention.forward = lambda hidden_states, **_: (0 * hidden_states, None)


def another_layer(model: Any) -> None:
    layers = model.model.language_model.layers
    layers[1] = tiny_vlm("llavit").model.model.language_model.layers[1]


def another_decoder(model: Any) -> None:
    model.model.language_model = tiny_vlm("llavit").model.model.language_model


def another_body(model: Any) -> None:
    model.model = tiny_vlm("llavit").model.model


REPLACED = [
    skip_a_layer,
    leave_layers_out,
    patch_a_layer,
    patch_attention,
    another_layer,
    another_decoder,
    another_body,
]


@pytest.mark.long
@pytest.mark.parametrize("what", [*EVERYTHING, "cache", "trace"])
@pytest.mark.parametrize("replace", REPLACED)
def test_modules_replaced_after_the_hooks_were_set_are_found(
    replace: Callable[[Any], None], what: str
) -> None:
    vlm = tiny_vlm("llavit")
    inputs = vlm.prepare(IMAGE).inputs
    if replace is patch_attention and what in ("patch", "hook", "trace"):
        return  # those act on layers, whatever their attention is
    with ExitStack() as stack:
        if what == "cache":
            stack.enter_context(vlm.hooks([("*", lambda *_: None)]))
        elif what == "trace":
            stack.enter_context(recorded(vlm))
        else:
            stack.enter_context(EVERYTHING[what](vlm))
        vlm.model(**inputs)
        replace(vlm.model)
        for run in (lambda: vlm.run(IMAGE), lambda: vlm.model(**inputs)):
            with pytest.raises(ConfigurationError, match=SILENT):
                run()


def recorded(vlm: VLM) -> Any:
    from llavit_lens.vlm.stream import record_residual_stream

    return record_residual_stream(vlm.model, vlm.decoder, torch.tensor([0]))


@pytest.mark.long
@pytest.mark.parametrize("what", EVERYTHING)
def test_a_wrapper_that_calls_what_it_wraps_is_fine(what: str) -> None:
    vlm = tiny_vlm("llavit")
    with EVERYTHING[what](vlm):
        expected = vlm.run(IMAGE)
        layers = vlm.model.model.language_model.layers
        layers[1] = Wrapper(layers[1])
        layers[1].self_attn = layers[1].inner.self_attn  # as wrappers pass attributes on
        assert torch.equal(vlm.run(IMAGE), expected)


def test_attention_that_ignores_its_arguments_is_found() -> None:
    """A forward of somebody's own that calls ours without what an intervention asks for."""
    for make, message in (
        (lambda vlm: ll.ablate_visual_attention(vlm), "still get an update"),
        (lambda vlm: ll.knock_out(vlm, "last->visual"), "an edge was not cut"),
    ):
        vlm = tiny_vlm("llavit")
        attention = vlm.model.model.language_model.layers[2].self_attn
        plain = attention.forward

        def forward(*args: Any, plain: Any = plain, **kwargs: Any) -> Any:
            given = {"attention_mask": None, "skip_visual_update": False}
            return plain(*args, **{**kwargs, **given})

        attention.forward = forward
        with make(vlm), pytest.raises(ConfigurationError, match=message):
            vlm.run(IMAGE)


def test_a_check_that_reads_no_weights_is_found() -> None:
    vlm = tiny_vlm("llavit")
    attention = vlm.model.model.language_model.layers[1].self_attn
    plain = type(attention).attend
    with ll.knock_out(vlm, "last->visual"), pytest.raises(ConfigurationError) as error:
        handle = attention.register_forward_pre_hook(
            lambda module, args: setattr(module, "attend", plain.__get__(module))
        )
        vlm.run(IMAGE)
    handle.remove()
    assert "verify, reading the weights of decoder layer 1, did not act" in str(error.value)
    assert "attend" not in attention.__dict__
    vlm.run(IMAGE)


@pytest.mark.long
@pytest.mark.parametrize("family", FAMILIES)
def test_no_false_alarms(family: str) -> None:
    """Prompts and steps, with and without a cache, beams, batches, text alone, and gradients."""
    vlm = tiny_vlm(family)
    prompt = vlm.prepare(IMAGE)
    of_both = [name for name in EVERYTHING if name not in ("projections", "visual hook")]
    makers = [EVERYTHING[name] for name in (EVERYTHING if family == "llavit" else of_both)]
    batch = {name: torch.cat([value, value]) for name, value in prompt.inputs.items()}
    for make in [*makers, lambda vlm: vlm.hooks([("*", lambda *_: None)])]:
        with make(vlm):
            pass
        with make(vlm), torch.no_grad():
            for options in ({}, {"use_cache": False}, {"num_beams": 2}):
                vlm.generate(IMAGE, **STEPS, suppress_tokens=[vlm.image_token_id], **options)
            vlm.run(IMAGE)
            vlm.trace(IMAGE)
            vlm.run_with_cache(IMAGE)
            ll.answer_log_prob(vlm, IMAGE, "What?", " a red square")
            with vlm.reading(prompt.layout, prompt.layout, length=prompt.length):
                vlm.model(**batch)
            with vlm.reading():
                pass
            if make is not EVERYTHING["patch"]:
                vlm.model(input_ids=torch.tensor([[7, 8, 9]]))
        with make(vlm), vlm.reading(prompt.layout, length=prompt.length):
            vlm.model(**prompt.inputs).logits.sum().backward()


def test_an_error_of_the_pass_stays_its_error() -> None:
    vlm = tiny_vlm("llavit")

    def fail(*_: Any) -> None:
        raise ZeroDivisionError

    for _ in range(2):
        with (
            pytest.raises(ZeroDivisionError),
            ll.knock_out(vlm, "last->visual"),
            vlm.hooks([("blocks.0.hook_resid_pre", fail), ("resid_post", zero)]),
        ):
            vlm.run(IMAGE)


def test_hooks_opened_in_the_middle_of_a_pass_begin_with_the_next() -> None:
    vlm, stack, seen = tiny_vlm("llavit"), ExitStack(), []

    def open_another(activation: Tensor, hook: NamedHook) -> None:
        if not seen:
            seen.append("opened")
            late = ("blocks.0.hook_resid_pre", lambda *_: seen.append("ran"))
            stack.enter_context(vlm.hooks([late]))

    with vlm.hooks([("blocks.1.hook_resid_pre", open_another)]), stack:
        vlm.run(IMAGE)
        vlm.run(IMAGE)
    assert seen == ["opened", "ran"]


def test_copies_made_inside_are_refused() -> None:
    vlm = tiny_vlm("llavit")
    with vlm.hooks([("blocks.1.hook_attn_out", zero)]):
        copied = deepcopy(vlm.model)
        with pytest.raises(ConfigurationError, match="a copy made while"):
            copied(**vlm.prepare(IMAGE).inputs)
        # a wrapper around a copy does not act either
        vlm.model.model.language_model.layers[1] = deepcopy(copied.model.language_model.layers[1])
        with pytest.raises(ConfigurationError, match="a copy made while"):
            vlm.run(IMAGE)


def test_another_model_in_place_of_one_with_hooks_is_refused() -> None:
    vlm, other = tiny_vlm("llavit"), tiny_vlm("llavit").model
    with vlm.hooks([("blocks.1.hook_attn_out", zero)]):
        expected = vlm.run(IMAGE)
        with pytest.raises(ConfigurationError, match="leave it before another model"):
            vlm.model = other
        vlm.model = torch.compile(vlm.model, backend="eager")
        assert torch.equal(vlm.run(IMAGE), expected)
    vlm.model = other


def test_the_decoder_alone_is_refused_where_tokens_have_to_be_known() -> None:
    vlm = tiny_vlm("llavit")
    decoder = vlm.model.model.language_model
    embeddings = torch.zeros(1, 5, decoder.config.hidden_size)
    with vlm.hooks([("blocks.1.hook_attn_out", zero)]):
        decoder(inputs_embeds=embeddings)
    with ll.knock_out(vlm, "last->visual"):
        vlm.run(IMAGE)
        with pytest.raises(ConfigurationError, match="without the model around it"):
            decoder(inputs_embeds=embeddings)


def test_gradient_checkpointing_is_refused_with_hooks_too() -> None:
    vlm = tiny_vlm("llavit")
    inputs = vlm.prepare(IMAGE).inputs
    vlm.model.gradient_checkpointing_enable()
    vlm.model.train()
    with vlm.hooks([("blocks.1.hook_attn_out", zero)]):
        with pytest.raises(ConfigurationError, match="backward"):
            vlm.model(**inputs)
        with torch.no_grad():
            vlm.model(**inputs)


def test_layers_without_hook_points_are_named() -> None:
    vlm = tiny_vlm("llavit")
    layers = vlm.model.model.language_model.layers
    own = layers[1]
    layers[1] = Wrapper(own)
    with pytest.raises(ConfigurationError, match="Decoder layer 1 is a Wrapper"):
        vlm.run_with_cache(IMAGE)
    layers[1] = own
    own.self_attn = Wrapper(own.self_attn)
    for make in (lambda: ll.knock_out(vlm, "last->visual"), lambda: vlm.hooks([("z", zero)])):
        with pytest.raises(ConfigurationError, match="decoder layer 1 has no hook_q_text"), make():
            pass


def test_a_layer_that_runs_twice_is_no_cache() -> None:
    vlm = tiny_vlm("llavit")
    layer = vlm.model.model.language_model.layers[1]
    layer.register_forward_hook(
        lambda module, args, kwargs, out: module.forward(out, **kwargs), with_kwargs=True
    )
    with pytest.raises(ConfigurationError, match="ran twice in one pass"):
        vlm.run_with_cache(IMAGE, names_filter="resid_post")
