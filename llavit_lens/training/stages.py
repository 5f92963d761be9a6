"""The two stages of LLaVA's recipe as the paper uses it: what is trained, and how fast.

Stage 1 (pretraining) trains the projector and, in LLaViT, the visual QKV, with LLM and vision tower
frozen. Stage 2 (instruction tuning) trains everything but the vision tower.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import nn

PROJECTOR = "multi_modal_projector"
VISUAL_QKV = "_proj_visual"
LLM = ("language_model", "lm_head")


@dataclass(frozen=True)
class Stage:
    """`trained` are parts of parameter names; `learning_rates` as in `RecipeTrainer`."""

    name: str
    trained: tuple[str, ...]
    learning_rate: float
    learning_rates: Mapping[str, float]

    def freeze(self, model: nn.Module) -> None:
        """Let gradients reach exactly what this stage trains."""
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(any(part in name for part in self.trained))


# The paper's own rates (Sec. 4.1; LLaVA-1.5 where it is silent). It leaves open whether the visual
# QKV keep 2e-4 in stage 2; the safest reading is the rate of the LLM that they are now part of.
PRETRAIN = Stage("stage 1", (PROJECTOR, VISUAL_QKV), 1e-3, {PROJECTOR: 1e-3, VISUAL_QKV: 2e-4})
FINETUNE = Stage("stage 2", (PROJECTOR, VISUAL_QKV, *LLM), 2e-5, {})
