"""Every type of transformers' models for images and text is read, or refused with a reason.

A new release of transformers may bring types that are neither: then this fails, and the new type
needs a case, a reason in `refused.py`, or the sizes in `any_model.py` that make it tiny.
"""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from any_model import TooLarge, spread, tiny_model
from any_processor import any_tokenizer
from family_cases import CASES
from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES

from llavit_lens.errors import ConfigurationError
from llavit_lens.lens.topk import topk_unembed
from llavit_lens.vlm.decoder import Decoder
from llavit_lens.vlm.families import decoder_of
from llavit_lens.vlm.families.refused import REFUSED, refuse_unreadable
from llavit_lens.vlm.readout import ReadoutCache
from llavit_lens.vlm.stream import record_residual_stream

WITH_IMAGE = {case.model_type for case in CASES.values()}
"""Types that the tests of all families read."""

TEXT_ALONE = sorted(
    set(MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES) - WITH_IMAGE - set(REFUSED) - {"llavit"}
)
"""Types that are read here, on text."""


NOT_BUILT = {"apertus1p5": "its tokenizer of images is not made small here"}
"""Types of the newest release that are read as others are, and not tested yet."""


@torch.no_grad()
@pytest.mark.parametrize("model_type", TEXT_ALONE)
def test_the_lens_reads_it(model_type: str) -> None:
    if model_type in NOT_BUILT:
        pytest.skip(NOT_BUILT[model_type])
    try:
        model = tiny_model(model_type)
    except ImportError as error:
        pytest.skip(str(error).strip().splitlines()[0])
    except TooLarge as error:
        pytest.fail(f"{error}; its sizes are not known in any_model.py")
    spread(model)
    decoder = Decoder.of(model, decoder_of(model))
    ids = torch.tensor([[1, 30, 31, 32, 33]])
    rows = torch.arange(ids.shape[1])
    with record_residual_stream(model, decoder, rows) as stream:
        inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
        logits = model(**inputs, use_cache=False).logits[0]
    last = stream.hidden(model_type)[-1]
    readout = ReadoutCache().of(
        decoder, stream, logits[-1], any_tokenizer({}, {}), model.device, model_type
    )
    top = topk_unembed(
        readout.normed(last),
        readout.unembedding,
        5,
        bias=readout.unembedding_bias,
        logit_map=readout.logit_map,
    )
    expected = logits.log_softmax(-1).topk(5).values
    budget = 4 * torch.finfo(torch.float32).eps * float(logits.abs().max())
    torch.testing.assert_close(top.logits - top.logsumexp[:, None], expected, rtol=0, atol=budget)


@pytest.mark.parametrize("model_type", REFUSED)
def test_or_it_is_refused(model_type: str) -> None:
    with pytest.raises(ConfigurationError, match=model_type):
        refuse_unreadable(SimpleNamespace(model_type=model_type), "somebody/model")
