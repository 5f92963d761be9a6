"""The example scenes that ship with the package: held-out scenes, drawn once, with their truth.

    python -m llavit_lens.miniature.world.examples llavit_lens/assets/scenes

Of each scene there are two images: what models see, and the same at four times the size for people.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from llavit_lens.disk import write_atomically, write_text_atomically
from llavit_lens.miniature.world.corpus import held_out_seed
from llavit_lens.miniature.world.render import render
from llavit_lens.miniature.world.scenes import labels_of_patches, sample_scene

EXAMPLE_SET = 900_000  # number of the held-out set
COUNT = 12
SHARPER = 4


def write_examples(folder: Path) -> None:
    """Draw the first COUNT scenes of the set that hold at least two objects; no choice by hand."""
    folder.mkdir(parents=True, exist_ok=True)
    index: dict[str, dict] = {}
    number = 0
    while len(index) < COUNT:
        scene = sample_scene(held_out_seed(EXAMPLE_SET, number))
        number += 1
        if len(scene.objects) < 2:
            continue
        name = "-".join(t.word if t.kind == "sign" else t.name for t in scene.things)
        image, labels = render(scene)
        sharper = render(scene, SHARPER)[0]
        for drawn, suffix in ((image, ""), (sharper, f"@{SHARPER}x")):
            with write_atomically(folder / f"{name}{suffix}.png") as path:
                drawn.save(path, optimize=True)
        index[name] = {"scene": scene.to_dict(), "owner": labels_of_patches(labels).tolist()}
    write_text_atomically(folder / "scenes.json", json.dumps(index, indent=1))


if __name__ == "__main__":
    write_examples(Path(sys.argv[1]))
