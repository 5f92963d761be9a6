"""Folders of small images, and what an index holds of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
from tiny import tiny_image

from llavit_lens.corpus.index import read_index
from llavit_lens.corpus.reading import read_part
from llavit_lens.corpus.schema import PARTS


def write_images(folder: Path, count: int, **bad: str) -> Path:
    """Noise of three sizes, 000.png and on; `bad` names more files, and what they hold."""
    folder.mkdir(parents=True, exist_ok=True)
    sizes = ((120, 90), (90, 120), (64, 64))
    for number in range(count):
        width, height = sizes[number % 3]
        image = tiny_image(width=width, height=height, seed=number)
        image.save(folder / f"{number:03d}.png")
    for name, content in bad.items():
        (folder / f"{name}.png").write_text(content)
    return folder


def rows_of(path: Path) -> dict[str, pd.DataFrame]:
    """All rows of an index, by part, in the order of its shards."""
    index = read_index(path)
    tables: dict[str, Any] = {}
    for part in PARTS:
        parts = [read_part(index, part, shard) for shard in range(index.shards)]
        tables[part] = pd.concat([part.to_pandas() for part in parts], ignore_index=True)
    return tables
