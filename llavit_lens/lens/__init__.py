"""The probes: from hidden states to words."""

from __future__ import annotations

from llavit_lens.lens.input_similarity import input_similarity
from llavit_lens.lens.logit_lens import logit_lens
from llavit_lens.lens.topk import TopK, topk_unembed
from llavit_lens.results.words import Word, Words

__all__ = ["TopK", "Word", "Words", "input_similarity", "logit_lens", "topk_unembed"]
