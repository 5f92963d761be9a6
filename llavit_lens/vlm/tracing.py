"""Passes that leave a trace: over a prompt, and through the steps in which an answer is written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch

from llavit_lens.errors import ConfigurationError
from llavit_lens.vlm.prompt import Prompt
from llavit_lens.vlm.provenance import provenance_of
from llavit_lens.vlm.readout import Readout
from llavit_lens.vlm.stream import Stream, record_residual_stream
from llavit_lens.vlm.token_trace import TokenTrace, TracedAnswer, text_positions
from llavit_lens.vlm.trace import Trace
from llavit_lens.vlm.turns import turn

if TYPE_CHECKING:
    from llavit_lens.vlm.vlm import VLM


def traces_of_prompts(
    vlm: VLM, prompts: Sequence[Prompt], tokens: str | int | Sequence[int]
) -> list[Trace]:
    """One pass over a batch: the trace of each prompt. See `VLM.trace`."""
    visual = [
        [place for layout in prompt.layouts for place in layout.positions.tolist()]
        for prompt in prompts
    ]
    text = [text_positions(prompt, tokens) for prompt in prompts]
    rows = [[*one, *other] for one, other in zip(visual, text, strict=True)]
    stream, readout, origins = _passed(vlm, prompts, rows)
    traces, start = [], 0
    for number, prompt in enumerate(prompts):
        middle = start + len(visual[number])
        end = middle + len(text[number])
        input_ids = prompt.inputs["input_ids"][0].cpu()
        of_text = None
        if text[number]:
            positions = torch.tensor(text[number], device="cpu")
            of_text = TokenTrace(
                hidden=stream.hidden(vlm.name, rows=slice(middle, end)),
                positions=positions,
                ids=input_ids[positions],
                prompt_length=prompt.length,
                readout=readout,
                provenance=origins[number],
            )
        traces.append(
            Trace(
                hidden=stream.hidden(vlm.name, rows=slice(start, middle)),
                layouts=prompt.layouts,
                input_ids=input_ids,
                prompt=prompt.text,
                images=prompt.images,
                readout=readout,
                provenance=origins[number],
                text=of_text,
            )
        )
        start = end
    return traces


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
    _, readout, (origin,) = _passed(vlm, [prompt], [[]])
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


def _passed(
    vlm: VLM, prompts: Sequence[Prompt], positions: Sequence[Sequence[int]]
) -> tuple[Stream, Readout, list[dict[str, Any]]]:
    """One pass over a batch of prompts.

    Args:
        positions: of each prompt, those of the tokens of which the states are kept.

    Returns:
        The stream, with the rows of one prompt after those of another; what reads it; and where
        the states of each prompt come from.
    """
    longest = max(prompt.length for prompt in prompts)
    places: list[int] = []
    samples: list[int] = []
    for sample, (prompt, chosen) in enumerate(zip(prompts, positions, strict=True)):
        padding = longest - prompt.length  # stands before the prompt
        places += [padding + place for place in chosen]
        samples += [sample] * len(chosen)
    # the last tokens ride along, to check the lens against the model's own logits there
    places += [longest - 1] * len(prompts)
    samples += range(len(prompts))
    rows = (torch.as_tensor(numbers, device=vlm.device) for numbers in (places, samples))
    with turn(vlm.model), record_residual_stream(vlm.model, vlm.decoder, *rows) as stream:
        logits = vlm.forward(prompts, logits_to_keep=1).logits
    stream.hidden(vlm.name, rows=slice(0))  # is it one stream?
    readout = vlm.readout_of(stream, logits[:, -1])
    origins = []
    for sample, prompt in enumerate(prompts):
        is_visual = prompt.inputs["input_ids"][0] == vlm.image_token_id
        added = stream.added(is_visual, vlm.name, sample)
        origins.append(
            {
                **provenance_of(vlm, prompt),
                "vocabulary": len(readout.unembedding),
                **_notes(added, readout),
            }
        )
    return stream, readout, origins


def _notes(added: list[int], readout: Readout) -> dict[str, Any]:
    """What a pass has shown that is out of the usual."""
    in_words = readout.logit_map.in_words()
    return {
        **({"features_added_to_states": added} if added else {}),
        **({"logit_map": in_words} if in_words else {}),
    }
