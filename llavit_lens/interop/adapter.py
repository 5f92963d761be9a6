"""What TransformerLens has to know about LLaViT: where its parts are and how they are called.

TransformerLens finds this through the entry point `transformer_lens.architectures`. The decoder may
be of any family that LLaViT is built on; parts that a family has not are left out.
"""

from __future__ import annotations

from typing import Any

from transformer_lens.model_bridge.architecture_adapter import ArchitectureAdapter
from transformer_lens.model_bridge.generalized_components import (
    EmbeddingBridge,
    GatedMLPBridge,
    LinearBridge,
    RMSNormalizationBridge,
    RotaryEmbeddingBridge,
    UnembeddingBridge,
    VisionProjectionBridge,
)

from llavit_lens.errors import ConfigurationError
from llavit_lens.interop.components import LayerBridge, RowsLinear, VisualAttentionBridge

_PROJECTIONS = {"q": "q_proj", "k": "k_proj", "v": "v_proj", "qkv": "qkv_proj"}
_MLP = {"gate": "gate_proj", "in": "up_proj", "gate_in": "gate_up_proj", "out": "down_proj"}


class LlavitArchitectureAdapter(ArchitectureAdapter):
    """A LLaVA-like model with our hook points in its decoder layers."""

    # Folding norms into weights would leave out those of visual tokens.
    supports_compatibility_mode = False

    def __init__(self, cfg: Any) -> None:
        super().__init__(cfg)
        self.cfg.is_multimodal = True
        self._set_rms_rotary_defaults()
        self.cfg.attn_implementation = "eager"
        decoder = "model.language_model"
        # The vision tower is left as it is: LLaVA takes its features from hidden states that
        # transformers records inside, where hooks of a bridge have no effect.
        self.component_mapping = {
            "vision_projector": VisionProjectionBridge(name="model.multi_modal_projector"),
            "embed": EmbeddingBridge(name=f"{decoder}.embed_tokens"),
            "rotary_emb": RotaryEmbeddingBridge(name=f"{decoder}.rotary_emb"),
            "blocks": LayerBridge(
                name=f"{decoder}.layers",
                submodules={
                    "ln1": RMSNormalizationBridge(name="input_layernorm", config=self.cfg),
                    "ln2": RMSNormalizationBridge(name="post_attention_layernorm", config=self.cfg),
                    "attn": self._attention(),
                    "mlp": GatedMLPBridge(
                        name="mlp",
                        config=self.cfg,
                        submodules={
                            key: LinearBridge(name=name, optional=True)
                            for key, name in _MLP.items()
                        },
                    ),
                },
            ),
            "ln_final": RMSNormalizationBridge(name=f"{decoder}.norm", config=self.cfg),
            "unembed": UnembeddingBridge(name="lm_head", config=self.cfg),
        }

    def _attention(self) -> VisualAttentionBridge:
        return VisualAttentionBridge(
            name="self_attn",
            config=self.cfg,
            submodules={
                **{
                    key + branch: RowsLinear(name=name + branch)
                    for branch in ("", "_visual")
                    for key, name in _PROJECTIONS.items()
                },
                "o": LinearBridge(name="o_proj"),
            },
            requires_attention_mask=True,
            requires_position_embeddings=True,
        )

    def prepare_loading(self, model_name: str, model_kwargs: dict[str, Any]) -> None:
        """Raises ConfigurationError: only `boot_transformers` loads models.

        It would go on to install packages while it runs, and load LLaVA's weights without the
        names that LLaViT knows them by.
        """
        raise ConfigurationError(
            "TransformerLens cannot load LLaViT by itself; load it with llavit_lens.load and pass "
            "the result to llavit_lens.to_transformer_lens."
        )

    def prepare_model(self, hf_model: Any) -> None:
        """The decoder attends by "eager", which alone makes scores and patterns; the vision tower
        as before."""
        hf_model.set_attn_implementation({"text_config": "eager"})
