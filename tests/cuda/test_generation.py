"""Any cache, compiled or not, gives one answer inside of an intervention, or says why it does not.

On a GPU transformers compiles the steps of a generation with a static cache unless it is told not
to. On the CPU the same steps are traced by torch's compiler and run as they are.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import pytest
import torch
from on_device import BATCH, attend_by, float32_budget, inputs_for, vlm_on
from transformers import CompileConfig

import llavit_lens as ll
from llavit_lens.vlm.vlm import VLM

STEPS = 6
INTERVENTIONS = ("none", "Eq. 5", "knockout", "self", "hook")


def opened(vlm: VLM, intervention: str) -> AbstractContextManager[Any]:
    """The intervention, in force."""
    return {
        "none": nullcontext,
        "Eq. 5": lambda: ll.ablate_visual_attention(vlm),
        "knockout": lambda: ll.knock_out(vlm, "text->visual", verify=True),
        "self": lambda: ll.visual_attention(vlm, "self", verify=True),
        "hook": lambda: vlm.hooks([("blocks.1.hook_mlp_out", lambda out, _: 0 * out)]),
    }[intervention]()


def generated(
    vlm: VLM, inputs: dict[str, Any], **options: Any
) -> tuple[torch.Tensor, torch.Tensor]:
    """Tokens [B, prompt + STEPS], and the logits [B, STEPS, vocab] that they were chosen by."""
    result = vlm.model.generate(
        **inputs,
        max_new_tokens=STEPS,
        min_new_tokens=STEPS,
        do_sample=False,
        suppress_tokens=[vlm.image_token_id],  # LLaVA would ask for an image
        output_logits=True,
        return_dict_in_generate=True,
        **options,
    )
    return result.sequences, torch.stack(result.logits, 1)


def compiled(device: torch.device) -> dict[str, Any]:
    """Options for a static cache whose steps are compiled."""
    if device.type == "cuda":
        return {"cache_implementation": "static"}
    config = CompileConfig(backend="eager", mode=None)
    config._compile_all_devices = True
    return {"cache_implementation": "static", "compile_config": config}


@pytest.mark.parametrize("intervention", INTERVENTIONS)
@pytest.mark.parametrize("backend", ["eager", "sdpa", "llavit_sdpa"])
@pytest.mark.parametrize("family", ["llava", "llavit"])
def test_every_cache_gives_the_same_answer(
    family: str, backend: str, intervention: str, device: torch.device
) -> None:
    """And an intervention changes it."""
    vlm = vlm_on(device, family=family)
    attend_by(vlm, backend)
    inputs = inputs_for(vlm)
    _, plain = generated(vlm, inputs)
    with opened(vlm, intervention):
        tokens, logits = generated(vlm, inputs)
        budget = 2 * float32_budget(logits)
        for options in (
            {"use_cache": False},
            {"cache_implementation": "static", "disable_compile": True},
        ):
            same, near = generated(vlm, inputs, **options)
            assert torch.equal(same, tokens)
            assert (near - logits).abs().max() <= budget
    changed = (logits - plain).abs().max()
    assert changed == 0 if intervention == "none" else changed > 10 * budget


@pytest.mark.long
@pytest.mark.parametrize("family", ["llava", "llavit"])
def test_compiled_steps_give_the_same_answer(family: str, device: torch.device) -> None:
    """Steps that were compiled before an intervention do not know of it, so inside it they run as
    they were written; and what is run inside does not outlive it."""
    torch.compiler.reset()
    vlm = vlm_on(device, family=family)
    inputs = inputs_for(vlm)
    wrong = []
    for intervention in (*INTERVENTIONS, "none"):
        with opened(vlm, intervention):
            tokens, logits = generated(vlm, inputs)
            same, near = generated(vlm, inputs, **compiled(device))
        difference = (near - logits).abs().max().item()
        if not torch.equal(same, tokens) or difference > 2 * float32_budget(logits):
            wrong.append((intervention, difference))
    assert not wrong


@pytest.mark.parametrize("intervention", INTERVENTIONS)
def test_a_batch_generates_what_its_prompts_generate_alone(
    intervention: str, device: torch.device
) -> None:
    vlm = vlm_on(device)
    first_image, alone = 0, []
    with opened(vlm, intervention):
        tokens, _ = generated(vlm, inputs_for(vlm))
        for prompt in BATCH:
            inputs = inputs_for(vlm, (prompt,), first_image=first_image)
            first_image += prompt.count("<image>")
            alone.append(generated(vlm, inputs)[0][0, -STEPS:])
    assert torch.equal(tokens[:, -STEPS:], torch.stack(alone))
