"""The training images of the demo world: drawn once, stored as one array, read by index.

Every example of every stage is a function of its index alone, so an interrupted run continues with
exactly the data that it would have seen, and all variants see the same data in the same order.
"""

from __future__ import annotations

import hashlib
import json
import os
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
from rich.progress import track

from llavit_lens.disk import has_file, read_json, write_atomically, write_text_atomically
from llavit_lens.errors import ConfigurationError
from llavit_lens.miniature.world.render import emoji_font_path, render
from llavit_lens.miniature.world.scenes import (
    GRID,
    SIZE,
    Scene,
    Truth,
    labels_of_patches,
    sample_scene,
)

HELD_OUT = 10**9  # seeds from here on are never trained on


def held_out_seed(seed: int, index: int) -> int:
    """Seed of the index-th scene of the held-out set number `seed`.

    Raises:
        ConfigurationError: a negative number, which would lead into the scenes of the training.
    """
    if seed < 0 or index < 0:
        raise ConfigurationError(
            f"--seed {min(seed, index)}: sets of scenes are numbered from 0 on"
        )
    return HELD_OUT + seed * 10**6 + index


def pick(n: int, *key: object) -> int:
    """A fixed pseudo-random integer in [0, n) for a key, the same on every machine."""
    digest = hashlib.blake2b(repr(key).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") % n


def _draw(seed: int) -> tuple[np.ndarray, np.ndarray]:
    image, labels = render(sample_scene(seed))
    return np.asarray(image), labels_of_patches(labels)


class Corpus:
    """`count` training scenes, drawn once and kept in `folder`.

    images: uint8 [count, SIZE, SIZE, 3]. labels: int16 [count, GRID, GRID], those of patches.
    """

    def __init__(self, folder: Path, count: int):
        self.count = count
        files = [folder / "pictures.npy", folder / "owners.npy"]
        done = folder / "pictures.json"
        if not has_file(done) or read_json(done) != {"count": count, "files": 2}:
            self._draw_all(*files)
            write_text_atomically(done, json.dumps({"count": count, "files": 2}))
        self.images, self.labels = (np.load(file, mmap_mode="r") for file in files)

    def _draw_all(self, images: Path, labels: Path) -> None:
        emoji_font_path()  # one clear error before any work starts
        images.parent.mkdir(parents=True, exist_ok=True)
        shapes = (self.count, SIZE, SIZE, 3), (self.count, GRID, GRID)
        with (
            write_atomically(images) as images_part,
            write_atomically(labels) as labels_part,
            ProcessPoolExecutor(os.cpu_count()) as pool,
        ):
            images_out = np.lib.format.open_memmap(images_part, "w+", np.uint8, shapes[0])
            labels_out = np.lib.format.open_memmap(labels_part, "w+", np.int16, shapes[1])
            drawn = pool.map(_draw, range(self.count), chunksize=100)
            for i, (image, patches) in enumerate(track(drawn, "drawing scenes", self.count)):
                images_out[i], labels_out[i] = image, patches
            images_out.flush()
            labels_out.flush()

    def scene(self, index: int) -> Scene:
        return sample_scene(index)

    def truth(self, index: int) -> Truth:
        return Truth(sample_scene(index), np.asarray(self.labels[index]))
