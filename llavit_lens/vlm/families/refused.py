"""Types of models that cannot be read, each with its reason.

`docs/models.md` lists them, and a test knows that every type of transformers is read or here.
"""

from __future__ import annotations

import inspect
from functools import cache
from typing import Any

from llavit_lens.errors import ConfigurationError

_ENCODER = (
    "reads the image in an encoder: there are no visual tokens among the tokens of its decoder"
)
_CROSS_ATTENTION = (
    "reads the image by cross-attention: there are no visual tokens among the tokens of its decoder"
)
_STREAMS = (
    "keeps several residual streams for each token, or sums up its earlier states again in each "
    "layer: the logit lens would misread it"
)
_NO_IDS = (
    "has no token id for its visual tokens: it puts features of the image among those of the text "
    "by other means, so it is not known which tokens they are"
)
_QFORMER = (
    "has a processor that writes the visual tokens before the prompt by itself; its prompts are "
    "not prepared here"
)
_DROPPED = (
    "does not get its images in the installed transformers, which drops them without a word "
    "(a newer release hands them on: pip install -U transformers)"
)

REFUSED: dict[str, str] = {
    **dict.fromkeys(
        (
            *("florence2", "pix2struct", "pp_formulanet", "t5gemma2", "udop"),
            "vision-encoder-decoder",
        ),
        _ENCODER,
    ),
    **dict.fromkeys(("blip", "idefics", "mllama"), _CROSS_ATTENTION),
    **dict.fromkeys(
        ("gemma3n", "glm5_next", "hy_v4_vl", "inkling2", "inkling2_loop", "qwen4_exp"), _STREAMS
    ),
    **dict.fromkeys(("git", "kosmos-2", "kosmos-2.5"), _NO_IDS),
    **dict.fromkeys(("blip-2", "instructblip"), _QFORMER),
    "diffusion_gemma": (
        "writes a block of tokens at once by diffusion: what its head says at a token is not the "
        "next word"
    ),
    "evolla": "reads proteins, not images",
    "instructblipvideo": "reads videos, not images",
    "mistral4": "reads text alone",
    "pi0": "puts out movements of a robot: it has no words to read",
}
"""Model type -> what such a model does, as the end of a sentence."""


def reason_to_refuse(config: Any) -> str | None:
    """What a model does that makes it unreadable, as the end of a sentence; None if it is none of
    those that are known."""
    kind = getattr(config, "model_type", "")
    if kind not in REFUSED and getattr(config, "is_encoder_decoder", False) is True:
        return _ENCODER
    if kind == "emu3" and emu3_drops_images():
        return _DROPPED
    return REFUSED.get(kind)


@cache
def emu3_drops_images() -> bool:
    """Whether Emu3's `forward` takes pixel values and hands them to nothing: in transformers 5.10,
    every image then has the same words."""
    # here: the module is a large one, of which most never need anything
    from transformers.models.emu3.modeling_emu3 import Emu3ForConditionalGeneration

    forward = inspect.unwrap(Emu3ForConditionalGeneration.forward)
    return "pixel_values=pixel_values" not in inspect.getsource(forward)


def refuse_unreadable(config: Any, name: str) -> None:
    """Raise ConfigurationError for a model that cannot be read. `name` is the checkpoint's."""
    reason = reason_to_refuse(config)
    if reason is not None:
        raise ConfigurationError(
            f"{name}: a {config.model_type} model {reason}; choose a model of another family "
            "(docs/models.md lists them)"
        )
