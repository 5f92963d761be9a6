"""A loaded model as TransformerLens's bridge."""

from __future__ import annotations

from copy import deepcopy
from itertools import chain
from typing import TYPE_CHECKING, Any

from llavit_lens.errors import ConfigurationError, install
from llavit_lens.interventions.attention_changes import is_changed
from llavit_lens.model.decoders import DECODERS, rebuilds
from llavit_lens.model.hook_points import has_hooks
from llavit_lens.vlm.hooks import hook_points
from llavit_lens.vlm.vlm import VLM, require_vlm

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

_ARCHITECTURE = "LlavitForConditionalGeneration"


def to_transformer_lens(vlm: VLM) -> TransformerBridge:
    """The model with TransformerLens's interface: `run_with_cache`, `run_with_hooks`, logit lens...

    bridge = to_transformer_lens(vlm)
    inputs = dict(vlm.prepare("scene.png").inputs)
    logits, cache = bridge.run_with_cache(inputs.pop("input_ids"), **inputs)

    The bridge is built on a copy of the model that shares its weights: `vlm` stays as it is, hooks
    on one do not act on the other, and weights changed in place change in both. Its decoder attends
    by "eager". Works for LLaViT, and for LLaVA-like models of transformers with a decoder
    that LLaViT can have.

    Raises:
        ConfigurationError: TransformerLens is not installed, `vlm` is not a VLM, there are hooks or
            interventions on the model, or its decoder is not rebuilt here.
    """
    require_vlm(vlm)
    try:
        from transformer_lens.model_bridge.sources import _bridge_builder as builder
    except ImportError as error:
        raise ConfigurationError(
            f"TransformerLens cannot be imported ({error}); {install('interop')}, or "
            "pip install 'transformer-lens>=4.3,<5'."
        ) from error
    if not rebuilds(vlm.model):
        raise ConfigurationError(
            f"the bridge is for decoders that are rebuilt here ({', '.join(DECODERS)}), and that "
            f"of {vlm.name} is a {type(vlm.decoder.module).__name__}: use vlm.hooks and "
            "vlm.run_with_cache, which have TransformerLens's names"
        )
    if is_changed(vlm.model):
        raise ConfigurationError(
            "an intervention on the model is open, which the bridge would not have; make the "
            "bridge outside of it, and give the bridge hooks of its own."
        )
    hooked = [name for name, point in hook_points(vlm.model).items() if has_hooks(point)]
    if hooked:
        raise ConfigurationError(
            f"there is a hook at {hooked[0]}, which the bridge would not have; make the bridge "
            "outside of `with vlm.hooks(...)` and of interventions, and give it hooks of its own."
        )
    model = _copy_sharing_weights(vlm.model)
    # Not boot_transformers, which installs torchvision while it runs.
    bridge = builder.build_bridge_from_module(
        model, _ARCHITECTURE, hf_config=model.config, model_name=vlm.name
    )
    # Not through the builder, which would load the tokenizer again, with other settings.
    bridge.tokenizer = vlm.tokenizer
    prepends, appends = builder.detect_tokenizer_bos_eos(vlm.tokenizer)
    bridge.cfg.tokenizer_prepends_bos, bridge.cfg.tokenizer_appends_eos = prepends, appends
    bridge.processor = vlm.processor
    return bridge


def _copy_sharing_weights(model: Any) -> Any:
    tensors = chain(model.parameters(), model.buffers())
    return deepcopy(model, {id(tensor): tensor for tensor in tensors})
