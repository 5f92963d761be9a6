"""The first view, read beforehand: it is on the screen before PyTorch is even imported.

    python -m llavit_lens.explorer.first_view     # after a change of the demo checkpoint or scenes

The stored words count only for the very files that they were read from; with others the page reads
them anew, and a test says that the stored ones are to be renewed. They were read on a CPU in
float32; a model that runs on a GPU in another precision rounds otherwise.
"""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from llavit_lens.disk import write_text_atomically
from llavit_lens.explorer.opening import Start, start_of
from llavit_lens.explorer.view import View
from llavit_lens.miniature.world.scenes import example_path, sharper_path

FILE = Path(str(files("llavit_lens"))) / "assets" / "first_view.json"


@dataclass(frozen=True)
class FirstView:
    """What `payload.encoded` and the page make of the view that a user meets first.

    Attributes:
        still: see `payload.encoded`.
        layer: where it starts.
        patches: where it starts at each layer.
        n_patches: how many there are.
    """

    still: bytes
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
    from llavit_lens.miniature.world.scenes import example_names

    plain = replace(view, layer=None, patch=None, color="probability", scale="", labels="")
    if plain != View(picture=example_names()[0]):
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
    picture = sharper_path(example_path()).read_bytes()
    image = f"data:image/png;base64,{base64.b64encode(picture).decode()}"
    body = json.dumps({**stored["still"], "image": image}, separators=(",", ":")).encode()
    identity = hashlib.sha256(body).hexdigest()[:16].encode()
    (pane,) = stored["still"]["panes"]
    n_patches = sum(rows * columns for rows, columns in pane["grids"])
    still = identity + b"\n" + body + b"\n"
    return FirstView(still, stored["layer"], tuple(stored["patches"]), n_patches)


def made_of() -> dict[str, str]:
    """SHA-256 of the files that the words come from."""
    checkpoint = FILE.parent / "checkpoints" / View().model.removeprefix("demo:")
    paths = {
        "picture": example_path(),
        "weights": checkpoint / "model.safetensors",
        "config": checkpoint / "config.json",
        "tokenizer": checkpoint / "tokenizer.json",
    }
    return {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in paths.items()}


def read_first_view() -> dict[str, Any]:
    """The file's content, read anew."""
    from llavit_lens.explorer.bench import Bench, Source
    from llavit_lens.explorer.choices import model_title
    from llavit_lens.explorer.opening import opening_layer, opening_patch
    from llavit_lens.explorer.payload import still_payload
    from llavit_lens.explorer.pictures import example

    picture = example("")
    name = View().model
    reading = Bench().read(Source(name, device="cpu", dtype="float32"), picture, "")
    truth = picture.truth(reading.words.layout)
    still = still_payload([(model_title(name), reading)], picture.shown, View().k, truth)
    return {
        "made_of": made_of(),
        "layer": opening_layer(reading),
        "patches": [opening_patch(reading, layer) for layer in range(reading.depth + 1)],
        "still": {key: value for key, value in still.items() if key != "image"},
    }


if __name__ == "__main__":
    write_text_atomically(FILE, json.dumps(read_first_view(), separators=(",", ":")) + "\n")
