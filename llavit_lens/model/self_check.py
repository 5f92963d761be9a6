"""Does LLaViT compute right with a release of transformers that is newer than the tested ones?

LLaViT uses the inside of transformers' models, which may change with any release: then a model can
go wrong without an error. So, with a release newer than `NEWEST_TESTED`, tiny models of the same
decoder family are computed in two ways first, and the results have to agree.

Shape letters: B batch, L prompt, M new tokens, W words of the vocabulary.
"""

from __future__ import annotations

from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import torch
import transformers
from huggingface_hub import cached_assets_path
from packaging.version import Version
from torch import Tensor
from transformers import (
    AutoConfig,
    CLIPVisionConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
)

from llavit_lens.errors import ConfigurationError, one_line
from llavit_lens.model.configuration import LlavitConfig
from llavit_lens.model.decoders import DECODERS, add_hook_points
from llavit_lens.model.modeling import LlavitForConditionalGeneration
from llavit_lens.model.tested import NEWEST_TESTED
from llavit_lens.version import __version__

_IMAGE_TOKEN, _PATCHES, _NEW_TOKENS = 63, 4, 4
# Of logits between -50 and 50: rounding leaves less than 1e-4, and a mask or a cache that is not
# passed on more than 1.
_TOLERANCE = 1e-3


def check_release(family: str) -> None:
    """Compute with tiny models if the installed transformers is newer than any tested release.

    It takes part of a second, once for each release and decoder family: an empty file in the
    Hub's folder for assets, where that can be written, remembers that it went well.

    Args:
        family: `model_type` of the decoder; the check uses Qwen2 where LLaViT is not built on it.

    Raises:
        ConfigurationError: LLaViT computes something else with this release, or not at all.
    """
    if Version(transformers.__version__) > Version(NEWEST_TESTED):
        _check_once(transformers.__version__, family if family in DECODERS else "qwen2")


@cache
def _check_once(release: str, family: str) -> None:
    memo = _memo(release, family)
    if memo is not None and memo.exists():
        return
    try:
        with (
            torch.random.fork_rng(devices=[]),
            torch.device("cpu"),
            torch.no_grad(),
            torch.autocast("cpu", enabled=False),
        ):
            torch.manual_seed(0)
            difference = _largest_difference(family)
    except Exception as error:  # a release that has changed may raise anything
        raise ConfigurationError(_advice(release, f"cannot run ({one_line(error)})")) from error
    if not difference <= _TOLERANCE:
        raise ConfigurationError(_advice(release, f"is off by {difference:.2g} in its logits"))
    if memo is not None:
        with suppress(OSError):  # then the next process checks again
            memo.touch()


def _advice(release: str, what: str) -> str:
    return (
        f"transformers {release} is newer than any release that llavit-lens was tested with, and a "
        f"small model {what} in the check of it; run pip install 'transformers=={NEWEST_TESTED}'."
    )


def _memo(release: str, family: str) -> Path | None:
    """The file that says that the check went well; None where there can be none."""
    try:
        folder = cached_assets_path("llavit-lens", namespace="self-check")
    except OSError:
        return None
    ours = f"llavit-lens-{__version__}"
    return folder / f"{ours}-transformers-{release}-torch-{torch.__version__}-{family}"


def _largest_difference(family: str) -> float:
    """Between logits that have to be equal, over all comparisons."""
    llava = LlavaForConditionalGeneration(LlavaConfig(**_sizes(family))).float().eval()
    off = {"separate_visual_qkv": False, "visual_attention": "causal"}
    baseline, llavit = (
        LlavitForConditionalGeneration(LlavitConfig(**_sizes(family) | switches)).float().eval()
        for switches in (off, {})
    )
    baseline.load_state_dict(llava.state_dict())
    for name, parameter in llavit.named_parameters():
        if "_visual" in name:  # else a copy of the text projections
            parameter.normal_(0.0, 0.5)
    ids_BL = torch.randint(3, _IMAGE_TOKEN, (1, 5 + _PATCHES + 6))
    ids_BL[:, 5 : 5 + _PATCHES] = _IMAGE_TOKEN
    inputs = {"input_ids": ids_BL, "pixel_values": torch.randn(1, 3, 8, 8)}
    plain_BLW = llava(**inputs).logits
    pairs = [(plain_BLW, baseline(**inputs).logits), _with_and_without_cache(llavit, inputs)]
    masked_BLW = baseline(**inputs, attention_mask=_mask(ids_BL)).logits
    baseline.config.visual_attention = "bidirectional"
    pairs.append((masked_BLW, baseline(**inputs).logits))
    add_hook_points(llava)
    pairs += [(plain_BLW, llava(**inputs).logits), _with_and_without_cache(llava, inputs)]
    return max(float((one - other).abs().max()) for one, other in pairs)


def _with_and_without_cache(model: Any, inputs: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Logits [B, M, W] of a short generation, and of one pass over all of its tokens."""
    answer = model.generate(
        **inputs,
        max_new_tokens=_NEW_TOKENS,
        min_new_tokens=_NEW_TOKENS,
        suppress_tokens=[_IMAGE_TOKEN],
        do_sample=False,
        use_cache=True,
        output_logits=True,
        return_dict_in_generate=True,
    )
    whole = inputs | {"input_ids": answer.sequences[:, :-1]}
    uncached_BLW = model(**whole, use_cache=False).logits
    return torch.stack(answer.logits, dim=1), uncached_BLW[:, -_NEW_TOKENS:]


def _mask(ids_BL: Tensor) -> Tensor:
    """Eq. 8 written out: bool [B, 1, L, L], True where a token attends to another."""
    visual_BL = ids_BL == _IMAGE_TOKEN
    both_BLL = visual_BL[:, :, None] & visual_BL[:, None, :]
    return (both_BLL | torch.ones_like(both_BLL).tril())[:, None]


def _sizes(family: str) -> dict[str, Any]:
    """Arguments of LlavaConfig or LlavitConfig: two layers, with weights wide enough for attention
    to be far from uniform."""
    return {
        "text_config": AutoConfig.for_model(
            family,
            vocab_size=_IMAGE_TOKEN + 1,
            hidden_size=32,
            intermediate_size=48,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            head_dim=8,
            max_position_embeddings=64,
            initializer_range=0.5,
            pad_token_id=0,
            bos_token_id=1,
            eos_token_id=2,
        ),
        "vision_config": CLIPVisionConfig(
            hidden_size=16,
            intermediate_size=24,
            num_hidden_layers=2,
            num_attention_heads=2,
            image_size=8,
            patch_size=4,
        ),
        "image_token_index": _IMAGE_TOKEN,
        "vision_feature_layer": -1,
        "vision_feature_select_strategy": "default",
    }
