"""The training pictures of the demo world: drawn once, stored as one array, read by index.

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
from llavit_lens.miniature.world.scenes import GRID, SIZE, Scene, Truth, patch_owners, sample_scene

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
    picture, labels = render(sample_scene(seed))
    return np.asarray(picture), patch_owners(labels)


class Corpus:
    """`count` training scenes, drawn once and kept in `folder`.

    pictures: uint8 [count, SIZE, SIZE, 3]. owners: int16 [count, GRID, GRID], as `Truth.owner`.
    """

    def __init__(self, folder: Path, count: int):
        self.count = count
        files = [folder / "pictures.npy", folder / "owners.npy"]
        done = folder / "pictures.json"
        if not has_file(done) or read_json(done) != {"count": count, "files": 2}:
            self._draw_all(*files)
            write_text_atomically(done, json.dumps({"count": count, "files": 2}))
        self.pictures, self.owners = (np.load(file, mmap_mode="r") for file in files)

    def _draw_all(self, pictures: Path, owners: Path) -> None:
        emoji_font_path()  # one clear error before any work starts
        pictures.parent.mkdir(parents=True, exist_ok=True)
        shapes = (self.count, SIZE, SIZE, 3), (self.count, GRID, GRID)
        with (
            write_atomically(pictures) as pictures_part,
            write_atomically(owners) as owners_part,
            ProcessPoolExecutor(os.cpu_count()) as pool,
        ):
            drawn_out = np.lib.format.open_memmap(pictures_part, "w+", np.uint8, shapes[0])
            owners_out = np.lib.format.open_memmap(owners_part, "w+", np.int16, shapes[1])
            drawn = pool.map(_draw, range(self.count), chunksize=100)
            for i, (picture, owner) in enumerate(track(drawn, "drawing scenes", self.count)):
                drawn_out[i], owners_out[i] = picture, owner
            drawn_out.flush()
            owners_out.flush()

    def scene(self, index: int) -> Scene:
        return sample_scene(index)

    def truth(self, index: int) -> Truth:
        return Truth(sample_scene(index), np.asarray(self.owners[index]))
