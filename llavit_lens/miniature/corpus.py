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

from llavit_lens.miniature.render import emoji_font_path, render
from llavit_lens.miniature.scenes import SIZE, Scene, sample_scene

HELD_OUT = 10**9  # seeds from here on are never trained on


def held_out_seed(seed: int, index: int) -> int:
    """Seed of the index-th scene of the held-out set number `seed`."""
    return HELD_OUT + seed * 10**6 + index


def pick(n: int, *key: object) -> int:
    """A fixed pseudo-random integer in [0, n) for a key, the same on every machine."""
    digest = hashlib.blake2b(repr(key).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") % n


def _draw(seed: int) -> np.ndarray:
    return np.asarray(render(sample_scene(seed))[0])


class Corpus:
    """`count` training scenes and their pictures, uint8 [count, SIZE, SIZE, 3], in `folder`."""

    def __init__(self, folder: Path, count: int):
        self.count = count
        pictures, done = folder / "pictures.npy", folder / "pictures.json"
        if not done.is_file() or json.loads(done.read_text())["count"] != count:
            self._draw_all(pictures)
            done.write_text(json.dumps({"count": count}))
        self.pictures = np.load(pictures, mmap_mode="r")

    def _draw_all(self, path: Path) -> None:
        emoji_font_path()  # one clear error before any work starts
        path.parent.mkdir(parents=True, exist_ok=True)
        shape = (self.count, SIZE, SIZE, 3)
        out = np.lib.format.open_memmap(path, "w+", np.uint8, shape)
        with ProcessPoolExecutor(os.cpu_count()) as pool:
            drawn = pool.map(_draw, range(self.count), chunksize=100)
            for i, picture in enumerate(track(drawn, "drawing scenes", self.count)):
                out[i] = picture
        out.flush()

    def scene(self, index: int) -> Scene:
        return sample_scene(index)
