"""The first view, computed beforehand: it is on the screen before PyTorch is imported.

    python -m llavit_lens.explorer.first_view     # after a change of the demo checkpoint or scenes

The stored words only count for exactly the files that they come from. With other files the page
computes them again, and a test asks to renew the stored ones. They were computed on a CPU in
float32; a model that runs on a GPU in another precision rounds differently.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from llavit_lens.disk import write_text_atomically
from llavit_lens.explorer.encoded_payload import EncodedPayload
from llavit_lens.explorer.offered_models import model_title
from llavit_lens.explorer.start import Start, start_of
from llavit_lens.explorer.view import View
from llavit_lens.inputs import DEMO_PREFIX
from llavit_lens.miniature.world.scenes import FIRST_EXAMPLE, example_path, sharper_path
from llavit_lens.viewer.image_url import data_url

FILE = Path(str(files("llavit_lens"))) / "assets" / "first_view.json"


@dataclass(frozen=True)
class FirstView:
    """The view that a user sees first.

    Attributes:
        words: see `payload.words_payload`.
        layer: where it starts.
        patches: the patch where it starts, for each layer.
        n_patches: number of patches of the image.
    """

    words: EncodedPayload
    layer: int
    patches: tuple[int, ...]
    n_patches: int

    def start(self, view: View) -> Start:
        """Where the view starts, before a model is loaded."""
        depth = len(self.patches) - 1
        return start_of(
            view, depth, self.n_patches, self.layer, lambda layer: self.patches[max(layer, 0)]
        )


def first_view(view: View) -> FirstView | None:
    """The stored words, if they are those of this view."""
    reset = replace(view, layer=None, patch=None, color="probability", scale="", labels="")
    reset = replace(reset, index="", at=None, least=0, per="patch")  # of a search, elsewhere
    if reset != View(picture=FIRST_EXAMPLE):
        return None
    return _stored()


@cache
def _stored() -> FirstView | None:
    try:
        stored = json.loads(FILE.read_text())
    except (OSError, ValueError):
        return None
    if stored.get("made_of") != made_of():
        return None
    image = data_url(sharper_path(example_path()).read_bytes(), "png")
    words = EncodedPayload.of({**stored["still"], "image": image})
    (pane,) = stored["still"]["panes"]
    n_patches = sum(rows * columns for rows, columns in pane["grids"])
    return FirstView(words, stored["layer"], tuple(stored["patches"]), n_patches)


def made_of() -> dict[str, str]:
    """SHA-256 of the files that the words come from."""
    checkpoint = FILE.parent / "checkpoints" / View().model.removeprefix(DEMO_PREFIX)
    paths = {
        "picture": example_path(),
        "weights": checkpoint / "model.safetensors",
        "config": checkpoint / "config.json",
        "tokenizer": checkpoint / "tokenizer.json",
    }
    return {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in paths.items()}


def compute_first_view() -> dict[str, Any]:
    """The content of `FILE`, computed again."""
    from llavit_lens.explorer.input_image import example_image
    from llavit_lens.explorer.lens_cache import LensCache
    from llavit_lens.explorer.model_spec import ModelSpec
    from llavit_lens.results.words import surest_layer
    from llavit_lens.viewer.payload import words_payload
    from llavit_lens.viewer.start import telling_patch

    image, name = example_image(""), View().model
    result = LensCache().result(ModelSpec(name, device="cpu", dtype="float32"), image, "")
    truth = image.truth(result.words.layout)
    words = words_payload([(model_title(name), result)], image.display, View().k, truth)
    return {
        "made_of": made_of(),
        "layer": surest_layer(result.words),
        "patches": [telling_patch(result.words, layer) for layer in range(result.depth + 1)],
        "still": {key: value for key, value in words.items() if key != "image"},
    }


if __name__ == "__main__":
    write_text_atomically(FILE, json.dumps(compute_first_view(), separators=(",", ":")) + "\n")
