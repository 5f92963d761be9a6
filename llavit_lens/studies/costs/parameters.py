"""How many parameters a LLaVA or LLaViT has: counted on its modules."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from llavit_lens.model import LlavitConfig, LlavitForConditionalGeneration
from llavit_lens.model.attention.visual_attention import VisualLinear


@dataclass(frozen=True)
class ParameterCount:
    """Parameters of each part; a tensor that two parts share counts once.

    Attributes:
        vision_tower: all of the encoder, with layers whose output is not used.
        projector: from the encoder's features to the LLM's width.
        llm: embeddings, decoder and language-model head, without `visual_qkv`.
        visual_qkv: the projections that only visual tokens use (Eq. 6).
    """

    vision_tower: int
    projector: int
    llm: int
    visual_qkv: int

    @property
    def total(self) -> int:
        return self.vision_tower + self.projector + self.llm + self.visual_qkv


def count_parameters(config: LlavitConfig) -> ParameterCount:
    """Count on the real modules, built on the meta device.

    Raises ConfigurationError for a decoder family that is not supported.
    """
    with torch.device("meta"):
        model = LlavitForConditionalGeneration(config)
    tower = _size(model.model.vision_tower.parameters())
    projector = _size(model.model.multi_modal_projector.parameters())
    visual = sum(_size(m.parameters()) for m in model.modules() if isinstance(m, VisualLinear))
    llm = _size(model.parameters()) - tower - projector - visual
    return ParameterCount(tower, projector, llm, visual)


def _size(parameters: Iterable[Tensor]) -> int:
    return sum(parameter.numel() for parameter in parameters)
