"""The index on disk: its folders, files and columns.

    INDEX/index.json              what was read, with which model and options (`index.Settings`)
    INDEX/strings.parquet         the text of every token id, once
    INDEX/tokenizer/              the model's tokenizer, as transformers saves it
    INDEX/patches/00000.parquet   the words: one row per image x layer x patch
    INDEX/layouts/00000.parquet   where patches lie: one row per layout x patch
    INDEX/images/00000.parquet    one row per image, readable or not
    INDEX/postings/               what a search derives from the rest

Shard s, of B images, holds the images s * B to (s + 1) * B - 1 of the list, whoever writes it. It
is complete once its file in images/, the last of the three, is there. While an index is written,
its folders also hold files that begin with a dot: read `[0-9]*.parquet`, not `*.parquet`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

FORMAT = "llavit-lens index"
"""What `index.json` says it is."""

VERSION = 1
"""Of the format; an index of another version is refused."""

METADATA = b"llavit_lens.index"
"""Key, in the schema of every Parquet file, of a JSON object: format, version, part, shard,
fingerprint (of the settings in index.json: files of two indexes cannot be mixed unseen), and
provenance."""

LAYOUTS_METADATA = b"llavit_lens.layouts"
"""Key, in the schema of a file in layouts/, of a JSON list: of each layout what its columns do not
say, as fields of `VisualLayout.to_dict`."""

PATCHES, LAYOUTS, IMAGES = "patches", "layouts", "images"
"""The parts of a shard, in the order in which they are written."""

PARTS = (PATCHES, LAYOUTS, IMAGES)

STRINGS_SCHEMA = pa.schema(
    [
        pa.field("id", pa.int32(), nullable=False),
        # with the space before it, where it has one; bytes that are no text show as U+FFFD
        pa.field("text", pa.string(), nullable=False),
    ]
)

LAYOUTS_SCHEMA = pa.schema(
    [
        # counts the layouts of this shard from 0: images of one size share theirs
        pa.field("layout", pa.int32(), nullable=False),
        # counts the patches of an image from 0, in the order of the token sequence
        pa.field("patch", pa.int32(), nullable=False),
        pa.field("position", pa.int32(), nullable=False),  # in the token sequence
        pa.field("tile", pa.int32(), nullable=False),
        pa.field("row", pa.int32(), nullable=False),
        pa.field("col", pa.int32(), nullable=False),
        # the patch's box in pixels of the upright image: left, top, right, bottom
        pa.field("x0", pa.float64(), nullable=False),
        pa.field("y0", pa.float64(), nullable=False),
        pa.field("x1", pa.float64(), nullable=False),
        pa.field("y1", pa.float64(), nullable=False),
        pa.field("on_image", pa.bool_(), nullable=False),  # False: it shows padding alone
    ]
)

IMAGES_SCHEMA = pa.schema(
    [
        pa.field("image", pa.int64(), nullable=False),  # its place in the list, from 0
        pa.field("source", pa.string(), nullable=False),  # its name in the list
        # the rest is null where the image could not be read, and `error` where it could
        pa.field("width", pa.int32()),  # of the upright image, in pixels
        pa.field("height", pa.int32()),
        pa.field("orientation", pa.int8()),  # EXIF, 1 to 8, by which it was turned upright
        pa.field("sha256", pa.string()),  # of its pixels: see `images.open.pixel_sha256`
        pa.field("layout", pa.int32()),  # in layouts/, of the same shard
        pa.field("error", pa.string()),
    ]
)

VALUES = {"logit_lens": "log_probabilities", "input_similarity": "cosines"}
"""The column of a lens's values in patches/."""


def patches_schema(lens: str, k: int, tracked: int | None = None) -> pa.Schema:
    """The columns of patches/. Rows are sorted by image, layer and patch.

    Half precision rounds a log-probability by at most 1 part in 2048; -inf stays -inf.

    Args:
        lens: "logit_lens" or "input_similarity", which has no entropy.
        k: words per row.
        tracked: how many words are followed through all rows; None or 0: no column.
    """
    fields = [
        pa.field("image", pa.int64(), nullable=False),
        pa.field("layer", pa.int16(), nullable=False),
        pa.field("patch", pa.int32(), nullable=False),  # as in layouts/
        pa.field("ids", _list(pa.int32(), k), nullable=False),  # best first
        pa.field(VALUES[lens], _list(pa.float16(), k), nullable=False),  # of the ids, in nats
    ]
    if lens == "logit_lens":
        fields.append(pa.field("entropy", pa.float16(), nullable=False))  # in nats
    if tracked:  # log-probabilities of the words in index.json, in their order
        fields.append(pa.field("tracked", _list(pa.float16(), tracked), nullable=False))
    return pa.schema(fields)


def settings_file(index: Path) -> Path:
    """What tells an index from another folder."""
    return index / "index.json"


def strings_file(index: Path) -> Path:
    """The text of every id."""
    return index / "strings.parquet"


def tokenizer_folder(index: Path) -> Path:
    """What `transformers.AutoTokenizer.from_pretrained` loads."""
    return index / "tokenizer"


def postings_folder(index: Path) -> Path:
    """What a search derives; it may be deleted at any time."""
    return index / "postings"


def shard_file(index: Path, part: str, shard: int) -> Path:
    """One of the three files of a shard; `part` is one of `PARTS`."""
    return index / part / f"{shard:05d}.parquet"


def metadata_of(schema: pa.Schema) -> dict[str, Any]:
    """The JSON object under `METADATA`; empty where there is none."""
    found = json.loads((schema.metadata or {}).get(METADATA, b"{}"))
    return found if isinstance(found, dict) else {}


def with_metadata(schema: pa.Schema, facts: Mapping[str, Any]) -> pa.Schema:
    """The schema with a JSON object under `METADATA`."""
    text = json.dumps({"format": FORMAT, "version": VERSION, **facts}, sort_keys=True).encode()
    return schema.with_metadata({**(schema.metadata or {}), METADATA: text})


def _list(kind: pa.DataType, size: int) -> pa.DataType:
    return pa.list_(pa.field("element", kind, nullable=False), size)
