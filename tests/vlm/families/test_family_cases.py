"""The set-ups of families that other tests stand on: each is whole, and runs as it is."""

from __future__ import annotations

import pytest
import torch
from family_cases import CASES
from PIL import Image


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_the_model_reads_what_its_processor_makes(case, image: Image.Image) -> None:
    processor = case.processor()
    model = case.model()
    inputs = processor(images=[image], text=[case.prompt], return_tensors="pt").to(torch.float32)
    inputs.pop("labels", None)
    with torch.no_grad():
        logits = model(**inputs, use_cache=False).logits
    assert logits.isfinite().all()
    assert (inputs["input_ids"] == model.config.image_token_id).any()
