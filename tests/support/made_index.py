"""Indexes of known words, made in milliseconds without a model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from llavit_lens.corpus.index import Index, Settings
from llavit_lens.corpus.schema import (
    IMAGES,
    IMAGES_SCHEMA,
    LAYOUTS,
    LAYOUTS_SCHEMA,
    PATCHES,
    STRINGS_SCHEMA,
    patches_schema,
    settings_file,
    shard_file,
    strings_file,
    tokenizer_folder,
    with_metadata,
)

VOCABULARY = (
    *(" dog", "dog", "Dog", " DOG", " cat", " tele", "vision", "\n", "\n\n", " ", " kite"),
    *(f" word{number}" for number in range(21)),
)
"""Of indexes made here, unless another is given; 32 words."""

MakeWord = Callable[[np.random.Generator, int], tuple[np.ndarray, np.ndarray]]


def made_index(
    path: Path,
    *,
    images: int = 10,
    images_per_shard: int = 4,
    grid: tuple[int, int] = (2, 3),
    padding: int = 1,
    layers: Sequence[int] = (0, 1, 2),
    k: int = 3,
    vocabulary: Sequence[str] = VOCABULARY,
    seed: int = 0,
    lens: str = "logit_lens",
    model: str = "made:up",
    depth: int = 2,
    names: Sequence[str] | None = None,
    unreadable: Sequence[int] = (),
    shards: Sequence[int] | None = None,
    pixels: Sequence[str] | None = None,
) -> Index:
    """Write an index of random words, those of low ids more often, and many equal values.

    Args:
        path: the folder.
        padding: how many patches at the end of each image lie off it.
        names: of images; default: 000.png, ...
        unreadable: images that have no rows.
        shards: those that are written; default: all.
        pixels: checksum of each image; default: one for all.
    """
    settings = Settings(
        **{"weights": f"{model} {seed}", "processor": "", "dtype": "float32"},
        **{"vocabulary": len(vocabulary), "lens": lens, "layers": list(layers), "k": k},
        **{"prompt": "What is it?", "tracked": [], "tracked_ids": [], "images": images},
        **{"names": "", "images_per_shard": images_per_shard},
    )
    index = Index(path, settings, model, {}, {"model": model, "n_layers": depth})
    path.mkdir(parents=True, exist_ok=True)
    settings_file(path).write_text(index.to_text())
    texts = {"id": range(len(vocabulary)), "text": vocabulary}
    _write(pa.table({key: list(v) for key, v in texts.items()}, STRINGS_SCHEMA), strings_file(path))
    save_tokenizer(vocabulary, tokenizer_folder(path))
    for shard in range(index.shards) if shards is None else shards:
        write_shard(index, shard, vocabulary, grid, padding, seed, names, unreadable, pixels)
    return index


def write_shard(
    index: Index,
    shard: int,
    vocabulary: Sequence[str] = VOCABULARY,
    grid: tuple[int, int] = (2, 3),
    padding: int = 1,
    seed: int = 0,
    names: Sequence[str] | None = None,
    unreadable: Sequence[int] = (),
    pixels: Sequence[str] | None = None,
) -> None:
    """Write the three files of a shard."""
    numbers = index.images_of(shard)
    there = [number not in unreadable for number in numbers]
    n = grid[0] * grid[1]
    rng = np.random.default_rng([seed, shard])
    settings = index.settings
    tables = {
        PATCHES: _patches(
            rng, np.array(numbers)[there], settings.layers, n, settings.k, len(vocabulary),
            settings.lens,
        ),
        LAYOUTS: _layouts(grid, padding),
        IMAGES: pa.table(
            {
                "image": list(numbers),
                "source": [f"{i:03d}.png" if names is None else names[i] for i in numbers],
                **{
                    key: [value if one else None for one in there]
                    for key, value in (
                        ("width", 10 * grid[1]),
                        ("height", 10 * grid[0]),
                        ("orientation", 1),
                        ("layout", 0),
                    )
                },
                "sha256": [
                    ("0" if pixels is None else pixels[i]) if one else None
                    for i, one in zip(numbers, there, strict=True)
                ],
                "error": [None if one else "is no image" for one in there],
            },
            IMAGES_SCHEMA,
        ).select(IMAGES_SCHEMA.names),
    }  # fmt: skip
    for part, table in tables.items():
        facts = {"part": part, "shard": shard, "fingerprint": settings.fingerprint}
        table = table.replace_schema_metadata(with_metadata(table.schema, facts).metadata)
        _write(table, shard_file(index.path, part, shard))


def save_tokenizer(vocabulary: Sequence[str], folder: Path) -> None:
    """A tokenizer of these tokens, the longest first, with a piece for no other text."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    ids: Mapping[str, int] = {text.replace(" ", "Ġ"): i for i, text in enumerate(vocabulary)}
    tokenizer: Any = Tokenizer(models.WordPiece({**ids, "<unk>": len(ids)}, unk_token="<unk>"))
    tokenizer.model.continuing_subword_prefix = ""
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))


def _patches(
    rng: np.random.Generator,
    numbers: np.ndarray,
    layers: Sequence[int],
    n: int,
    k: int,
    vocabulary: int,
    lens: str,
) -> pa.Table:
    shape = len(numbers), len(layers), n
    rows = int(np.prod(shape))
    share = 1 / np.arange(1, vocabulary + 1)
    first = rng.choice(vocabulary, rows, p=share / share.sum())
    steps = rng.integers(1, max(2, vocabulary // k), (rows, k))  # so that k ids differ
    steps[:, 0] = 0
    ids = (first[:, None] + steps.cumsum(1)) % vocabulary
    values = -np.sort(rng.integers(0, 40, (rows, k)) / 8.0, axis=1)
    if lens == "input_similarity":
        values = values / 16 + 0.3
    image, layer, patch = (axis.ravel() for axis in np.indices(shape))
    schema = patches_schema(lens, k)
    columns = [
        pa.array(numbers[image], pa.int64()),
        pa.array(np.array(layers)[layer], pa.int16()),
        pa.array(patch, pa.int32()),
        _lists(ids.astype(np.int32), schema.field("ids").type),
        _lists(values.astype(np.float16), schema.field(4).type),
    ]
    if lens == "logit_lens":
        columns.append(pa.array(np.ones(rows, np.float16)))
    return pa.Table.from_arrays(columns, schema=schema)


def _lists(values: np.ndarray, kind: pa.DataType) -> pa.Array:
    return pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), type=kind)


def _layouts(grid: tuple[int, int], padding: int) -> pa.Table:
    row, col = (axis.ravel() for axis in np.indices(grid))
    n = row.size
    return pa.table(
        {
            "layout": [0] * n,
            "patch": range(n),
            "position": range(5, 5 + n),
            "tile": [0] * n,
            "row": row,
            "col": col,
            "x0": col * 10.0,
            "y0": row * 10.0,
            "x1": col * 10.0 + 10,
            "y1": row * 10.0 + 10,
            "on_image": np.arange(n) < n - padding,
        },
        LAYOUTS_SCHEMA,
    )


def _write(table: pa.Table, file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, file, compression="zstd")


class Row(NamedTuple):
    """A word that was read: what a search looks through, one by one."""

    token: int
    value: float
    image: int
    layer: int
    patch: int
    rank: int


def rows_of(index: Index, padding: int = 1, n: int = 6) -> list[Row]:
    """All words of all shards on patches that lie on the image, by a plain loop."""
    rows = []
    for file in sorted((index.path / PATCHES).glob("[0-9]*.parquet")):
        for row in pq.read_table(file).to_pylist():
            image, layer, patch, ids, values = list(row.values())[:5]
            if patch < n - padding:
                words = enumerate(zip(ids, values, strict=True))
                rows += [
                    Row(token, float(v), image, layer, patch, rank) for rank, (token, v) in words
                ]
    return rows


def best_first(row: Row) -> tuple[float, ...]:
    """The order of hits."""
    return -row.value, row.image, row.layer, row.patch, row.rank, row.token
