"""Input similarity (Eq. 4): the word embeddings next to a visual token as it enters the model."""

from __future__ import annotations

import torch
from torch.nn.functional import normalize

from llavit_lens.lens.choice import Precision
from llavit_lens.lens.token_strings import string_of, token_strings
from llavit_lens.lens.topk import topk_unembed
from llavit_lens.results.words import Words
from llavit_lens.vlm.float32 import full_float32
from llavit_lens.vlm.trace import Trace, trace_of


@torch.no_grad()
@full_float32()
def input_similarity(
    trace: Trace, k: int = 5, *, image: int | None = None, precision: Precision = "auto"
) -> Words:
    """The k words w with the largest cos(v, w) for every visual token v (Eq. 4 of the paper).

    v is the projector's output (layer 0), w runs over the whole input embedding matrix. Values are
    cosines; a vector of zeros has the cosine 0 with everything.

    Args:
        trace: states before the final norm.
        k: words per patch.
        image: of a trace of several images, the number of the one to read, from 0.
        precision: "exact" or "auto", as for `logit_lens`; the answer is the same.

    Raises:
        ConfigurationError: k is out of range; a trace of several images, of which none is chosen.
    """
    trace = trace_of(trace, image)
    visual = normalize(trace.hidden[0].to(trace.readout.embedding.device, torch.float32), dim=1)
    wide = torch.promote_types(trace.readout.embedding.dtype, torch.float32)
    lengths = torch.linalg.vector_norm(trace.readout.embedding, dim=1, dtype=wide).float()
    scale = torch.where(lengths > 0, 1 / lengths, 0)
    top = topk_unembed(visual, trace.readout.embedding, k, scale=scale, precision=precision)
    table = token_strings(trace.readout.tokenizer)
    ids = top.ids[None].cpu().numpy()
    return Words(
        kind="input_similarity",
        layers=[0],
        ids=ids,
        values=top.logits[None].cpu().numpy(),
        logsumexp=None,
        entropy=None,
        strings={
            token_id: string_of(table, token_id) for token_id in sorted(set(ids.ravel().tolist()))
        },
        layout=trace.layout,
        provenance=trace.provenance,
        image=trace.image,
    )
