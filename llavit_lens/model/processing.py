"""LLaVA's processor, which also says which tokens are visual."""

from __future__ import annotations

from transformers import LlavaProcessor


class LlavitProcessor(LlavaProcessor):
    """LlavaProcessor that returns `mm_token_type_ids` (1 = visual, 0 = text) by default."""

    return_mm_token_type_ids = True
