"""Passes that leave a trace: over a prompt, and through the steps in which an answer is written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from llavit_lens.errors import ConfigurationError
from llavit_lens.vlm.prompt import Prompt
from llavit_lens.vlm.provenance import provenance_of
from llavit_lens.vlm.readout import Readout
from llavit_lens.vlm.stream import record_residual_stream
from llavit_lens.vlm.token_trace import TokenTrace, TracedAnswer, text_positions
from llavit_lens.vlm.trace import Trace
from llavit_lens.vlm.turns import turn

if TYPE_CHECKING:
    from llavit_lens.vlm.vlm import VLM


def trace_of_prompt(vlm: VLM, prompt: Prompt, tokens: str | int | Sequence[int]) -> Trace:
    """See `VLM.trace`."""
    visual = [place for layout in prompt.layouts for place in layout.positions.tolist()]
    text = text_positions(prompt, tokens)
    hidden, readout, origin = _states(vlm, prompt, [*visual, *text])
    input_ids = prompt.inputs["input_ids"][0].cpu()
    of_text = None
    if text:
        positions = torch.tensor(text, device="cpu")
        of_text = TokenTrace(
            hidden=hidden[:, len(visual) :].clone(),
            positions=positions,
            ids=input_ids[positions],
            prompt_length=prompt.length,
            readout=readout,
            provenance=origin,
        )
    return Trace(
        hidden=hidden[:, : len(visual)].clone(),
        layouts=prompt.layouts,
        input_ids=input_ids,
        prompt=prompt.text,
        images=prompt.images,
        readout=readout,
        provenance=origin,
        text=of_text,
    )


def traced_answer(
    vlm: VLM, prompt: Prompt, max_new_tokens: int, options: dict[str, Any]
) -> TracedAnswer:
    """An answer with the state of the last token in each pass that wrote one of its tokens.

    Args:
        options: of transformers' generation.

    Raises:
        ConfigurationError: as `VLM.generate`; beams.
    """
    config = options.get("generation_config") or vlm.model.generation_config
    beams = options.get("num_beams", getattr(config, "num_beams", None))
    if beams not in (None, 1):
        raise ConfigurationError(
            f"num_beams={beams}: trace=True follows one answer; leave beams out"
        )
    _, readout, origin = _states(vlm, prompt, [])
    decoder = replace(vlm.decoder, norm=readout.norm)
    last = torch.as_tensor([-1], device=vlm.device)
    with turn(vlm.model), record_residual_stream(vlm.model, decoder, last) as stream:
        ids = vlm.generated_ids([prompt], max_new_tokens, options)[0].cpu()
    before = prompt.inputs["input_ids"][0, -1:].cpu()
    trace = TokenTrace(
        hidden=stream.hidden(vlm.name, passes=len(ids)),
        positions=torch.arange(len(ids), device="cpu") + prompt.length - 1,
        ids=torch.cat([before, ids[:-1]]),
        prompt_length=prompt.length,
        readout=readout,
        provenance=origin,
    )
    text = vlm.tokenizer.decode(ids, skip_special_tokens=True).strip()
    return TracedAnswer(text=text, ids=ids, trace=trace)


def _states(
    vlm: VLM, prompt: Prompt, positions: Sequence[int]
) -> tuple[Tensor, Readout, dict[str, Any]]:
    """One pass: the states of chosen tokens, [layers + 1, len(positions), D]; what reads them; and
    where they come from."""
    decoder = vlm.decoder
    # the last position rides along, to check the lens against the model's own logits there
    rows = torch.as_tensor([*positions, prompt.length - 1], device=vlm.device)
    with turn(vlm.model), record_residual_stream(vlm.model, decoder, rows) as stream:
        logits = vlm.forward(prompt, logits_to_keep=1).logits
    hidden = stream.hidden(vlm.name)
    added = stream.added(prompt.inputs["input_ids"][0] == vlm.image_token_id, vlm.name)
    readout = vlm.readout_of(stream, logits[0, -1])
    origin = {
        **provenance_of(vlm, prompt),
        "vocabulary": len(readout.unembedding),
        **_notes(added, readout),
    }
    return hidden[:, :-1], readout, origin


def _notes(added: list[int], readout: Readout) -> dict[str, Any]:
    """What a pass has shown that is out of the usual."""
    in_words = readout.logit_map.in_words()
    return {
        **({"features_added_to_states": added} if added else {}),
        **({"logit_map": in_words} if in_words else {}),
    }
