"""Where a result comes from: the record that every result keeps."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import torch

from llavit_lens.images.open import pixel_sha256
from llavit_lens.version import __version__

if TYPE_CHECKING:
    from llavit_lens.vlm.prompt import Prompt
    from llavit_lens.vlm.vlm import VLM


def of_image(provenance: dict[str, Any], number: int) -> dict[str, Any]:
    """The record of a result about one of several images: image_sha256 is the checksum of it."""
    origin = dict(provenance)
    if digests := origin.pop("images_sha256", None):
        origin |= {"image_sha256": digests[number], "image_number": number}
    return origin


def provenance_of(vlm: VLM, prompt: Prompt) -> dict[str, Any]:
    """Model, revision, n_layers, prompt, image_sha256 and versions, plain enough for JSON.

    Of several images it holds images_sha256, a list; of a processor that is called with options,
    processor_options.
    """
    digests = [pixel_sha256(image) for image in prompt.images]
    images = {"image_sha256": digests[0]} if len(digests) == 1 else {"images_sha256": digests}
    return {
        "model": vlm.name,
        "revision": vlm.revision,
        "n_layers": vlm.decoder.n_layers,
        "prompt": prompt.text,
        **images,
        **({"processor_options": options} if (options := vlm.processor_options) else {}),
        "versions": {
            "llavit_lens": __version__,
            "torch": str(torch.__version__),
            "transformers": version("transformers"),
        },
    }
