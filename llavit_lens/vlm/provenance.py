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


def provenance_of(vlm: VLM, prompt: Prompt) -> dict[str, Any]:
    """Model, revision, n_layers, prompt, image_sha256 and versions, plain enough for JSON.

    Of several images it holds images_sha256, a list.
    """
    digests = [pixel_sha256(image) for image in prompt.images]
    images = {"image_sha256": digests[0]} if len(digests) == 1 else {"images_sha256": digests}
    return {
        "model": vlm.name,
        "revision": vlm.revision,
        "n_layers": vlm.decoder.n_layers,
        "prompt": prompt.text,
        **images,
        "versions": {
            "llavit_lens": __version__,
            "torch": str(torch.__version__),
            "transformers": version("transformers"),
        },
    }
