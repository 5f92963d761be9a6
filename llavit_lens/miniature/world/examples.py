"""The example scenes that ship with the package: held-out scenes, drawn once, with their truth.

    python -m llavit_lens.miniature.world.examples llavit_lens/assets/scenes

draws the scenes of the folder's `scenes.json` again; where there is none, it chooses scenes first.
Of each scene there are three images: what models see, the same at four times the size for people,
and one in which each pixel is the number of the thing that it shows (see `labels_path`).
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from llavit_lens.disk import write_atomically, write_text_atomically
from llavit_lens.miniature.world.corpus import held_out_seed
from llavit_lens.miniature.world.render import render
from llavit_lens.miniature.world.scenes import Scene, labels_of_patches, sample_scene
from llavit_lens.shipped import labels_path, sharper_path

EXAMPLE_SET = 900_000  # number of the held-out set
COUNT = 12
SHARPER = 4


def choose_examples() -> dict[str, Scene]:
    """The first COUNT scenes of the set that hold at least two objects; no choice by hand."""
    chosen: dict[str, Scene] = {}
    number = 0
    while len(chosen) < COUNT:
        scene = sample_scene(held_out_seed(EXAMPLE_SET, number))
        number += 1
        if len(scene.objects) >= 2:
            chosen["-".join(t.word if t.kind == "sign" else t.name for t in scene.things)] = scene
    return chosen


def write_examples(folder: Path) -> None:
    """Draw the scenes of a folder, or those of `choose_examples` if it holds none."""
    folder.mkdir(parents=True, exist_ok=True)
    index = folder / "scenes.json"
    if index.is_file():
        records = json.loads(index.read_text())
        scenes = {name: Scene.from_dict(one["scene"]) for name, one in records.items()}
    else:
        scenes = choose_examples()
    written: dict[str, dict] = {}
    for name, scene in scenes.items():
        image, labels = render(scene)
        seen = folder / f"{name}.png"
        numbers = Image.fromarray((labels + 1).clip(0).astype(np.uint8))
        drawn = ((seen, image), (sharper_path(seen), render(scene, SHARPER)[0]))
        for target, pixels in (*drawn, (labels_path(seen), numbers)):
            with write_atomically(target) as path:
                pixels.save(path, optimize=True)
        written[name] = {"scene": scene.to_dict(), "owner": labels_of_patches(labels).tolist()}
    write_text_atomically(index, json.dumps(written, indent=1))


if __name__ == "__main__":
    write_examples(Path(sys.argv[1]))
